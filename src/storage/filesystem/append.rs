//! A proxied upload: bytes appended to the data file at the offset that the database knows.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use bytes::Bytes;

use super::blocks::BlockWriter;
use super::directory::{UploadDirectory, missing, writable};
use super::lock::{Access, UploadLock};
use super::put::forget_checksum;
use super::{Filesystem, Result, blocking};
use crate::domain::upload::{Proxied, UploadId};
use crate::storage::{Appended, StorageError};

/// Takes the bytes of one append; keeps everybody else from the upload until it is dropped.
#[derive(Debug)]
pub struct FileAppender {
    writer: BlockWriter<Target>,
    directory: UploadDirectory,
    /// Whether the file's name may not be durable yet.
    is_first: bool,
}

/// The data file. Dropped before its bytes are to count it is cut back to those that did before: bytes that did not fit
/// on the disk, or that nobody will ask for, must not keep others off it until somebody appends again.
#[derive(Debug)]
struct Target {
    data: File,
    /// Held while the file is cut back: fields are dropped after [`Drop::drop`].
    lock: UploadLock,
    /// Bytes that count whatever becomes of this append; none once all do.
    cut_to: Option<u64>,
}

impl Filesystem {
    /// [`StorageError::NotFound`] when the file is shorter than what was acknowledged.
    pub(in crate::storage) async fn append(
        &self,
        upload: UploadId,
        stored: &Proxied,
    ) -> Result<FileAppender> {
        let (directory, received) = (self.directory(upload), stored.received);
        blocking(move || {
            if received == 0 {
                directory.create()?;
            }
            let lock = UploadLock::acquire_unsealed(&directory, Access::Exclusive)?;
            forget_checksum(&directory)?;
            let failed = || StorageError::unavailable("open the data file");
            let mut data = writable(false)
                .create(received == 0)
                .open(directory.data())
                .map_err(missing(StorageError::NotFound, "open the data file"))?;
            if data.metadata().map_err(failed())?.len() < received {
                return Err(StorageError::NotFound);
            }
            // Cuts off what an append wrote that never told the database.
            data.set_len(received).map_err(failed())?;
            data.seek(SeekFrom::Start(received)).map_err(failed())?;
            let target = Target { data, lock, cut_to: Some(received) };
            let writer = BlockWriter::new(target, Target::write);
            Ok(FileAppender { writer, directory, is_first: received == 0 })
        })
        .await
    }
}

impl Target {
    /// Nothing is written to a file that was discarded meanwhile: it would stay on the disk, and nobody's quota has it.
    fn write(&mut self, block: &[Bytes]) -> Result<()> {
        self.lock.still_there()?;
        let mut pieces = block.iter();
        pieces
            .try_for_each(|piece| self.data.write_all(piece))
            .map_err(StorageError::unavailable("append a block"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(received) = self.cut_to
            && let Err(error) = self.data.set_len(received)
        {
            tracing::warn!(%error, "what an append left behind is cut off by the next one");
        }
    }
}

impl FileAppender {
    pub(in crate::storage) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.writer.push(bytes).await
    }

    pub(in crate::storage) async fn finish(self) -> Result<Appended> {
        let Self { writer, directory, is_first } = self;
        let mut target = writer.finish().await?;
        blocking(move || {
            target.data.sync_data().map_err(StorageError::unavailable("sync the data file"))?;
            if is_first {
                directory.sync()?;
            }
            target.lock.still_there()?;
            target.cut_to.take();
            Ok(Appended { store_upload_id: None, tail_id: None, parts: Vec::new() })
        })
        .await
    }
}
