//! Proxied uploads: whole parts go out while the body comes in, the rest waits in a tail object.
//!
//! Memory is one part being filled and one on its way, whatever the size of the blob.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{S3, classify};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::{Proxied, UploadId};
use crate::storage::{Appended, Result, StorageError, key};

/// One part travels while the next is filled: whichever of client and store is slower sets the pace.
const PARTS_IN_FLIGHT: usize = 1;

/// Buffers of one part each, used again and again: allocators keep what comes and goes at this size.
#[derive(Debug, Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A part on its way, whose buffer goes back when the last that holds it is done.
struct PartBody {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    fn take(&self, capacity: usize) -> Vec<u8> {
        let free = self.0.lock().ok().and_then(|mut free| free.pop());
        free.unwrap_or_else(|| Vec::with_capacity(capacity))
    }
}

impl AsRef<[u8]> for PartBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PartBody {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        if let Ok(mut free) = self.home.0.lock() {
            free.push(bytes);
        }
    }
}

/// One append to a proxied upload.
#[derive(Debug)]
pub struct S3Appender {
    store: S3,
    upload: UploadId,
    lease: Uuid,
    part_size: usize,
    store_upload_id: Option<String>,
    next_part: u64,
    buffer: Vec<u8>,
    buffers: Buffers,
    in_flight: JoinSet<Result<ReceivedPart>>,
    parts: Vec<ReceivedPart>,
}

impl S3 {
    pub async fn append(&self, upload: UploadId, stored: &Proxied, lease: Uuid) -> Result<S3Appender> {
        let part_size =
            usize::try_from(stored.part_size).map_err(StorageError::unavailable("hold a part"))?;
        let mut buffer = Vec::with_capacity(part_size);
        if let Some(tail) = stored.tail_id.filter(|_| stored.tail_size() > 0) {
            let bytes = self.read_object(&key::temp_tail(upload, tail)).await?;
            if bytes.len() as u64 != stored.tail_size() {
                return Err(StorageError::Precondition);
            }
            buffer.extend_from_slice(&bytes);
        }
        Ok(S3Appender {
            store: self.clone(),
            upload,
            lease,
            part_size,
            store_upload_id: stored.store_upload_id.clone(),
            next_part: stored.part_count() + 1,
            buffer,
            buffers: Buffers::default(),
            in_flight: JoinSet::new(),
            parts: Vec::new(),
        })
    }

    async fn upload_part(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        number: PartNumber,
        body: Bytes,
    ) -> Result<ReceivedPart> {
        let size = body.len() as u64;
        let uploaded = self
            .client
            .upload_part()
            .bucket(self.bucket())
            .key(self.path(&key::temp_data(upload)))
            .upload_id(store_upload_id)
            .part_number(i32::from(number.get()))
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(classify("write a part"))?;
        let etag = uploaded.e_tag.ok_or_else(|| StorageError::unavailable("name the part")("no ETag"))?;
        Ok(ReceivedPart { number, size, etag })
    }
}

impl S3Appender {
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let fits = bytes.split_to(bytes.len().min(self.part_size - self.buffer.len()));
            self.buffer.extend_from_slice(&fits);
            if self.buffer.len() == self.part_size {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<Appended> {
        let nothing_at_all = self.store_upload_id.is_none() && self.buffer.is_empty();
        let tail_id = (!self.buffer.is_empty() || nothing_at_all).then_some(self.lease);
        if let Some(tail) = tail_id {
            let bytes = std::mem::take(&mut self.buffer).into();
            self.store.put(&key::temp_tail(self.upload, tail), bytes).await?;
        }
        while let Some(part) = self.in_flight.join_next().await {
            self.parts.push(part.map_err(StorageError::unavailable("write a part"))??);
        }
        self.parts.sort_unstable_by_key(|part| part.number);
        Ok(Appended { store_upload_id: self.store_upload_id, tail_id, parts: self.parts })
    }

    /// Sends the full buffer on its way and goes on with another.
    async fn send_part(&mut self) -> Result<()> {
        let number =
            PartNumber::new(self.next_part).map_err(|error| StorageError::TooLarge(error.to_string()))?;
        if self.in_flight.len() >= PARTS_IN_FLIGHT
            && let Some(part) = self.in_flight.join_next().await
        {
            self.parts.push(part.map_err(StorageError::unavailable("write a part"))??);
        }
        let store_upload_id = match &self.store_upload_id {
            Some(id) => id.clone(),
            None => self.store_upload_id.insert(self.store.create_multipart(self.upload).await?).clone(),
        };
        self.next_part += 1;
        let bytes = std::mem::replace(&mut self.buffer, self.buffers.take(self.part_size));
        let body = Bytes::from_owner(PartBody { bytes, home: self.buffers.clone() });
        let (store, upload) = (self.store.clone(), self.upload);
        self.in_flight.spawn(async move { store.upload_part(upload, &store_upload_id, number, body).await });
        Ok(())
    }
}
