//! A whole blob in one PUT: staged and hashed as it comes, checked against what was signed, renamed.
//!
//! One PUT of an upload is on the disk at a time: a URL may be used again and again, and at once, and must not fill
//! the disk with as many times the bytes that it was signed for. The newer request takes over, as a part's does: a
//! client whose connection broke sends again while the first request still waits for bytes that will never come.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use uuid::Uuid;

use super::blocks::BlockWriter;
use super::directory::{STAGED_PREFIX, UploadDirectory, missing, remove_file, writable, write_small};
use super::lock::{Access, UploadLock};
use super::{Filesystem, Result, blocking};
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::upload::UploadId;
use crate::storage::{PutTerms, StorageError};

/// A PUT under way.
#[derive(Debug)]
struct Staged {
    directory: UploadDirectory,
    path: PathBuf,
    /// None where the bytes that were signed are there already: a body is only compared with them.
    file: Option<File>,
    /// As signed.
    digest: Option<Digest>,
}

impl Filesystem {
    /// Takes the body of a signed PUT and tells the ETag it got. Nothing stays of a body that is not what
    /// `terms` say, or longer than `max_size` bytes. [`StorageError::UploadNotFound`] once the upload is
    /// sealed or discarded; [`StorageError::Busy`] when a newer request took the upload over.
    pub(in crate::storage) async fn receive_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        max_size: u64,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        let directory = self.directory(upload);
        let staged = blocking(move || Staged::create(directory, terms)).await?;
        let path = staged.path.clone();
        let outcome = receive(staged, terms, max_size, body).await;
        if outcome.is_err() {
            // The error that counts is the one there is already.
            let _ = blocking(move || remove_file(&path).map_err(StorageError::unavailable("remove a file")))
                .await;
        }
        outcome
    }
}

async fn receive(
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
    let staged = writer.finish().await?;
    let digest = hasher.finish();
    if terms.digest.is_some_and(|expected| digest != expected) {
        return Err(StorageError::ChecksumMismatch);
    }
    blocking(move || staged.commit(digest, received)).await?;
    Ok(new_etag())
}

impl Staged {
    /// Whoever has been sending is cut off. What came before is gone with it, unless it is what this request is to
    /// bring: a refused body leaves that.
    fn create(directory: UploadDirectory, terms: PutTerms) -> Result<Self> {
        let _lock = UploadLock::acquire_unsealed(&directory, Access::Exclusive)?;
        remove_staged(&directory)?;
        let path = directory.staged();
        let digest = terms.digest;
        if digest.is_some() && digest == recorded_checksum(&directory, &directory.data()) {
            return Ok(Self { directory, path, file: None, digest });
        }
        // First: what is removed would lend it its inode, and a record that outlives its file could come to fit it.
        let file = writable(false)
            .create_new(true)
            .open(&path)
            .map_err(missing(StorageError::UploadNotFound, "stage a file"))?;
        forget_checksum(&directory)?;
        remove_file(&directory.data()).map_err(StorageError::unavailable("remove what was sent before"))?;
        Ok(Self { directory, path, file: Some(file), digest })
    }

    /// The upload's lock, as long as the upload is still this request's to write: nothing is written to a file that
    /// was taken over, sealed or discarded.
    fn hold(&self, access: Access) -> Result<UploadLock> {
        let lock = UploadLock::acquire_unsealed(&self.directory, access)?;
        let is_ours = match &self.file {
            Some(_) => fs::exists(&self.path).map_err(StorageError::unavailable("look at a staged file"))?,
            None => recorded_checksum(&self.directory, &self.directory.data()) == self.digest,
        };
        if is_ours {
            return Ok(lock);
        }
        lock.still_there()?;
        Err(StorageError::Busy("a newer request is sending this upload"))
    }

    fn write(&mut self, block: &[Bytes]) -> Result<()> {
        let _lock = self.hold(Access::Shared)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        block
            .iter()
            .try_for_each(|piece| file.write_all(piece))
            .map_err(StorageError::unavailable("write a received block"))
    }

    fn commit(self, digest: Digest, size: u64) -> Result<()> {
        if let Some(file) = &self.file {
            file.sync_data().map_err(StorageError::unavailable("sync a received file"))?;
        }
        let _lock = self.hold(Access::Exclusive)?;
        let Self { directory, path, file: Some(file), .. } = self else { return Ok(()) };
        let inode = file.metadata().map_err(StorageError::unavailable("look at a received file"))?.ino();
        // First: inodes are used again, and a record that outlives its file could come to fit another.
        forget_checksum(&directory)?;
        fs::rename(&path, directory.data())
            .map_err(missing(StorageError::UploadNotFound, "put a received file in its place"))?;
        record_checksum(&directory, &Checksum { digest, size, inode })?;
        directory.sync()
    }
}

/// Removes what PUTs have staged: of a sender that is taken over, of connections that broke and of servers that were
/// killed. The lock must be held exclusively.
pub(super) fn remove_staged(directory: &UploadDirectory) -> Result<()> {
    let failed = || StorageError::unavailable("remove a staged file");
    for entry in
        fs::read_dir(directory.path()).map_err(missing(StorageError::UploadNotFound, "list an upload"))?
    {
        let entry = entry.map_err(StorageError::unavailable("list an upload"))?;
        if entry.file_name().to_string_lossy().starts_with(STAGED_PREFIX) {
            empty(&entry.path()).and_then(|()| remove_file(&entry.path())).map_err(failed())?;
        }
    }
    Ok(())
}

/// Gives a file's bytes back at once: whoever has it open would keep them until its connection ends. One that is
/// gone is fine.
pub(super) fn empty(path: &Path) -> io::Result<()> {
    match writable(false).open(path).and_then(|file| file.set_len(0)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
pub(super) fn recorded_checksum(directory: &UploadDirectory, path: &Path) -> Option<Digest> {
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
