//! Removing what is published, and listing it.

use std::fs::{self, File, ReadDir};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::directory::{remove_file, sync, writable};
use super::lock::{Access, wait_for};
use super::{Filesystem, Result, blocking};
use crate::domain::digest::{Algorithm, Digest};
use crate::storage::{BlobCursor, BlobEntry, BlobPage, StorageError, key};

/// Held shared by whoever publishes and exclusively by whoever removes, for as long as that takes.
const LOCK_FILE: &str = ".blobs.lock";
/// First bytes of a digest: as many directories has an algorithm.
const FANNED_OUT: u16 = 256;

impl Filesystem {
    /// Not after `until`, which is looked at under the lock: from then on an upload may have put the blob there
    /// again, and this process may have been stopped for any length of time.
    pub(in crate::storage) async fn remove_blob(&self, digest: &Digest, until: DateTime<Utc>) -> Result<()> {
        let (root, path, clock) = (Arc::clone(&self.root), self.path(&key::blob(digest)), self.clock.clone());
        blocking(move || {
            let _lock = lock(&root, Access::Exclusive)?;
            if clock.now() >= until {
                return Err(StorageError::Busy("there is no time left to delete the blob"));
            }
            remove(&root.join(key::BLOB_PREFIX), &path).map_err(StorageError::unavailable("delete a blob"))
        })
        .await
    }

    /// A page has the blobs whose digests begin with one byte.
    pub(in crate::storage) async fn blob_entries(&self, cursor: Option<BlobCursor>) -> Result<BlobPage> {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
        let mut all = algorithms.iter().flat_map(|algorithm| {
            (0..FANNED_OUT).map(move |byte| format!("{}{algorithm}/{byte:02x}/", key::BLOB_PREFIX))
        });
        let prefix = match cursor {
            None => all.next(),
            Some(BlobCursor(after)) => all.find(|prefix| *prefix == after),
        };
        let next = all.next().map(BlobCursor);
        let Some(prefix) = prefix else { return Ok(BlobPage { entries: Vec::new(), next: None }) };
        let root = Arc::clone(&self.root);
        let listing = move || entries(&root, &prefix).map_err(StorageError::unavailable("list blobs"));
        Ok(BlobPage { entries: blocking(listing).await?, next })
    }
}

/// Keeps those who remove from those who publish; given back when the file is closed.
pub(super) fn lock(root: &Path, access: Access) -> Result<File> {
    let file = writable(false).create(true).open(root.join(LOCK_FILE));
    let file = file.map_err(StorageError::unavailable("open the lock on what is published"))?;
    wait_for(&file, access)?;
    Ok(file)
}

/// Removes a file, and the directories that it was the last in: nobody makes them anew meanwhile.
fn remove(blobs: &Path, path: &Path) -> io::Result<()> {
    remove_file(path)?;
    for directory in path.ancestors().skip(1).take_while(|directory| *directory != blobs) {
        match fs::remove_dir(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // The name must be gone for good before its row is.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                return sync(directory).map_err(io::Error::other);
            }
            Err(error) => return Err(error),
        }
    }
    sync(blobs).map_err(io::Error::other)
}

fn entries(root: &Path, prefix: &str) -> io::Result<Vec<BlobEntry>> {
    let mut entries = Vec::new();
    let Some(directories) = read(&root.join(prefix))? else { return Ok(entries) };
    for directory in directories {
        let directory = directory?;
        let Some(files) = read(&directory.path())? else { continue };
        for file in files {
            let file = file?;
            let names = (directory.file_name().into_string(), file.file_name().into_string());
            let (Ok(directory), Ok(name)) = names else { continue };
            // What we did not put there is not ours to remove.
            let Some(digest) = key::blob_digest(&format!("{prefix}{directory}/{name}")) else { continue };
            match file.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                metadata => {
                    let metadata = metadata?;
                    let modified = metadata.modified()?.into();
                    entries.push(BlobEntry { digest, size: metadata.len(), modified });
                }
            }
        }
    }
    Ok(entries)
}

/// None where there is no such directory, or not any more.
fn read(path: &Path) -> io::Result<Option<ReadDir>> {
    match fs::read_dir(path) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
