//! Writes archives: a tar gets its name, and an image layout its index, once every blob in it is verified.

mod documents;
mod folder;
mod gzip;
mod range;
mod tar;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::reference::Tag;
use overside_protocol::wire::Descriptor;
use tokio::sync::mpsc::Receiver;

use super::blocking;
use crate::Result;
use crate::files::staged::StagedFile;
use crate::progress::Progress;
use crate::registry::manifest::Manifest;
use folder::Folder;
use range::RangeSlot;
use tar::TarFile;

pub use gzip::pack;

/// The format of an archive that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveFormat {
    /// A folder in the OCI image layout. Images that it has already stay.
    Folder,
    /// A tar that is an OCI archive and a Docker archive at once.
    Tar,
}

impl ArchiveFormat {
    /// The format of what is at the target, or else the one that its name means: `.tar` is a tar, any other a folder.
    #[must_use]
    pub fn of(target: &Path) -> Self {
        let is_named_tar = target.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
        if !target.is_dir() && (is_named_tar || target.is_file()) { Self::Tar } else { Self::Folder }
    }
}

/// The contents of an archive.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub root: Manifest,
    /// Every manifest below the root.
    pub below: Vec<Manifest>,
    /// Every config and layer, with their sizes.
    pub blobs: Vec<Descriptor>,
    pub name: Option<ImageName>,
}

/// The name of an image in an archive, such as `registry.example/team/app:v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageName {
    /// With the registry's address where it has one.
    pub repository: String,
    pub tag: Tag,
}

impl ImageName {
    #[must_use]
    pub fn new(repository: impl Into<String>, tag: Tag) -> Self {
        Self { repository: repository.into(), tag }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// An archive that is being written. Dropped before it is finished, it leaves what the next run goes on from.
#[derive(Debug)]
pub struct Output(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Folder(Arc<Folder>),
    Tar(Arc<TarFile>),
}

/// Where the bytes of one blob go. Blocking; one at a time for each blob.
#[derive(Debug)]
pub struct Slot(Place);

#[derive(Debug)]
enum Place {
    Staged(StagedFile),
    Range(RangeSlot),
}

impl Output {
    /// Prepares the target, and hashes what an earlier run left there.
    ///
    /// # Errors
    /// [`crate::Error::Archive`] if there is something else than such an archive, [`crate::Error::File`] if it cannot be written,
    /// [`crate::Error::DownloadInProgress`] if another process writes to it.
    pub async fn create(
        target: &Path,
        form: ArchiveFormat,
        bundle: Bundle,
        progress: &Progress,
    ) -> Result<Self> {
        let owned = target.to_owned();
        let output = blocking(target, progress.clone(), move |watch| {
            Ok(Self(match form {
                ArchiveFormat::Folder => Kind::Folder(Arc::new(Folder::create(&owned, bundle, watch)?)),
                ArchiveFormat::Tar => Kind::Tar(Arc::new(TarFile::create(&owned, bundle, watch)?)),
            }))
        });
        output.await
    }

    /// The blobs that are still to be written, each once.
    #[must_use]
    pub fn missing(&self) -> Vec<Descriptor> {
        match &self.0 {
            Kind::Folder(folder) => folder.missing().to_vec(),
            Kind::Tar(tar) => tar.missing(),
        }
    }

    /// The slot of a blob, with what an interrupted run has written to it.
    ///
    /// # Errors
    /// [`ArchiveError::BlobUnknown`](super::ArchiveError::BlobUnknown) if the bundle does not have the blob,
    /// [`crate::Error::File`] if its file cannot be opened.
    pub async fn slot(&self, digest: &Digest, progress: &Progress) -> Result<Slot> {
        let (kind, digest) = (self.0.clone(), *digest);
        let slot = blocking(Path::new("the archive"), progress.clone(), move |watch| match kind {
            Kind::Folder(folder) => Ok(Slot(Place::Staged(folder.slot(&digest, watch)?))),
            Kind::Tar(tar) => Ok(Slot(Place::Range(RangeSlot::open(tar, &digest, watch)?))),
        });
        slot.await
    }

    /// Writes manifests and index, and gives the archive its name.
    ///
    /// # Errors
    /// [`ArchiveError::Unfinished`](super::ArchiveError::Unfinished) if a blob is not published, [`crate::Error::File`] if something
    /// cannot be written.
    pub async fn finish(self) -> Result<()> {
        let finished = blocking(Path::new("the archive"), Progress::default(), move |watch| match self.0 {
            Kind::Folder(folder) => folder.finish(watch),
            Kind::Tar(tar) => tar.finish(),
        });
        finished.await
    }
}

impl From<StagedFile> for Slot {
    fn from(staged: StagedFile) -> Self {
        Self(Place::Staged(staged))
    }
}

impl Slot {
    /// Bytes written so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        match &self.0 {
            Place::Staged(staged) => staged.length(),
            Place::Range(range) => range.length(),
        }
    }

    /// Appends chunks until there are no more of them.
    ///
    /// # Errors
    /// [`crate::Error::File`] if they cannot be written.
    pub fn write(self, chunks: Receiver<Bytes>) -> Result<Self> {
        Ok(Self(match self.0 {
            Place::Staged(staged) => Place::Staged(staged.write(chunks)?),
            Place::Range(range) => Place::Range(range.write(chunks)?),
        }))
    }

    /// Makes the blob part of the archive.
    ///
    /// # Errors
    /// [`crate::Error::DigestMismatch`] if the bytes have another digest; they are discarded. [`crate::Error::File`] if they
    /// cannot be written.
    pub fn publish(self) -> Result<()> {
        match self.0 {
            Place::Staged(staged) => staged.publish(),
            Place::Range(range) => range.publish(),
        }
    }
}
