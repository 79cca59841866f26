//! Fixing what will be published: `data` becomes `sealed`, a name that nothing writes to.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::directory::{UploadDirectory, missing, size_of, writable};
use super::lock::{Access, UploadLock};
use super::put::{recorded_checksum, remove_staged};
use super::{Filesystem, Result, blocking};
use crate::domain::blob::Proof;
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, UploadId};
use crate::storage::{Evidence, Sealed, StorageError, key};

/// Published bytes never change; the mode says so to whoever looks around in the store.
const SEALED_MODE: u32 = 0o400;
/// One read, in bytes: small enough that what a few of them leave behind in the allocator's arena of each
/// thread they were made on, up to eight a core, stays a few MiB; a system call is still cheap beside hashing it.
const READ_SIZE: u64 = 64 * 1024;

impl Filesystem {
    pub(in crate::storage) async fn seal(&self, upload: UploadId, transfer: &Transfer) -> Result<Sealed> {
        let (directory, transfer) = (self.directory(upload), transfer.clone());
        blocking(move || {
            if matches!(&transfer, Transfer::Proxied(stored) if stored.received == 0) {
                // Nothing was ever appended to an empty blob's upload.
                directory.create()?;
            }
            let _lock = UploadLock::acquire(&directory, Access::Exclusive).map_err(|error| match error {
                StorageError::UploadNotFound => StorageError::NotFound,
                error => error,
            })?;
            if directory.sealed_size()?.is_none() {
                prepare(&directory, &transfer)?;
            }
            seal_data(&directory)?;
            let size = directory.sealed_size()?.ok_or(StorageError::NotFound)?;
            let recorded = match &transfer {
                Transfer::Put | Transfer::Redirected => recorded_checksum(&directory, &directory.sealed()),
                Transfer::Multipart { plan, .. } if size != plan.size() => {
                    return Err(StorageError::InvalidPart(format!(
                        "the parts have {size} bytes together, not {}",
                        plan.size()
                    )));
                }
                Transfer::Proxied(stored) if size != stored.received => {
                    return Err(StorageError::Precondition);
                }
                Transfer::Multipart { .. } | Transfer::OpenMultipart { .. } | Transfer::Proxied(_) => None,
            };
            let evidence = recorded.map_or(Evidence::None, |it| Evidence::Digest(it, Proof::StoreChecksum));
            let key = key::temp_sealed(upload, None);
            Ok(Sealed { key, size, etag: None, evidence, is_plain: true, is_exposed: false })
        })
        .await
    }

    /// On one thread from the first byte to the last: handing each piece to another costs more than reading it.
    pub(in crate::storage) async fn read(
        &self,
        sealed: &Sealed,
        range: ByteRange,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<()> {
        let (path, size, to) = (self.path(&sealed.key), sealed.size, to.clone());
        blocking(move || {
            let failed = || StorageError::unavailable("read the sealed file");
            let file = File::open(&path).map_err(missing(StorageError::NotFound, "open the sealed file"))?;
            let is_as_sealed = file.metadata().map_err(failed())?.len() == size;
            if !is_as_sealed || range.start > range.end || range.end > size {
                return Err(StorageError::Precondition);
            }
            let mut start = range.start;
            while start < range.end {
                let length = READ_SIZE.min(range.end - start);
                let length = usize::try_from(length).map_err(StorageError::unavailable("hold a piece"))?;
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, start).map_err(failed())?;
                if to.blocking_send(bytes.into()).is_err() {
                    break;
                }
                start += length as u64;
            }
            Ok(())
        })
        .await
    }
}

/// Makes `data` what the session says it is, or refuses.
fn prepare(directory: &UploadDirectory, transfer: &Transfer) -> Result<()> {
    let failed = || StorageError::unavailable("prepare the data file");
    match transfer {
        Transfer::Put | Transfer::Redirected => Ok(()),
        // Completing seals, so parts that are not sealed were not completed.
        Transfer::Multipart { .. } | Transfer::OpenMultipart { .. } => Err(StorageError::NotFound),
        Transfer::Proxied(stored) => {
            let received = stored.received;
            if size_of(&directory.data()).map_err(failed())?.unwrap_or(0) < received {
                return Err(StorageError::NotFound);
            }
            // Cuts off what an append wrote that never told the database; makes an empty blob's file.
            writable(false)
                .create(received == 0)
                .open(directory.data())
                .and_then(|file| file.set_len(received).and_then(|()| file.sync_all()))
                .map_err(failed())
        }
    }
}

/// Seals what is in `data`, or goes on where a crash left it. The lock must be held exclusively. Nothing to
/// sync: the bytes were when they were acknowledged, the blob's name is when it is placed, and a crash that
/// loses the rename in between leads back here.
pub(super) fn seal_data(directory: &UploadDirectory) -> Result<()> {
    if directory.sealed_size()?.is_none() {
        remove_staged(directory)?;
        fs::rename(directory.data(), directory.sealed())
            .map_err(missing(StorageError::NotFound, "seal the data file"))?;
    }
    // After the rename: a crash in between must not leave a data file that the next append cannot open.
    fs::set_permissions(directory.sealed(), Permissions::from_mode(SEALED_MODE))
        .map_err(StorageError::unavailable("protect the sealed file"))
}
