//! Removing an upload, whoever is still writing to it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::directory::STAGED_PREFIX;
use super::put::empty;
use super::{Filesystem, Result, blocking};
use crate::domain::upload::UploadId;
use crate::storage::{StorageError, key};

/// A writer that was on its way in when the directory moved adds a file at most once: then it has noticed.
const REMOVE_ATTEMPTS: usize = 8;

impl Filesystem {
    pub(in crate::storage) async fn discard(&self, upload: UploadId) -> Result<()> {
        let root = self.root.clone();
        blocking(move || discard(&root, upload).map_err(StorageError::unavailable("discard an upload"))).await
    }
}

/// Moves the directory to where no writer looks for it and removes it there. The name is the upload's own,
/// so that discarding again finishes what a crash interrupted.
pub(super) fn discard(root: &Path, upload: UploadId) -> io::Result<()> {
    let directory = root.join(key::temp_prefix(upload).trim_end_matches('/'));
    let aside = root.join(key::TEMP_PREFIX).join(format!("discarded-{upload}"));
    let mut last = Ok(());
    for _ in 0..REMOVE_ATTEMPTS {
        match fs::rename(&directory, &aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return remove_aside(&aside),
            // Somebody else is discarding it, or was.
            outcome => last = outcome,
        }
        remove_aside(&aside)?;
        if last.is_ok() {
            return Ok(());
        }
    }
    last
}

/// Gives the bytes back, too, that senders who have not noticed yet would keep for as long as their connections last: an
/// upload that ended holds no quota any more. Not of what was sealed, which may stand for a blob by now. Where that
/// fails they are given back later.
fn remove_aside(aside: &Path) -> io::Result<()> {
    for entry in fs::read_dir(aside).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_unsealed = name == "data" || name.to_string_lossy().starts_with(STAGED_PREFIX);
        if is_unsealed && entry.metadata().is_ok_and(|file| file.is_file() && file.nlink() == 1) {
            let _ = empty(&entry.path());
        }
    }
    remove_directory(aside)
}

/// Removes a directory and all that is in it, following no symbolic link; one that is gone is fine.
pub(super) fn remove_directory(path: &Path) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..REMOVE_ATTEMPTS {
        last = fs::remove_dir_all(path);
        match &last {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() == ErrorKind::NotFound && path.exists() => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            _ => break,
        }
    }
    last
}
