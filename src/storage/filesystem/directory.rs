//! One upload's directory: the names in it, and how they are made durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Result, make_directories};
use crate::domain::part::PartNumber;
use crate::domain::upload::UploadId;
use crate::storage::{StorageError, key};

/// As for directories: their owner's alone, whatever the umask.
const FILE_MODE: u32 = 0o600;
/// What a PUT under way is called, up to its random end.
pub(super) const STAGED_PREFIX: &str = "staged-";

/// `temp/<upload uuid>`.
#[derive(Debug, Clone)]
pub(super) struct UploadDirectory {
    path: PathBuf,
}

impl UploadDirectory {
    pub fn new(root: &Path, upload: UploadId) -> Self {
        Self { path: root.join(key::temp_prefix(upload).trim_end_matches('/')) }
    }

    /// The directory of the sealed object at `path`.
    pub fn of_sealed(path: &Path) -> Option<Self> {
        path.parent().map(|path| Self { path: path.to_owned() })
    }

    /// Makes the directory and its lock; what is there stays.
    pub fn create(&self) -> Result<()> {
        make_directories(&self.path).map_err(StorageError::unavailable("make an upload's directory"))?;
        writable(false)
            .create(true)
            .open(self.lock())
            .map(drop)
            .map_err(missing(StorageError::UploadNotFound, "make an upload's lock"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub fn checksum(&self) -> PathBuf {
        self.path.join("data.digest")
    }

    pub fn sealed(&self) -> PathBuf {
        self.path.join("sealed")
    }

    pub fn parts(&self) -> PathBuf {
        self.path.join("parts")
    }

    pub fn part(&self, number: PartNumber) -> PathBuf {
        self.parts().join(number.to_string())
    }

    pub fn staged(&self) -> PathBuf {
        self.path.join(format!("{STAGED_PREFIX}{}", Uuid::new_v4().as_simple()))
    }

    pub fn placing(&self) -> PathBuf {
        self.path.join(format!("placing-{}", Uuid::new_v4().as_simple()))
    }

    /// The size of what was sealed, if it was. Only an answer while the lock is held.
    pub fn sealed_size(&self) -> Result<Option<u64>> {
        size_of(&self.sealed()).map_err(StorageError::unavailable("look for the sealed file"))
    }

    /// Makes the names in the directory durable, and its own.
    pub fn sync(&self) -> Result<()> {
        sync(&self.path)?;
        self.path.parent().map_or(Ok(()), sync)
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(missing(StorageError::UploadNotFound, "sync a directory"))
}

/// The size of a file in bytes, if it is there.
pub(super) fn size_of(path: &Path) -> io::Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file; one that is gone is fine.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Options for a file of an upload, opened for reading too where asked; nothing is made or cut off.
pub(super) fn writable(read: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(read).write(true).truncate(false).mode(FILE_MODE);
    options
}

/// Writes a small file anew.
pub(super) fn write_small(path: &Path, content: &[u8]) -> io::Result<()> {
    writable(false).create(true).truncate(true).open(path)?.write_all(content)
}

/// For `map_err`: what it means when the file is not there; anything else is the store failing to do `action`.
pub(super) fn missing(meaning: StorageError, action: &'static str) -> impl FnOnce(io::Error) -> StorageError {
    move |error| {
        if error.kind() == io::ErrorKind::NotFound {
            meaning
        } else {
            StorageError::unavailable(action)(error)
        }
    }
}
