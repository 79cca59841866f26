//! Who may write to an upload now. The locks are `flock`s: they hold between the processes of one host,
//! and end with the process that holds them, however it ends.
//!
//! * An append holds the upload's lock exclusively from its first byte to its last.
//! * A part is sent under shared locks, one for each block: a stalled sender never keeps the upload from
//!   being sealed, it finds out with its next block.
//! * Whatever renames takes it exclusively, for as long as that takes.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use super::Result;
use super::directory::{UploadDirectory, missing, writable};
use crate::storage::StorageError;

/// How long to wait for a lock. Renames and blocks hold one for milliseconds; what holds it longer is an
/// append, which the client of a second one had better learn soon.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// How often to look: about as long as the work that is waited for.
const LOCK_POLL: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Shared,
    Exclusive,
}

/// The right to write to an upload that is there; given back when dropped.
#[derive(Debug)]
pub(super) struct UploadLock {
    file: File,
    directory: UploadDirectory,
}

impl UploadLock {
    /// Takes the lock. [`StorageError::UploadNotFound`] once the upload was discarded.
    pub fn acquire(directory: &UploadDirectory, access: Access) -> Result<Self> {
        let file = writable(true)
            .open(directory.lock())
            .map_err(missing(StorageError::UploadNotFound, "open an upload's lock"))?;
        wait_for(&file, access)?;
        let lock = Self { file, directory: directory.clone() };
        lock.still_there()?;
        Ok(lock)
    }

    /// As [`Self::acquire`], and what will be published is not yet fixed.
    pub fn acquire_unsealed(directory: &UploadDirectory, access: Access) -> Result<Self> {
        let lock = Self::acquire(directory, access)?;
        if directory.sealed_size()?.is_some() { Err(StorageError::UploadNotFound) } else { Ok(lock) }
    }

    /// That the lock is still the upload's: discarding it does not wait for writers, and an upload's
    /// directory made anew has a lock of its own.
    pub fn still_there(&self) -> Result<()> {
        let ours = self.file.metadata().map_err(StorageError::unavailable("look at an upload's lock"))?;
        let named = fs::symlink_metadata(self.directory.lock())
            .map_err(missing(StorageError::UploadNotFound, "look at an upload's lock"))?;
        if (ours.dev(), ours.ino()) == (named.dev(), named.ino()) {
            Ok(())
        } else {
            Err(StorageError::UploadNotFound)
        }
    }
}

/// Waits for a file's lock, which lasts until the file is closed. Blocks; the waiters are few, because the
/// service lets one request at a time append to an upload or finalize it.
pub(super) fn wait_for(file: &File, access: Access) -> Result<()> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let attempt = match access {
            Access::Shared => file.try_lock_shared(),
            Access::Exclusive => file.try_lock(),
        };
        match attempt {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::Busy("another request is writing there"));
            }
            Err(TryLockError::Error(error)) => return Err(StorageError::unavailable("lock a file")(error)),
        }
    }
}
