//! Images in files: archives of `docker save` and of the OCI image layout, packed or not, and layouts in folders.
//!
//! ```text
//! Archive::open ──> contents (folder, tar or packed tar) ──> oci or docker: what it says it has
//!                                                       └──> prove: every byte hashed, against digests and diff ids
//! Output::create ──> a slot for each blob ──> finish: the index, and the name
//! ```
//! An archive is checked whole before anything of it is used, and is never unpacked to disk: a layer of a plain
//! tar is a section of that file.

mod contents;
mod docker;
mod error;
mod examine;
mod header;
mod json;
mod limits;
mod name;
mod oci;
mod output;
mod prove;
mod spool;
mod table;
mod tape;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempPath;
use tokio_util::sync::CancellationToken;

use super::manifest::Manifest;
use super::midstates::Midstates;
use super::progress::Progress;
use super::source::FileSource;
use crate::domain::digest::Digest;
use crate::http::wire::Descriptor;
use contents::{Contents, Member, Place};
use examine::Watch;
use prove::{Found, Hashed, hash_all};

pub use error::ArchiveError;
pub use output::{Bundle, Form, ImageName, Output, Slot, pack};

/// A sound archive: all that it says it has is there, with the digests that it says.
///
/// One thing is not checked: layers of a foreign type, which may be missing and are never sent.
#[derive(Debug)]
pub struct Archive {
    contents: Arc<Contents>,
    images: Vec<Image>,
    manifests: HashMap<Digest, Manifest>,
    blobs: HashMap<Digest, Blob>,
}

/// An image, an index or another artifact that an archive has under a name of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// `RepoTags`, or what the layout's index calls it; none at all for one that has no name.
    pub names: Vec<String>,
    pub root: Descriptor,
}

#[derive(Debug)]
struct Blob {
    member: Member,
    midstates: Midstates,
}

/// A blob's bytes, as a file or a section of one. What was unpacked for it is removed with it.
#[derive(Debug)]
pub struct OpenedBlob {
    pub source: FileSource,
    pub midstates: Midstates,
    _spooled: Option<TempPath>,
}

impl Archive {
    /// Recognises and checks what is at `path`. Takes as long as hashing everything; dropping the future stops it.
    pub async fn open(path: &Path, progress: &Progress) -> Result<Self, ArchiveError> {
        let (owned, progress) = (path.to_owned(), progress.clone());
        blocking(path, progress, move |watch| Self::open_blocking(&owned, watch)).await
    }

    fn open_blocking(path: &Path, watch: &Watch) -> Result<Self, ArchiveError> {
        let contents = Contents::open(path, watch)?;
        let is_layout = contents.find(oci::INDEX)?.is_some();
        let is_saved = contents.find(docker::IMAGES)?.is_some();
        let (found, hashed) = match (is_layout, is_saved) {
            (false, false) if contents.is_folder() => return Err(ArchiveError::NoIndex(path.to_owned())),
            (false, false) => return Err(contents.or_truncated(ArchiveError::NoImages)),
            (false, true) => Self::saved(&contents, watch)?,
            // Docker writes both, and lists in the index also platforms that it does not have.
            (true, _) => match oci::find(&contents, watch) {
                Ok(found) => Self::layout(found, &contents, watch)?,
                Err(unsound) if is_saved => Self::saved(&contents, watch).map_err(|_| unsound)?,
                Err(unsound) => return Err(unsound),
            },
        };
        let mut blobs = HashMap::with_capacity(found.blobs.len());
        for (digest, member) in found.blobs {
            let midstates = hashed.get(&member.name).map(|examined| examined.midstates.clone());
            blobs.insert(digest, Blob { member, midstates: midstates.unwrap_or_default() });
        }
        let (images, manifests) = (found.images, found.manifests);
        Ok(Self { contents: Arc::new(contents), images, manifests, blobs })
    }

    fn layout(found: Found, contents: &Contents, watch: &Watch) -> Result<(Found, Hashed), ArchiveError> {
        let hashed = hash_all(contents, found.blobs.values(), watch)?;
        found.prove(&hashed)?;
        Ok((found, hashed))
    }

    fn saved(contents: &Contents, watch: &Watch) -> Result<(Found, Hashed), ArchiveError> {
        let saved = docker::find(contents, watch)?;
        let hashed = hash_all(contents, saved.members(), watch)?;
        Ok((saved.prove(&hashed)?, hashed))
    }

    /// What it has, in its order.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Any manifest at or below an image's root.
    #[must_use]
    pub fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        self.manifests.get(digest)
    }

    /// A config's or a layer's bytes. Of a packed archive it is unpacked to a temporary file first; opened in the
    /// order of [`Self::order`], all blobs together unpack the archive once.
    pub async fn open_blob(&self, digest: &Digest) -> Result<OpenedBlob, ArchiveError> {
        let blob = self.blobs.get(digest).ok_or(ArchiveError::BlobUnknown(*digest))?;
        let midstates = blob.midstates.clone();
        match &blob.member.place {
            Place::Plain(source) => {
                let changed = |_| ArchiveError::Changed(source.path().to_owned());
                source.check_unchanged().await.map_err(changed)?;
                Ok(OpenedBlob { source: source.clone(), midstates, _spooled: None })
            }
            Place::Packed(section) => {
                let (contents, section, digest) = (Arc::clone(&self.contents), *section, *digest);
                let spooled = blocking(&self.contents.path, Progress::default(), move |watch| {
                    let packed = contents.packed().ok_or(ArchiveError::BlobUnknown(digest))?;
                    packed.spool(section, digest, watch)
                });
                let (source, path) = spooled.await?;
                Ok(OpenedBlob { source, midstates, _spooled: Some(path) })
            }
        }
    }

    /// Where a blob comes in the archive: read in this order, a disk reads forward. Always 0 in a folder.
    #[must_use]
    pub fn order(&self, digest: &Digest) -> u64 {
        self.blobs.get(digest).map_or(u64::MAX, |blob| blob.member.order)
    }

    /// Whether the archive is packed as a whole: its blobs are best opened one at a time, by [`Self::order`].
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.contents.is_packed()
    }
}

/// Runs `work` on a thread of its own; dropping the future stops it.
async fn blocking<T: Send + 'static, E: From<ArchiveError> + Send + 'static>(
    path: &Path,
    progress: Progress,
    work: impl FnOnce(&Watch) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let watch = Watch { progress, stop: CancellationToken::new() };
    let _stop_when_dropped = watch.stop.clone().drop_guard();
    let ended = tokio::task::spawn_blocking(move || work(&watch)).await;
    ended.map_err(|failure| ArchiveError::file("go through", path)(std::io::Error::other(failure)))?
}
