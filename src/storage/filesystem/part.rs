//! One part of a multipart upload, written at its offset into the one data file.
//!
//! Parts come in parallel, and one part may come twice at once: a client whose connection broke sends again
//! while the first request still waits for bytes that will never come. The newer request takes the part
//! over; the older one finds that out before its next block is written.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures_util::Stream;

use super::blocks::BlockWriter;
use super::directory::{self, UploadDirectory, missing, writable};
use super::lock::{Access, UploadLock};
use super::marker::{LockedMarker, Marker};
use super::put::{forget_checksum, new_etag};
use super::{Filesystem, Result, blocking};
use crate::domain::part::Part;
use crate::domain::upload::UploadId;
use crate::storage::StorageError;

/// A part that is being sent.
#[derive(Debug)]
struct PartFile {
    directory: UploadDirectory,
    data: File,
    part: Part,
    etag: String,
    /// Bytes written so far, never more than the part has.
    written: u64,
}

impl Filesystem {
    /// Takes the body of a signed PUT of one part and tells the ETag it got. A body of another length than
    /// the part's leaves the part as not received. [`StorageError::UploadNotFound`] once the upload is
    /// completed, sealed or discarded; [`StorageError::Busy`] when another request took the part over.
    pub(in crate::storage) async fn receive_part(
        &self,
        upload: UploadId,
        part: Part,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        let directory = self.directory(upload);
        let file = blocking(move || PartFile::open(directory, part)).await?;
        let mut writer = BlockWriter::new(file, PartFile::write);
        if writer.receive(body, part.size).await? < part.size {
            return Err(StorageError::Incomplete);
        }
        let file = writer.finish().await?;
        blocking(move || file.commit()).await
    }
}

impl PartFile {
    fn open(directory: UploadDirectory, part: Part) -> Result<Self> {
        let _lock = UploadLock::acquire_unsealed(&directory, Access::Shared)?;
        let mut held = LockedMarker::open(&directory, part.number)?;
        let etag = new_etag();
        let replaces = matches!(held.marker, Marker::Received { .. });
        held.write(Marker::Receiving { etag: etag.clone() })?;
        if replaces {
            // Or a crash could leave the old ETag beside new bytes.
            held.sync()?;
        }
        forget_checksum(&directory)?;
        let data = writable(false)
            .create(true)
            .open(directory.data())
            .map_err(missing(StorageError::UploadNotFound, "open the data file"))?;
        Ok(Self { directory, data, part, etag, written: 0 })
    }

    /// The part's marker, as long as the part is still this request's to write.
    fn hold(&self) -> Result<(UploadLock, LockedMarker)> {
        let lock = UploadLock::acquire_unsealed(&self.directory, Access::Shared)?;
        let held = LockedMarker::open(&self.directory, self.part.number)?;
        match &held.marker {
            Marker::Receiving { etag } if *etag == self.etag => Ok((lock, held)),
            _ => {
                // The marker of an upload that was discarded meanwhile says nothing either.
                lock.still_there()?;
                Err(StorageError::Busy("another request is sending this part"))
            }
        }
    }

    fn write(&mut self, block: &[Bytes]) -> Result<()> {
        let _held = self.hold()?;
        for piece in block {
            let written = self.data.write_all_at(piece, self.part.offset + self.written);
            let written = written.map_err(StorageError::unavailable("write a block of a part"));
            if let Err(StorageError::Full { .. }) = &written {
                self.give_back_room();
            }
            written?;
            self.written += piece.len() as u64;
        }
        Ok(())
    }

    /// What a part that did not fit has written keeps nobody else off the disk: the part is sent again as a whole.
    #[cfg(target_os = "linux")]
    fn give_back_room(&self) {
        use rustix::fs::{FallocateFlags, fallocate};
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(error) = fallocate(&self.data, mode, self.part.offset, self.part.size) {
            tracing::warn!(%error, "what a part left behind stays until the upload ends");
        }
    }

    /// Other systems have no such call: it stays until the upload ends.
    #[cfg(not(target_os = "linux"))]
    fn give_back_room(&self) {}

    fn commit(self) -> Result<String> {
        self.data.sync_data().map_err(StorageError::unavailable("sync a part"))?;
        let (_lock, mut held) = self.hold()?;
        let Part { offset, size, .. } = self.part;
        held.write(Marker::Received { offset, size, etag: self.etag.clone() })?;
        held.sync()?;
        directory::sync(&self.directory.parts())?;
        directory::sync(self.directory.path())?;
        Ok(self.etag)
    }
}
