//! A download on disk before it is verified: `<name>.<digest>.partial` beside the target, renamed at the end.
//!
//! Blocking code: it runs on threads where blocking is fine. What an interrupted run left is resumed.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::partial;
use super::source::hash_to_end;
use crate::progress::{Progress, Stage};
use crate::{Error, Result};

/// Digits of the digest in a staged file's name: enough that no two blobs share one by chance.
const NAME_DIGITS: usize = 16;

/// A staged file, locked, with the hash of all that is in it.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    digest: Digest,
    hasher: Hasher,
    length: u64,
}

impl StagedFile {
    /// Opens the staged file for `target`, and hashes what an earlier run left in it, unless that is too long.
    pub(crate) fn open(
        target: &Path,
        digest: Digest,
        size: u64,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let name = target.file_name().filter(|_| !target.is_dir());
        let name = name.ok_or_else(|| Error::NotAFile(target.to_owned()))?;
        let mut staged_name = name.to_owned();
        staged_name.push(format!(".{}.partial", &digest.hex()[..NAME_DIGITS]));
        let path = target.with_file_name(staged_name);
        let file = open_locked(&path, target)?;
        let mut left = file.metadata().map_err(Error::file("read", &path))?.len();
        if left > size {
            file.set_len(0).map_err(Error::file("truncate", &path))?;
            left = 0;
        }
        let hasher = Hasher::new(digest.algorithm());
        let (hasher, length) = if left == 0 {
            (hasher, 0)
        } else {
            progress.started(Stage::Hashing, left, 0);
            hash_to_end(hasher, &file, progress, stop, |_, _| {}).map_err(Error::file("read", &path))?
        };
        Ok(Self { file, path, target: target.to_owned(), digest, hasher, length })
    }

    /// Bytes staged so far.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Appends chunks until there are no more of them.
    pub(crate) fn write(mut self, mut chunks: Receiver<Bytes>) -> Result<Self> {
        while let Some(chunk) = chunks.blocking_recv() {
            self.file.write_all(&chunk).map_err(Error::file("write", &self.path))?;
            self.hasher.update(&chunk);
            self.length += chunk.len() as u64;
        }
        Ok(self)
    }

    /// Gives the file its name, if the bytes are what they should be; removes it if they are not.
    pub(crate) fn publish(self) -> Result<()> {
        let Self { file, path, target, digest, hasher, .. } = self;
        let found = hasher.finish();
        if found != digest {
            std::fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            return Err(Error::mismatch(digest, found));
        }
        finish(&file, &path, &target)
    }
}

/// Gives a finished file its name, which it keeps through a power cut.
pub(crate) fn finish(file: &File, path: &Path, target: &Path) -> Result<()> {
    let finished = partial::share(file).and_then(|()| file.sync_all());
    finished.map_err(Error::file("finish", path))?;
    std::fs::rename(path, target).map_err(Error::file("create", target))?;
    // A rename survives a power cut only once the folder is on disk too.
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file("sync", folder))?;
    }
    Ok(())
}

/// Opens and locks a partial file: two processes writing to one file would spoil it for both, and one of them after the rename.
pub(crate) fn open_locked(path: &Path, target: &Path) -> Result<File> {
    loop {
        let file = partial::open(path).map_err(Error::file("create", path))?;
        match file.try_lock() {
            Ok(()) if partial::is_at(&file, path) => return Ok(file),
            // Renamed between our open and our lock: this is somebody's finished file now.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::DownloadInProgress(target.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", path)(error)),
        }
    }
}
