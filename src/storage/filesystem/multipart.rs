//! A multipart upload as a whole: its parts listed, and made one object by renaming the file they are in.

use std::fs;

use uuid::Uuid;

use super::directory::{UploadDirectory, missing, size_of};
use super::lock::{Access, UploadLock};
use super::marker::Marker;
use super::seal::seal_data;
use super::{Filesystem, Result, blocking, make_directories};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::UploadId;
use crate::storage::StorageError;

impl Filesystem {
    /// The id only has to be there: an upload has one directory, and two requests that begin a multipart
    /// upload at once share it.
    pub(in crate::storage) async fn create_multipart(&self, upload: UploadId) -> Result<String> {
        let directory = self.directory(upload);
        blocking(move || {
            directory.create()?;
            make_directories(&directory.parts())
                .map_err(StorageError::unavailable("make the parts' directory"))?;
            directory.sync()
        })
        .await?;
        Ok(Uuid::new_v4().to_string())
    }

    pub(in crate::storage) async fn list_parts(
        &self,
        upload: UploadId,
        _store_upload_id: &str,
    ) -> Result<Vec<ReceivedPart>> {
        let directory = self.directory(upload);
        blocking(move || {
            let _lock = UploadLock::acquire_unsealed(&directory, Access::Shared)?;
            received_parts(&directory)
        })
        .await
    }

    /// Completing seals: from here on no signed URL writes to the upload, as it is with S3.
    pub(in crate::storage) async fn complete_multipart(
        &self,
        upload: UploadId,
        _store_upload_id: &str,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        let (directory, parts) = (self.directory(upload), parts.to_vec());
        blocking(move || {
            let _lock = UploadLock::acquire(&directory, Access::Exclusive)?;
            let size = proven_size(&directory, &parts)?;
            let stored = match directory.sealed_size()? {
                Some(size) => Some(size),
                None => {
                    size_of(&directory.data()).map_err(StorageError::unavailable("look at the data file"))?
                }
            };
            if stored != Some(size) {
                return Err(StorageError::InvalidPart(format!(
                    "the parts listed have {size} bytes, but {} were received",
                    stored.unwrap_or(0)
                )));
            }
            seal_data(&directory)
        })
        .await
    }

    /// Does nothing: the parts lie in the upload's one directory, where another request may have begun the
    /// multipart upload that counts. [`Filesystem::discard`] removes them.
    #[expect(clippy::unused_async, reason = "the backends share one signature")]
    pub(in crate::storage) async fn abort_multipart(
        &self,
        _upload: UploadId,
        _store_upload_id: &str,
    ) -> Result<()> {
        Ok(())
    }
}

fn received_parts(directory: &UploadDirectory) -> Result<Vec<ReceivedPart>> {
    let mut parts = Vec::new();
    for entry in
        fs::read_dir(directory.parts()).map_err(missing(StorageError::UploadNotFound, "list the parts"))?
    {
        let name = entry.map_err(StorageError::unavailable("list the parts"))?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<PartNumber>().ok()) else { continue };
        if let Marker::Received { size, etag, .. } = Marker::read(directory, number)? {
            parts.push(ReceivedPart { number, size, etag });
        }
    }
    parts.sort_unstable_by_key(|part| part.number);
    Ok(parts)
}

/// The size of what `parts` make together, if they are what was received and follow one on the other.
fn proven_size(directory: &UploadDirectory, parts: &[ReceivedPart]) -> Result<u64> {
    let mut end = 0;
    for part in parts {
        let number = part.number;
        let Marker::Received { offset, size, etag } = Marker::read(directory, number)? else {
            return Err(StorageError::InvalidPart(format!("part {number} has not been received")));
        };
        // S3 takes an ETag with its quotes or without.
        if etag.trim_matches('"') != part.etag.trim_matches('"') {
            return Err(StorageError::InvalidPart(format!(
                "the ETag of part {number} is not the one it was given"
            )));
        }
        if size != part.size {
            return Err(StorageError::InvalidPart(format!(
                "part {number} has {size} bytes, not {}",
                part.size
            )));
        }
        if offset != end {
            return Err(StorageError::InvalidPart(format!(
                "part {number} does not follow on the one before it"
            )));
        }
        end += size;
    }
    if parts.is_empty() {
        return Err(StorageError::InvalidPart("no parts were listed".to_owned()));
    }
    Ok(end)
}
