//! What is proven and published.

use super::key::{self, Key};
use super::{Result, StorageError};
use crate::domain::blob::{Blob, Placement, Proof, SealedObject};
use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;

/// An object that no client can change any more, or that is proven again as it is published.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub key: Key,
    /// In bytes.
    pub size: u64,
    /// The version that was sealed, where the store binds by ETag; reads and the copy insist on it.
    pub etag: Option<String>,
    pub evidence: Evidence,
    /// Whether nothing but the bytes and our content type is stored with it: headers that an uploader sent beside
    /// the signed ones must not reach those who read the blob.
    pub is_plain: bool,
    /// Whether a client's URL may still write to the key: what was proven there is proven again as it is placed.
    pub is_exposed: bool,
}

/// What the store itself can say about the digest of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing: the bytes were hashed when they came, or must be read.
    None,
    /// The digest of the whole object, by whatever algorithm, and how the store came by it.
    Digest(Digest, Proof),
    /// `Storage::stage` computes the SHA-256 of the bytes it stages, which are the ones to publish: a client may still
    /// change the object itself.
    ByStaging,
}

impl Sealed {
    /// What the store says it is, by an algorithm of its choice, if it can say so now.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        match self.evidence {
            Evidence::Digest(digest, _) => Some(digest),
            Evidence::None | Evidence::ByStaging => None,
        }
    }

    /// How a blob's row remembers it.
    #[must_use]
    pub fn object(&self, upload: UploadId) -> SealedObject {
        SealedObject { upload, path: self.key.as_str().to_owned(), etag: self.etag.clone() }
    }

    /// From a blob's row; [`StorageError::NotFound`] for a path that no upload has.
    pub(crate) fn restore(object: &SealedObject, size: u64, is_exposed: bool) -> Result<Self> {
        let key = key::sealed(object).ok_or(StorageError::NotFound)?;
        let etag = object.etag.clone();
        Ok(Self { key, size, etag, evidence: Evidence::None, is_plain: true, is_exposed })
    }

    /// A published blob, to be read.
    #[must_use]
    pub fn placed(blob: &Blob) -> Self {
        let (key, size) = (key::blob(&blob.digest), blob.size);
        Self { key, size, etag: None, evidence: Evidence::None, is_plain: true, is_exposed: false }
    }

    /// Where a blob made of these bytes stands until they are placed.
    #[must_use]
    pub fn placement(&self, upload: UploadId) -> Placement {
        let object = self.object(upload);
        if self.is_exposed { Placement::Exposed(object) } else { Placement::Sealed(object) }
    }
}

/// A copy at a blob's place that nobody sees before `Storage::publish`, and whose digest the store computed
/// while it copied.
#[derive(Debug)]
pub struct Staged {
    pub(super) place: Key,
    pub(super) store_upload_id: String,
    pub(super) etag: String,
    /// In bytes.
    pub(super) size: u64,
    pub(super) sha256: Digest,
}

impl Staged {
    #[must_use]
    pub const fn sha256(&self) -> Digest {
        self.sha256
    }
}
