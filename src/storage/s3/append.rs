//! Proxied uploads: whole parts go out while the body comes in, the rest waits in a tail object.
//!
//! A fast sender takes a part's memory before it fills it; that is given back when the store has the part, or when
//! it turns out slow while others wait: then what there is goes into the store as an object of its own. A slow one
//! takes memory for what is there, and does the same when there is no more of it (`part_memory`).

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::S3;
use super::part_body::{PartBody, PartBuffer};
use super::part_memory::{Pace, SCRAP};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::{Proxied, UploadId};
use crate::memory::MemoryShare;
use crate::storage::{Appended, Result, StorageError, key};

/// Parts of one upload that travel at once while the next is filled: a store that writes to disk before it
/// answers is kept busy, and one upload takes half of the budget for parts of 8 MiB.
const PARTS_IN_FLIGHT: usize = 3;
/// What every sender has without asking. 480 connections (the default) hold 30 MiB.
const UNBUDGETED: usize = 64 * 1024;

/// One append to a proxied upload.
#[derive(Debug)]
pub struct S3Appender {
    store: S3,
    upload: UploadId,
    lease: Uuid,
    caller: Arc<str>,
    pace: Pace,
    part_size: usize,
    store_upload_id: Option<String>,
    /// Whether the multipart upload came about with this append.
    is_first_of_multipart: bool,
    next_part: u64,
    open_part: OpenPart,
    in_flight: JoinSet<Result<ReceivedPart>>,
    parts: Vec<ReceivedPart>,
}

/// The part that is being filled.
#[derive(Debug, Default)]
struct OpenPart {
    /// What of it lies in the store, in order.
    stored: Vec<Segment>,
    /// What follows, in memory.
    batch: PartBuffer,
    /// Memory for the whole part, of a fast sender.
    whole: Option<MemoryShare>,
    /// Memory for what there is beyond [`UNBUDGETED`], of any other.
    scraps: Option<MemoryShare>,
}

/// The beginning of a part, or more of it, in an object of its own.
#[derive(Debug, Clone, Copy)]
struct Segment {
    id: Uuid,
    size: usize,
    /// None for the tail of an earlier append; that one is the database's to remove.
    crc32c: Option<u32>,
}

impl S3 {
    /// [`StorageError::NotFound`] when the tail that was acknowledged is gone.
    pub(in crate::storage) async fn append(
        &self,
        upload: UploadId,
        stored: &Proxied,
        lease: Uuid,
        caller: &str,
    ) -> Result<S3Appender> {
        let in_memory = |size: u64| usize::try_from(size).map_err(StorageError::unavailable("hold a part"));
        let mut open_part = OpenPart::default();
        if let Some(id) = stored.tail_id.filter(|_| stored.tail_size() > 0) {
            if self.head(key::temp_tail(upload, id)).await?.size != stored.tail_size() {
                return Err(StorageError::Precondition);
            }
            open_part.stored.push(Segment { id, size: in_memory(stored.tail_size())?, crc32c: None });
        }
        Ok(S3Appender {
            store: self.clone(),
            upload,
            lease,
            caller: caller.into(),
            pace: Pace::default(),
            part_size: in_memory(stored.part_size)?,
            store_upload_id: stored.store_upload_id.clone(),
            is_first_of_multipart: false,
            next_part: stored.part_count() + 1,
            open_part,
            in_flight: JoinSet::new(),
            parts: Vec::new(),
        })
    }

    /// Everything of a part, in one parcel.
    async fn gather(&self, upload: UploadId, stored: &[Segment], batch: PartBuffer) -> Result<PartBody> {
        if stored.is_empty() {
            return Ok(batch.into_body());
        }
        let mut whole = PartBuffer::default();
        for segment in stored {
            let read = self.read_part_body(&key::temp_tail(upload, segment.id)).await?;
            if read.size != segment.size || segment.crc32c.is_some_and(|crc32c| crc32c != read.crc32c) {
                return Err(StorageError::Precondition);
            }
            whole.extend(read);
        }
        whole.extend(batch.into_body());
        Ok(whole.into_body())
    }

    /// Only tidiness: the sweep finds what stays. What an earlier append left is kept until the database knows
    /// what came after it.
    async fn remove_spilled(&self, upload: UploadId, stored: &[Segment]) {
        for segment in stored.iter().filter(|segment| segment.crc32c.is_some()) {
            let _ = self.remove(&key::temp_tail(upload, segment.id)).await;
        }
    }
}

impl OpenPart {
    fn len(&self) -> usize {
        self.stored.iter().map(|segment| segment.size).sum::<usize>() + self.batch.len()
    }

    /// Bytes that there is memory for.
    fn room(&self) -> usize {
        if self.whole.is_some() {
            return usize::MAX;
        }
        let scraps = self.scraps.as_ref().map_or(0, MemoryShare::size);
        (UNBUDGETED + scraps).saturating_sub(self.batch.len())
    }
}

impl S3Appender {
    /// Waits for a part's memory where the sender is fast.
    pub(in crate::storage) async fn ready(&mut self) -> Result<()> {
        if self.open_part.room() == 0 && self.pace.is_fast() {
            self.take_whole().await?;
        }
        self.pace.wait(Instant::now());
        Ok(())
    }

    pub async fn stalled(&self) {
        let Some(whole) = &self.open_part.whole else { return std::future::pending().await };
        tokio::time::sleep_until(self.pace.late_at(Instant::now())).await;
        whole.wanted().await;
    }

    pub(in crate::storage) async fn spill(&mut self) -> Result<()> {
        let part_body = std::mem::take(&mut self.open_part.batch).into_body();
        let segment = Segment { id: Uuid::new_v4(), size: part_body.size, crc32c: Some(part_body.crc32c) };
        self.store.send_object(&key::temp_tail(self.upload, segment.id), &part_body).await?;
        self.open_part.stored.push(segment);
        (self.open_part.whole, self.open_part.scraps) = (None, None);
        self.pace.distrust();
        Ok(())
    }

    pub(in crate::storage) async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.pace.arrived(bytes.len(), Instant::now());
        while !bytes.is_empty() {
            if self.open_part.room() == 0 {
                self.make_room().await?;
            }
            let most = self.open_part.room().min(self.part_size - self.open_part.len());
            self.open_part.batch.push(bytes.split_to(bytes.len().min(most)));
            if self.open_part.len() == self.part_size {
                if self.open_part.whole.is_none() && !self.open_part.stored.is_empty() {
                    // Some of it lies in the store, and now comes into memory.
                    self.take_whole().await?;
                }
                self.send_part().await?;
            }
        }
        Ok(())
    }

    pub(in crate::storage) async fn finish(mut self) -> Result<Appended> {
        let tail_id = self.finish_tail().await?;
        while !self.in_flight.is_empty() {
            self.join_part().await?;
        }
        self.parts.sort_unstable_by_key(|part| part.number);
        Ok(Appended { store_upload_id: self.store_upload_id, tail_id, parts: self.parts })
    }

    pub(in crate::storage) async fn discard(mut self) {
        // A part that is on its way ends by itself, and takes along what it was gathered from.
        while self.in_flight.join_next().await.is_some() {}
        if let Some(id) = self.store_upload_id.filter(|_| self.is_first_of_multipart) {
            let _ = self.store.abort_multipart(self.upload, &id).await;
        }
        self.store.remove_spilled(self.upload, &self.open_part.stored).await;
    }

    /// Puts what is shorter than a part into one object, where it does not lie in one already.
    async fn finish_tail(&mut self) -> Result<Option<Uuid>> {
        let open_part = std::mem::take(&mut self.open_part);
        match open_part.stored.as_slice() {
            [] if open_part.batch.is_empty() && self.store_upload_id.is_some() => return Ok(None),
            [only] if open_part.batch.is_empty() => return Ok(Some(only.id)),
            _ => {}
        }
        let _whole = match open_part.whole {
            None if !open_part.stored.is_empty() => {
                Some(self.store.part_memory.take(&self.caller, open_part.len()).await)
            }
            whole => whole,
        };
        let part_body = self.store.gather(self.upload, &open_part.stored, open_part.batch).await?;
        self.store.send_object(&key::temp_tail(self.upload, self.lease), &part_body).await?;
        self.store.remove_spilled(self.upload, &open_part.stored).await;
        Ok(Some(self.lease))
    }

    /// Sends the full part on its way and goes on with another.
    async fn send_part(&mut self) -> Result<()> {
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.join_part().await?;
        }
        let number =
            PartNumber::new(self.next_part).map_err(|error| StorageError::TooLarge(error.to_string()))?;
        let store_upload_id = if let Some(id) = &self.store_upload_id {
            id.clone()
        } else {
            self.is_first_of_multipart = true;
            self.store_upload_id.insert(self.store.create_multipart(self.upload).await?).clone()
        };
        self.next_part += 1;
        let OpenPart { stored, batch, whole, scraps } = std::mem::take(&mut self.open_part);
        let (store, upload) = (self.store.clone(), self.upload);
        self.in_flight.spawn(async move {
            let part_body = store.gather(upload, &stored, batch).await?;
            let data = key::temp_data(upload);
            let part = store.send_part(&data, &store_upload_id, number, &part_body).await?;
            drop((part_body, whole, scraps));
            store.remove_spilled(upload, &stored).await;
            Ok(part)
        });
        Ok(())
    }

    /// Finds memory for more of the part: all of it for a fast sender; else a little more, once the store has what is
    /// on its way if need be; else what there is goes into the store.
    async fn make_room(&mut self) -> Result<()> {
        if self.pace.is_fast() {
            return self.take_whole().await;
        }
        loop {
            let scraps =
                self.open_part.scraps.get_or_insert_with(|| self.store.part_memory.scraps(&self.caller));
            if scraps.try_grow(SCRAP) {
                return Ok(());
            }
            if self.in_flight.is_empty() {
                return self.spill().await;
            }
            self.join_part().await?;
        }
    }

    async fn take_whole(&mut self) -> Result<()> {
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.join_part().await?;
        }
        self.open_part.whole = Some(self.store.part_memory.take(&self.caller, self.part_size).await);
        self.open_part.scraps = None;
        self.pace.restart();
        Ok(())
    }

    async fn join_part(&mut self) -> Result<()> {
        if let Some(part) = self.in_flight.join_next().await {
            self.parts.push(part.map_err(StorageError::unavailable("write a part"))??);
        }
        Ok(())
    }
}
