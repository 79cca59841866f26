//! A blob that is to be uploaded: its bytes, and their digest.

use std::path::Path;

use bytes::Bytes;
use overside_protocol::digest::{Algorithm, Digest};
use overside_protocol::hash::Hasher;

use super::content::Content;
use crate::files::midstates::Midstates;
use crate::files::source::FileSource;
use crate::{HashCache, Progress, Result};

/// A blob that is to be uploaded.
#[derive(Debug, Clone)]
pub struct Blob {
    pub(crate) content: Content,
    pub(crate) digest: Digest,
    /// With them the server proves the parts side by side. Empty where they are not known.
    pub(crate) midstates: Midstates,
}

impl Blob {
    /// A file. Its digest is computed, or taken from the cache if the file has not changed since.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) if it cannot be read, [`Error::NotAFile`](crate::Error::NotAFile) if it is no
    /// regular file, [`Error::FileChanged`](crate::Error::FileChanged) if somebody writes to it meanwhile.
    pub async fn from_file(path: &Path, cache: Option<&HashCache>, progress: &Progress) -> Result<Self> {
        let source = FileSource::open(path).await?;
        let hashed = match cache {
            Some(cache) => cache.hash(&source, progress).await?,
            None => source.hash(progress).await?,
        };
        source.check_unchanged().await?;
        Ok(Self { content: Content::File(source), digest: hashed.digest, midstates: hashed.midstates })
    }

    /// A file whose digest somebody has computed. If that is wrong, the server refuses the blob in the end.
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub async fn from_hashed_file(path: &Path, digest: Digest) -> Result<Self> {
        let content = Content::File(FileSource::open(path).await?);
        Ok(Self { content, digest, midstates: Midstates::default() })
    }

    /// Bytes in memory, such as a config.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = Hasher::digest(Algorithm::Sha256, &bytes);
        Self { content: Content::Bytes(bytes), digest, midstates: Midstates::default() }
    }

    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.content.size()
    }
}
