//! One object of what came through this server: whole parts, and a tail that is shorter than one.

use std::sync::Arc;

use super::S3;
use super::part_memory::OWN_WORK;
use crate::domain::pace::Work;
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::{Proxied, UploadId};
use crate::log_text::chain;
use crate::storage::capability::Capability;
use crate::storage::key::{self, Key};
use crate::storage::{Result, StorageError};

impl S3 {
    /// Whole parts and a tail become one object. Without whole parts the tail object is the upload already.
    pub(in crate::storage) async fn assemble_proxied(
        &self,
        upload: UploadId,
        stored: &Proxied,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        let Some(store_upload_id) = &stored.store_upload_id else { return Ok(()) };
        let assembled = async {
            let mut parts = parts.to_vec();
            if let Some(tail) = stored.tail_id.filter(|_| stored.tail_size() > 0) {
                let number = PartNumber::new(stored.part_count() + 1)
                    .map_err(|error| StorageError::InvalidPart(error.to_string()))?;
                let tail = key::temp_tail(upload, tail);
                parts.push(self.add_tail(upload, store_upload_id, number, &tail, stored.tail_size()).await?);
            }
            self.complete_multipart(upload, store_upload_id, &parts).await
        };
        match assembled.await {
            // Completed by an owner that crashed after it: sealing finds the object and checks its size.
            Err(StorageError::UploadNotFound) => Ok(()),
            other => other,
        }
    }

    /// The tail becomes the last part: by a copy inside the store, or, where the store does not copy it, by being
    /// read and sent. Garage refuses to copy what is so short that it keeps it in its tables (3,071 bytes), and
    /// `S3Proxy` answers in words that the SDK cannot read.
    async fn add_tail(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        number: PartNumber,
        tail: &Key,
        size: u64,
    ) -> Result<ReceivedPart> {
        let data = key::temp_data(upload);
        if self.capabilities().has(Capability::TinyPartCopies) && self.largest_copy(Work::Copying) >= size {
            let copied = self.copy_part(&data, store_upload_id, number, tail, None, None).await;
            match self.relying_on(Capability::TinyPartCopies, copied) {
                Ok(etag) => return Ok(ReceivedPart { number, size, etag }),
                Err(error @ (StorageError::NotFound | StorageError::UploadNotFound)) => return Err(error),
                Err(error) => {
                    tracing::info!(%upload, error = %chain(&error), "the end of an upload is sent again");
                }
            }
        }
        let in_memory = usize::try_from(size).map_err(StorageError::unavailable("hold a part"))?;
        let _share = self.part_memory.take(&Arc::from(OWN_WORK), in_memory).await;
        let part_body = self.read_part_body(tail).await?;
        if part_body.size != in_memory {
            return Err(StorageError::NotFound);
        }
        self.send_part(&data, store_upload_id, number, &part_body).await
    }
}
