//! Proxied uploads: whole parts go out while the body comes in, the rest waits in a tail object.
//!
//! A part takes its room in the server's memory before it is filled and gives it back when the store has it.
//! Who does not fill it while others wait puts what there is into the store and gives the room back: senders
//! that drip hold each other up, and nobody else. The few bytes before a part has room make a sender prove
//! that it sends.

use bytes::Bytes;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::S3;
use super::parcel::{Batch, Parcel};
use super::room::Room;
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::{Proxied, UploadId};
use crate::storage::{Appended, Result, StorageError, key};

/// Parts of one upload that travel at once while the next is filled: a store that writes to disk before it
/// answers is kept busy, and one upload takes half of the budget for parts of 8 MiB.
const PARTS_IN_FLIGHT: usize = 3;
/// Collected before a part asks for room: what a sender pays for the seconds for which it may then keep others
/// waiting. 480 connections (the default) hold 30 MiB.
const UNROOMED: usize = 64 * 1024;

/// One append to a proxied upload.
#[derive(Debug)]
pub struct S3Appender {
    store: S3,
    upload: UploadId,
    lease: Uuid,
    part_size: usize,
    store_upload_id: Option<String>,
    next_part: u64,
    filling: Filling,
    in_flight: JoinSet<Result<ReceivedPart>>,
    parts: Vec<ReceivedPart>,
}

/// The part that is being filled.
#[derive(Debug, Default)]
struct Filling {
    /// What of it lies in the store, in order.
    stored: Vec<Segment>,
    /// What follows, in memory.
    batch: Batch,
    /// None until [`UNROOMED`] bytes have come.
    room: Option<Room>,
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
    pub async fn append(&self, upload: UploadId, stored: &Proxied, lease: Uuid) -> Result<S3Appender> {
        let in_memory = |size: u64| usize::try_from(size).map_err(StorageError::unavailable("hold a part"));
        let mut filling = Filling::default();
        if let Some(id) = stored.tail_id.filter(|_| stored.tail_size() > 0) {
            if self.head(key::temp_tail(upload, id)).await?.size != stored.tail_size() {
                return Err(StorageError::Precondition);
            }
            filling.stored.push(Segment { id, size: in_memory(stored.tail_size())?, crc32c: None });
        }
        Ok(S3Appender {
            store: self.clone(),
            upload,
            lease,
            part_size: in_memory(stored.part_size)?,
            store_upload_id: stored.store_upload_id.clone(),
            next_part: stored.part_count() + 1,
            filling,
            in_flight: JoinSet::new(),
            parts: Vec::new(),
        })
    }

    /// Everything of a part, in one parcel.
    async fn gather(&self, upload: UploadId, stored: &[Segment], batch: Batch) -> Result<Parcel> {
        if stored.is_empty() {
            return Ok(batch.into_parcel());
        }
        let mut whole = Batch::default();
        for segment in stored {
            let read = self.read_parcel(&key::temp_tail(upload, segment.id)).await?;
            if read.size != segment.size || segment.crc32c.is_some_and(|crc32c| crc32c != read.crc32c) {
                return Err(StorageError::Precondition);
            }
            whole.extend(read);
        }
        whole.extend(batch.into_parcel());
        Ok(whole.into_parcel())
    }

    /// Only tidiness: the sweep finds what stays. What an earlier append left is kept until the database knows
    /// what came after it.
    async fn remove_spilled(&self, upload: UploadId, stored: &[Segment]) {
        for segment in stored.iter().filter(|segment| segment.crc32c.is_some()) {
            let _ = self.remove(&key::temp_tail(upload, segment.id)).await;
        }
    }
}

impl Filling {
    fn len(&self) -> usize {
        self.stored.iter().map(|segment| segment.size).sum::<usize>() + self.batch.len()
    }
}

impl S3Appender {
    pub async fn ready(&mut self) -> Result<()> {
        if self.filling.room.is_none() && self.filling.batch.len() >= UNROOMED {
            self.take_room().await?;
        }
        Ok(())
    }

    pub async fn overstayed(&self) {
        match &self.filling.room {
            Some(room) => self.store.rooms.overstayed(room).await,
            None => std::future::pending().await,
        }
    }

    pub async fn spill(&mut self) -> Result<()> {
        let parcel = std::mem::take(&mut self.filling.batch).into_parcel();
        let segment = Segment { id: Uuid::new_v4(), size: parcel.size, crc32c: Some(parcel.crc32c) };
        self.store.send_object(&key::temp_tail(self.upload, segment.id), &parcel).await?;
        self.filling.stored.push(segment);
        self.filling.room = None;
        Ok(())
    }

    pub async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            self.ready().await?;
            let left = self.part_size - self.filling.len();
            let most = if self.filling.room.is_some() { left } else { left.min(UNROOMED) };
            self.filling.batch.push(bytes.split_to(bytes.len().min(most)));
            if self.filling.len() == self.part_size {
                if self.filling.room.is_none() {
                    // Nearly all of it lies in the store, and now comes into memory.
                    self.take_room().await?;
                }
                self.send_part().await?;
            }
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<Appended> {
        let tail_id = self.finish_tail().await?;
        while !self.in_flight.is_empty() {
            self.join_part().await?;
        }
        self.parts.sort_unstable_by_key(|part| part.number);
        Ok(Appended { store_upload_id: self.store_upload_id, tail_id, parts: self.parts })
    }

    /// Puts what is shorter than a part into one object, where it does not lie in one already.
    async fn finish_tail(&mut self) -> Result<Option<Uuid>> {
        let filling = std::mem::take(&mut self.filling);
        match filling.stored.as_slice() {
            [] if filling.batch.is_empty() && self.store_upload_id.is_some() => return Ok(None),
            [only] if filling.batch.is_empty() => return Ok(Some(only.id)),
            _ => {}
        }
        let _room = match filling.room {
            None if !filling.stored.is_empty() => Some(self.store.rooms.take(filling.len()).await?),
            room => room,
        };
        let parcel = self.store.gather(self.upload, &filling.stored, filling.batch).await?;
        self.store.send_object(&key::temp_tail(self.upload, self.lease), &parcel).await?;
        self.store.remove_spilled(self.upload, &filling.stored).await;
        Ok(Some(self.lease))
    }

    /// Sends the full part on its way and goes on with another.
    async fn send_part(&mut self) -> Result<()> {
        let number =
            PartNumber::new(self.next_part).map_err(|error| StorageError::TooLarge(error.to_string()))?;
        let store_upload_id = match &self.store_upload_id {
            Some(id) => id.clone(),
            None => self.store_upload_id.insert(self.store.create_multipart(self.upload).await?).clone(),
        };
        self.next_part += 1;
        let Filling { stored, batch, room } = std::mem::take(&mut self.filling);
        let (store, upload) = (self.store.clone(), self.upload);
        self.in_flight.spawn(async move {
            let parcel = store.gather(upload, &stored, batch).await?;
            let part = store.send_part(upload, &store_upload_id, number, &parcel).await?;
            drop((parcel, room));
            store.remove_spilled(upload, &stored).await;
            Ok(part)
        });
        Ok(())
    }

    async fn take_room(&mut self) -> Result<()> {
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.join_part().await?;
        }
        self.filling.room = Some(self.store.rooms.take(self.part_size).await?);
        Ok(())
    }

    async fn join_part(&mut self) -> Result<()> {
        if let Some(part) = self.in_flight.join_next().await {
            self.parts.push(part.map_err(StorageError::unavailable("write a part"))??);
        }
        Ok(())
    }
}
