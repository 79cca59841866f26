//! Bytes on a local filesystem, one directory tree:
//!
//! ```text
//! temp/<upload uuid>/lock            who may write here now; see [`lock`]
//!                    data            the bytes, as they come
//!                    data.digest     what one PUT was hashed to while it came
//!                    parts/<number>  who is sending a part, or what arrived of it
//!                    staged-<uuid>   a PUT under way
//!                    sealed          what will be published; `data` renamed
//!                    placing-<uuid>  about to become a blob
//! temp/discarded-<upload uuid>       being removed
//! blobs/<algorithm>/ab/cd/<hex>      published
//! ```
//! A file is staged, synced and renamed, so that no reader and no crash ever sees half of one. Parts are
//! written at their offset into `data`: assembling them copies nothing.
//!
//! The signed URLs lead back to this server, which hands the bodies to `Filesystem::receive_put` and
//! `Filesystem::receive_part`. Neither makes the upload's directory: a PUT that comes after the upload
//! was discarded finds no place to write.

pub(super) mod append;
mod blocks;
mod directory;
mod discard;
mod lock;
mod marker;
mod multipart;
mod part;
mod place;
mod put;
mod remove;
mod seal;
mod sweep;
#[cfg(test)]
mod tests;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::clock::Clock;
use crate::domain::upload::UploadId;
use crate::storage::signed_url::{PartSigner, UrlSigner, expiry};
use crate::storage::{Lengths, PresignedRequest, PutTerms, StorageError, key};

use directory::UploadDirectory;

type Result<T> = std::result::Result<T, StorageError>;

/// Nobody but the service's user needs to see blobs, or even their names.
const DIRECTORY_MODE: u32 = 0o700;
/// Overwritten by every [`Filesystem::check`] and left: one name, so nothing piles up.
const CHECK_FILE: &str = ".writable";

/// A store on the local filesystem.
#[derive(Debug, Clone)]
pub struct Filesystem {
    root: Arc<Path>,
    signer: UrlSigner,
    clock: Clock,
}

impl Filesystem {
    /// Whether there is a store below `root`.
    #[must_use]
    pub fn is_at(root: &Path) -> bool {
        root.join(key::BLOB_PREFIX).is_dir()
    }

    /// A store that is only named, and not looked at before it is used.
    #[must_use]
    pub fn unopened(root: PathBuf, signer: UrlSigner, clock: Clock) -> Self {
        Self { root: root.into(), signer, clock }
    }

    /// Opens the store below `root`, making what is missing.
    ///
    /// # Errors
    ///
    /// `Unavailable` where a folder cannot be made, or `temp` and `blobs` are not on one filesystem.
    pub async fn open_at(root: PathBuf, signer: UrlSigner, clock: Clock) -> Result<Self> {
        let store = Self::unopened(root, signer, clock);
        let root = Arc::clone(&store.root);
        blocking(move || {
            let open = |prefix| {
                let directory = root.join(prefix);
                make_directories(&directory).and_then(|()| fs::metadata(directory))
            };
            let [temp, blobs] = [key::TEMP_PREFIX, key::BLOB_PREFIX].map(open);
            let failed = || StorageError::unavailable("make its directories");
            if temp.map_err(failed())?.dev() != blobs.map_err(failed())?.dev() {
                return Err(StorageError::unavailable("open its directories")(
                    "temp and blobs must lie on one filesystem: publishing is a rename",
                ));
            }
            directory::sync(&root)
        })
        .await?;
        store.check().await?;
        Ok(store)
    }

    /// What signs this store's URLs, and checks those that come back.
    #[must_use]
    pub const fn signer(&self) -> &UrlSigner {
        &self.signer
    }

    pub(super) async fn presign_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        let directory = self.directory(upload);
        blocking(move || directory.create()).await?;
        Ok(self.signer.put(upload, terms, self.expires(lifetime)))
    }

    pub(super) fn part_signer(&self, upload: UploadId, lengths: Lengths, lifetime: Duration) -> PartSigner {
        self.signer.parts(upload, lengths, self.expires(lifetime))
    }

    /// Writes a byte: a full disk or a read-only mount shows here and not first in a client's upload.
    pub(super) async fn check(&self) -> Result<()> {
        let path = self.root.join(CHECK_FILE);
        let write = move || directory::write_small(&path, b"\n");
        blocking(move || write().map_err(StorageError::unavailable("write below its root"))).await
    }

    fn directory(&self, upload: UploadId) -> UploadDirectory {
        UploadDirectory::new(&self.root, upload)
    }

    fn path(&self, key: &key::Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn expires(&self, lifetime: Duration) -> DateTime<Utc> {
        expiry(self.clock.now(), lifetime)
    }
}

/// Runs file operations where they stall no other request.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(StorageError::unavailable("run a file operation"))?
}

/// Makes a directory and those above it; what is there stays.
fn make_directories(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}
