//! Image archives: those of `docker save` and of the OCI image layout, packed or not, and image layouts in folders.
//!
//! ```text
//! Archive::open ──> contents (folder, tar or packed tar) ──> oci or docker: what it says it has
//!                                                       └──> verify: every byte hashed, against digests and diff ids
//! Archive::compress ──> plain layers packed into temporary files, and the manifests that name them
//! Output::create ──> a slot for each blob ──> finish: the index, and the name
//! ```
//! An archive is checked whole before anything of it is used, and is never unpacked to disk: a layer of a plain
//! tar is a section of that file.

mod compress;
mod compression;
mod contents;
mod docker;
mod examine;
mod header;
mod json;
mod name;
mod oci;
mod output;
mod spool;
mod table;
mod tar_reader;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use overside_protocol::digest::Digest;
use overside_protocol::wire::Descriptor;
use tempfile::TempPath;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use crate::files::midstates::Midstates;
use crate::files::source::FileSource;
use crate::registry::manifest::Manifest;
use compression::Compression;
use contents::{Contents, Member, MemberLocation};
use examine::Watch;
use verify::{ArchiveIndex, ExaminedFiles, hash_all};

pub use super::error::{ArchiveError, MissingContent};
pub use compress::{CompressedArchive, LayerCompression};
pub use output::{ArchiveFormat, Bundle, ImageName, Output, Slot, pack};

/// A sound archive: all that it says it has is there, with the digests that it says.
///
/// One thing is not checked: layers of a foreign type, which may be missing and are never sent.
#[derive(Debug)]
pub struct Archive {
    contents: Arc<Contents>,
    images: Vec<Image>,
    manifests: HashMap<Digest, Manifest>,
    blobs: HashMap<Digest, Blob>,
    makes_manifests: bool,
}

/// An image, an index or another artifact that an archive has under a name of its own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Image {
    /// `RepoTags`, or the names in the layout's index. Empty for an image without a name.
    pub names: Vec<String>,
    pub root: Descriptor,
    /// What the archive lacks of it: the first thing of each platform. As a rule nothing.
    pub missing: Vec<MissingContent>,
    /// If it is an index that lacks something: its images that lack nothing.
    pub whole: Vec<Descriptor>,
}

impl From<MissingContent> for ArchiveError {
    fn from(missing: MissingContent) -> Self {
        if missing.is_manifest {
            Self::MissingManifest(missing)
        } else {
            Self::missing("the blob", name::of_blob(&missing.digest))
        }
    }
}

impl Image {
    /// An image of which the archive lacks nothing.
    pub(super) const fn of(names: Vec<String>, root: Descriptor) -> Self {
        Self { names, root, missing: Vec::new(), whole: Vec::new() }
    }

    /// Whether the archive has it, or an image of it for one platform.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.missing.is_empty() || !self.whole.is_empty()
    }
}

#[derive(Debug)]
struct Blob {
    member: Member,
    midstates: Midstates,
    layer: Option<LayerContent>,
}

/// A layer of an image's file system: how it is packed, and what it is unpacked.
#[derive(Debug, Clone, Copy)]
struct LayerContent {
    compression: Option<Compression>,
    diff_id: Digest,
}

impl Blob {
    /// Whether this is a layer as no registry's client unpacks it, or one that is not packed at all.
    fn is_unpacked_layer(&self) -> bool {
        let unpacks = |compression| matches!(compression, Some(Compression::Gzip | Compression::Zstd));
        self.layer.is_some_and(|layer| !unpacks(layer.compression))
    }
}

/// A blob's bytes, as a file or a section of one. A file that was unpacked for it is removed when this is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedBlob {
    pub source: FileSource,
    pub midstates: Midstates,
    _spooled: Option<TempPath>,
}

impl Archive {
    /// Recognises and checks the archive at `path`. Takes as long as hashing everything; dropping the future stops it.
    ///
    /// # Errors
    /// [`ArchiveError`] says what is wrong: the file cannot be read, is no image archive, is damaged or truncated, or lacks what
    /// it names.
    pub async fn open(path: &Path, progress: &Progress) -> Result<Self, ArchiveError> {
        let (owned, progress) = (path.to_owned(), progress.clone());
        blocking(path, progress, move |watch| Self::open_blocking(&owned, watch)).await
    }

    fn open_blocking(path: &Path, watch: &Watch) -> Result<Self, ArchiveError> {
        let contents = Contents::open(path, watch)?;
        let is_layout = contents.find(oci::INDEX)?.is_some();
        let is_saved = contents.find(docker::IMAGES)?.is_some();
        let (makes_manifests, found, hashed) = match (is_layout, is_saved) {
            (false, false) if contents.is_folder() => return Err(ArchiveError::NoIndex(path.to_owned())),
            (false, false) => return Err(contents.or_truncated(ArchiveError::NoImages)),
            (false, true) => Self::saved(&contents, watch)?,
            // Docker writes both, and lists in the index also platforms that it does not have.
            (true, _) => {
                let found = oci::find(&contents, watch);
                let is_usable = |found: &ArchiveIndex| found.images.iter().all(Image::is_usable);
                let saved = (is_saved && !found.as_ref().is_ok_and(is_usable))
                    .then(|| Self::saved(&contents, watch).ok())
                    .flatten();
                match saved {
                    Some(saved) => saved,
                    None => Self::layout(found?, &contents, watch)?,
                }
            }
        };
        let diff_ids: HashMap<_, _> = found.layers.iter().map(|layer| (layer.digest, layer)).collect();
        let mut blobs = HashMap::with_capacity(found.blobs.len());
        for (digest, member) in found.blobs {
            let examined = hashed.get(&member.name);
            let compression = examined.and_then(|examined| Some(examined.packed.as_ref()?.0));
            let layer = diff_ids.get(&digest).filter(|layer| layer.may_be_packed);
            let layer = layer.map(|layer| LayerContent { compression, diff_id: layer.diff_id });
            let midstates = examined.map(|examined| examined.midstates.clone()).unwrap_or_default();
            blobs.insert(digest, Blob { member, midstates, layer });
        }
        let (images, manifests) = (found.images, found.manifests);
        Ok(Self { contents: Arc::new(contents), images, manifests, blobs, makes_manifests })
    }

    fn layout(
        found: ArchiveIndex,
        contents: &Contents,
        watch: &Watch,
    ) -> Result<(bool, ArchiveIndex, ExaminedFiles), ArchiveError> {
        let hashed = hash_all(contents, found.blobs.values(), watch)?;
        found.verify(&hashed, contents, watch)?;
        Ok((false, found, hashed))
    }

    fn saved(
        contents: &Contents,
        watch: &Watch,
    ) -> Result<(bool, ArchiveIndex, ExaminedFiles), ArchiveError> {
        let saved = docker::find(contents, watch)?;
        let hashed = hash_all(contents, saved.members(), watch)?;
        Ok((true, saved.verify(&hashed, contents, watch)?, hashed))
    }

    /// Whether the manifests were made here because the archive has none. Nobody knows their digests yet then.
    #[must_use]
    pub const fn makes_manifests(&self) -> bool {
        self.makes_manifests
    }

    /// The images in the archive's order.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Any manifest at or below an image's root.
    #[must_use]
    pub fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        self.manifests.get(digest)
    }

    /// A config's or a layer's bytes. Of a packed archive they are unpacked to a temporary file first; opened in the order of
    /// [`Self::order`], all blobs together unpack the archive once.
    ///
    /// # Errors
    /// [`ArchiveError::BlobUnknown`] if no image of the archive has the blob, [`ArchiveError::Changed`] if somebody has written to
    /// the archive since it was checked, [`ArchiveError::File`] if it cannot be read, or no temporary file written.
    pub async fn open_blob(&self, digest: &Digest) -> Result<OpenedBlob, ArchiveError> {
        let blob = self.blobs.get(digest).ok_or(ArchiveError::BlobUnknown(*digest))?;
        let midstates = blob.midstates.clone();
        match &blob.member.place {
            MemberLocation::Plain(source) => {
                let changed = |_| ArchiveError::Changed(source.path().to_owned());
                source.check_unchanged().await.map_err(changed)?;
                Ok(OpenedBlob { source: source.clone(), midstates, _spooled: None })
            }
            MemberLocation::Packed(section) => {
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

    /// The position of a blob in the archive: in this order a disk reads forward. Always 0 in a folder.
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
