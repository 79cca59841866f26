//! A whole blob in one PUT: staged and hashed as it comes, checked against what was signed, renamed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use uuid::Uuid;

use super::blocks::BlockWriter;
use super::directory::{STAGED_PREFIX, UploadDirectory, missing, remove_file, writable, write_small};
use super::lock::{Access, UploadLock, wait_for};
use super::{Filesystem, Result, blocking};
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::upload::UploadId;
use crate::storage::{PutTerms, StorageError};

/// A PUT under way. Its file is locked while somebody writes to it.
#[derive(Debug)]
struct Staged {
    file: File,
    path: PathBuf,
}

impl Filesystem {
    /// Takes the body of a signed PUT and tells the ETag it got. Nothing stays of a body that is not what
    /// `terms` say, or longer than `max_size` bytes. [`StorageError::UploadNotFound`] once the upload is
    /// sealed or discarded.
    pub async fn receive_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        max_size: u64,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        let directory = self.directory(upload);
        let staged = blocking({
            let directory = directory.clone();
            move || Staged::create(&directory)
        })
        .await?;
        let path = staged.path.clone();
        let outcome = receive(directory, staged, terms, max_size, body).await;
        if outcome.is_err() {
            // The error that counts is the one there is already.
            let _ = blocking(move || remove_file(&path).map_err(StorageError::unavailable("remove a file")))
                .await;
        }
        outcome
    }
}

async fn receive(
    directory: UploadDirectory,
    staged: Staged,
    terms: PutTerms,
    max_size: u64,
    body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
) -> Result<String> {
    let mut writer = BlockWriter::new(staged, Staged::write);
    // As it was signed. What was signed without a digest will most likely be claimed by a SHA-256.
    let mut hasher = Hasher::new(terms.digest.map(|digest| digest.algorithm()).unwrap_or_default());
    // Here and not where it is written, so that one block is hashed while the other is written.
    let body = body.inspect_ok(|bytes| hasher.update(bytes));
    let received = writer.receive(body, terms.size.unwrap_or(max_size).min(max_size)).await?;
    if terms.size.is_some_and(|size| received < size) {
        return Err(StorageError::Incomplete);
    }
    let Staged { file, path } = writer.finish().await?;
    let digest = hasher.finish();
    if terms.digest.is_some_and(|expected| digest != expected) {
        return Err(StorageError::ChecksumMismatch);
    }
    blocking(move || {
        file.sync_data().map_err(StorageError::unavailable("sync a received file"))?;
        let inode = file.metadata().map_err(StorageError::unavailable("look at a received file"))?.ino();
        let _lock = UploadLock::acquire_unsealed(&directory, Access::Exclusive)?;
        // First: inodes are used again, and a record that outlives its file could come to fit another.
        forget_checksum(&directory)?;
        fs::rename(&path, directory.data())
            .map_err(missing(StorageError::UploadNotFound, "put a received file in its place"))?;
        record_checksum(&directory, &Checksum { digest, size: received, inode })?;
        directory.sync()
    })
    .await?;
    Ok(new_etag())
}

impl Staged {
    fn create(directory: &UploadDirectory) -> Result<Self> {
        let _lock = UploadLock::acquire_unsealed(directory, Access::Exclusive)?;
        remove_abandoned(directory)?;
        let path = directory.staged();
        let file = writable(false)
            .create_new(true)
            .open(&path)
            .map_err(missing(StorageError::UploadNotFound, "stage a file"))?;
        wait_for(&file, Access::Exclusive)?;
        Ok(Self { file, path })
    }

    fn write(&mut self, block: &[Bytes]) -> Result<()> {
        let mut pieces = block.iter();
        pieces
            .try_for_each(|piece| self.file.write_all(piece))
            .map_err(StorageError::unavailable("write a received block"))
    }
}

/// Removes staged files that nobody writes to any more: of connections that broke and of servers that were
/// killed. Without it a client that retries a large PUT ten times would fill the disk ten times.
fn remove_abandoned(directory: &UploadDirectory) -> Result<()> {
    let failed = || StorageError::unavailable("remove an abandoned file");
    for entry in
        fs::read_dir(directory.path()).map_err(missing(StorageError::UploadNotFound, "list an upload"))?
    {
        let entry = entry.map_err(StorageError::unavailable("list an upload"))?;
        if !entry.file_name().to_string_lossy().starts_with(STAGED_PREFIX) {
            continue;
        }
        // One that vanished was renamed or removed by its own writer.
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            remove_file(&entry.path()).map_err(failed())?;
        }
    }
    Ok(())
}

/// What a PUT's bytes were hashed to, and which file they are in: a record that a crash left behind beside
/// another file must not speak for that file.
#[derive(Debug, PartialEq, Eq)]
struct Checksum {
    digest: Digest,
    /// In bytes.
    size: u64,
    inode: u64,
}

/// The lock must be held exclusively. Not synced: a record that a crash cuts short is one that is not believed.
fn record_checksum(directory: &UploadDirectory, checksum: &Checksum) -> Result<()> {
    let staged = directory.checksum().with_extension("digest.new");
    let record = format!("{} {} {}\n", checksum.digest, checksum.size, checksum.inode);
    write_small(&staged, record.as_bytes())
        .and_then(|()| fs::rename(staged, directory.checksum()))
        .map_err(missing(StorageError::UploadNotFound, "record a checksum"))
}

/// The digest of the file at `path`, if a PUT of exactly this file recorded one.
pub(super) fn recorded_checksum(directory: &UploadDirectory, path: &std::path::Path) -> Option<Digest> {
    let record = fs::read_to_string(directory.checksum()).ok()?;
    let mut fields = record.strip_suffix('\n')?.split(' ');
    let checksum = Checksum {
        digest: fields.next()?.parse().ok()?,
        size: fields.next()?.parse().ok()?,
        inode: fields.next()?.parse().ok()?,
    };
    let metadata = fs::symlink_metadata(path).ok()?;
    (fields.next().is_none() && (metadata.len(), metadata.ino()) == (checksum.size, checksum.inode))
        .then_some(checksum.digest)
}

/// Before anything writes into `data` in place: what a PUT recorded about it will no longer be true.
pub(super) fn forget_checksum(directory: &UploadDirectory) -> Result<()> {
    remove_file(&directory.checksum()).map_err(StorageError::unavailable("remove a checksum"))
}

/// Opaque, and another one for every write.
pub(super) fn new_etag() -> String {
    format!("\"{}\"", Uuid::new_v4().as_simple())
}
