//! Append to a proxied upload: hashed as it passes, offset and hash state saved at the end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::part::PartPlan;
use crate::domain::range::ByteRange;
use crate::domain::upload::{Proxied, Refusal, State, Transfer, Upload};
use crate::service::{Result, SWAP_ATTEMPTS, Service, ServiceError};
use crate::storage::{Appended, StorageError};

/// Parts are held in memory while they are sent: whatever length a client announces, a part leaves room for
/// those of others (`storage::s3::room`). Ten thousand of them are 156 GiB; what is larger goes by presigned parts.
pub(super) const MAX_PROXIED_PART_SIZE: u64 = 16 * 1024 * 1024;

/// What a body of unknown length has held for it ahead of what has come: large enough that the database is not asked
/// for every piece, and no more than a part.
const RESERVED_AHEAD: u64 = 16 * 1024 * 1024;

/// Where a chunk says it goes, how long it says it is, and what comes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chunk {
    /// `Content-Range`; a chunk without one goes wherever the last one ended.
    pub range: Option<ByteRange>,
    /// `Content-Length` in bytes; none for a chunked body.
    pub length: Option<u64>,
    /// What the whole is to be, where this is its last chunk.
    pub whole: Option<Digest>,
    /// The length of the upload in bytes, of which nothing was told before.
    pub size: Option<u64>,
    /// What its client says that it is; where it is not, nothing of it is kept.
    pub checksum: Option<ChunkChecksum>,
}

/// Of one chunk, against damage on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkChecksum {
    /// Which tus has every server know (tus 1.0.0, "Checksum").
    Sha1([u8; 20]),
    Digest(Digest),
}

/// How an append ended.
enum AppendOutcome {
    Whole,
    /// The body broke, the server stops, the project is full or the client came again: what arrived is kept, and the
    /// client goes on from there.
    Cut(ServiceError),
    /// Nothing of it counts: it is not what its client said of it, or too much.
    Dropped(ServiceError),
}

/// The hash of one chunk, where its client has told what that is.
enum ChunkHash {
    None,
    Sha1(ring::digest::Context, [u8; 20]),
    Digest(Hasher, Digest),
}

impl ChunkHash {
    fn new(checksum: Option<ChunkChecksum>) -> Self {
        match checksum {
            None => Self::None,
            Some(ChunkChecksum::Sha1(expected)) => {
                Self::Sha1(ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY), expected)
            }
            Some(ChunkChecksum::Digest(expected)) => {
                Self::Digest(Hasher::new(expected.algorithm()), expected)
            }
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Sha1(hasher, _) => hasher.update(bytes),
            Self::Digest(hasher, _) => hasher.update(bytes),
        }
    }

    /// How the append ends, with a look at that.
    fn check(self, ending: AppendOutcome) -> AppendOutcome {
        let fits = match self {
            Self::None => return ending,
            Self::Sha1(hasher, expected) => hasher.finish().as_ref() == expected,
            Self::Digest(hasher, expected) => hasher.finish() == expected,
        };
        match ending {
            AppendOutcome::Whole if !fits => AppendOutcome::Dropped(ServiceError::ChunkMismatch),
            // What has come of it cannot be told from what was damaged on the way.
            AppendOutcome::Cut(error) => AppendOutcome::Dropped(error),
            ending => ending,
        }
    }
}

impl Service {
    /// Appends a body to a session that was read for this request, and gives the session after it.
    pub async fn append<B>(self: &Arc<Self>, mut upload: Upload, chunk: Chunk, body: B) -> Result<Upload>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin + 'static,
    {
        self.check_chunk(&upload, chunk)?;
        let on_arrival = proxied(&upload).map_or(0, |stored| stored.received);
        let owner = Uuid::new_v4();
        let part_size = self.part_size_for(upload.size.or(chunk.size).or(chunk.length));
        // Whoever says where its chunk goes ends a connection that brings the same bytes: it is the same client, which
        // gave that up before we knew. What has arrived of them is kept, and the client told.
        let mut may_give_notice = chunk.range.is_some_and(|range| range.start == on_arrival);
        let upload = loop {
            let leased = self.transition(upload.clone(), |upload| {
                let upload =
                    upload.into_append(part_size, chunk.whole, self.lease_for(owner), self.clock.now())?;
                check_offset(&upload, chunk, on_arrival)?;
                // Where nobody else appends: of another one it is not known how far that gets.
                let upload = match chunk.size {
                    Some(size) => upload.with_size(size, self.clock.now())?,
                    None => upload,
                };
                Ok(upload.touch(self.after(self.settings().upload_lifetime())))
            });
            match leased.await {
                Err(ServiceError::Refused(Refusal::Appending)) if may_give_notice => {
                    may_give_notice = false;
                    upload = self.give_notice(self.read_again(upload.id).await?, on_arrival).await?;
                }
                Err(ServiceError::Refused(Refusal::Appending)) => {
                    upload = self.wait_for_lease(&upload).await?;
                }
                leased => break leased?,
            }
        };
        // The request may be dropped at any moment; what it has stored must be saved all the same.
        let service = Arc::clone(self);
        let appending = async move { service.append_leased(&upload, owner, chunk, body).await };
        self.tasks.spawn(appending.instrument(tracing::Span::current())).await?
    }

    async fn append_leased<B>(
        self: &Arc<Self>,
        upload: &Upload,
        owner: Uuid,
        chunk: Chunk,
        body: B,
    ) -> Result<Upload>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let stored = proxied(upload)?.clone();
        let heartbeat = self.keep_lease(upload.clone(), owner, None);
        let outcome = tokio::select! {
            outcome = self.store_chunk(upload, owner, &stored, chunk, body, &heartbeat.noticed) => outcome,
            () = heartbeat.lost.cancelled() => Err(Refusal::LeaseLost.into()),
        };
        drop(heartbeat);
        match outcome {
            Ok((appended, after, ending)) => {
                let whole = chunk.whole.filter(|_| matches!(ending, AppendOutcome::Whole));
                let saved = self.save_append(upload, owner, after, &appended, whole).await?;
                if let Some(old) = stored.tail_id.filter(|old| appended.tail_id != Some(*old)) {
                    // Only tidiness: the sweep finds it.
                    let _ = self.storage.remove_tail(upload.id, old).await;
                }
                match ending {
                    AppendOutcome::Whole => Ok(saved),
                    AppendOutcome::Cut(error) | AppendOutcome::Dropped(error) => Err(error),
                }
            }
            Err(error) => {
                // Nothing of this append counts: the upload stays at its old offset.
                match self.save_append(upload, owner, stored, &Appended::default(), None).await {
                    Ok(_) => {}
                    // An upload that ended meanwhile took its bytes along, perhaps while they were being read:
                    // its end is the better answer.
                    Err(ended @ ServiceError::Refused(_))
                        if matches!(
                            error,
                            ServiceError::Vanished | ServiceError::Storage(_) | ServiceError::StoreRefused(_)
                        ) =>
                    {
                        return Err(ended);
                    }
                    Err(error) => {
                        tracing::warn!(upload = %upload.id, %error, "an append's lease runs out instead of being released");
                    }
                }
                Err(error)
            }
        }
    }

    async fn store_chunk<B>(
        &self,
        upload: &Upload,
        owner: Uuid,
        stored: &Proxied,
        chunk: Chunk,
        mut body: B,
        noticed: &CancellationToken,
    ) -> Result<(Appended, Proxied, AppendOutcome)>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let mut hasher = Hasher::resume(&stored.hash_state).map_err(|_| ServiceError::Vanished)?;
        let mut chunk_hash = ChunkHash::new(chunk.checksum);
        let mut received = stored.received;
        let end = chunk.range.map_or(self.limits.max_blob_size, |range| range.end);
        let end = upload.size.map_or(end, |size| end.min(size));
        let most = self.storage.largest_proxied(stored.part_size);
        if stored.received.saturating_add(chunk.length.unwrap_or_default()) > most {
            return Err(beyond_parts(most));
        }
        let announced = chunk.range.map(|range| range.end);
        let announced =
            announced.or(chunk.length.map(|length| received.saturating_add(length))).max(upload.size);
        let mut reserved = self.reserve(upload, announced.unwrap_or_default()).await?;
        // Where nobody signs in, each upload is a caller of its own.
        let caller = upload.user_id.clone().unwrap_or_else(|| upload.id.to_string());
        let mut writer = self.storage.append(upload.id, stored, owner, &caller).await.map_err(vanished)?;
        let stopping = self.handover.cancelled();
        tokio::pin!(stopping);
        let ending = loop {
            // Before the sender is asked for more: its silence is not counted while it waits for us.
            tokio::select! {
                biased;
                ready = writer.ready() => ready.map_err(vanished)?,
                () = &mut stopping => break AppendOutcome::Cut(ServiceError::Stopping),
            }
            let next = tokio::select! {
                biased;
                () = &mut stopping => break AppendOutcome::Cut(ServiceError::Stopping),
                () = noticed.cancelled() => break AppendOutcome::Cut(Refusal::LeaseLost.into()),
                next = body.next() => next,
                () = writer.stalled() => {
                    writer.spill().await.map_err(vanished)?;
                    continue;
                }
            };
            match next {
                None => break AppendOutcome::Whole,
                Some(Err(error)) => {
                    tracing::info!(%error, "the body of an append broke off");
                    break AppendOutcome::Cut(ServiceError::BodyIncomplete);
                }
                Some(Ok(bytes)) => {
                    let sum = received + bytes.len() as u64;
                    if sum > end {
                        break AppendOutcome::Dropped(self.too_long(chunk, upload.size));
                    }
                    if sum > most {
                        break AppendOutcome::Dropped(beyond_parts(most));
                    }
                    if sum > reserved {
                        let ahead = sum.saturating_add(RESERVED_AHEAD);
                        match self.reserve_between(upload, sum, ahead).await {
                            Ok(held) => reserved = held,
                            Err(error @ ServiceError::QuotaExceeded(_)) => break AppendOutcome::Cut(error),
                            Err(error) => return Err(error),
                        }
                    }
                    received = sum;
                    hasher.update(&bytes);
                    chunk_hash.update(&bytes);
                    writer.write(bytes).await.map_err(vanished)?;
                }
            }
        };
        if matches!(ending, AppendOutcome::Whole) && chunk.range.is_some_and(|range| range.end != received) {
            return Err(ServiceError::SizeInvalid("the body is shorter than its Content-Range".to_owned()));
        }
        let ending = chunk_hash.check(ending);
        // What was held ahead of a body of no known length.
        let kept = if matches!(ending, AppendOutcome::Dropped(_)) { stored.received } else { received };
        let is_ahead = announced.is_none() && (kept..u64::MAX).contains(&reserved);
        if let AppendOutcome::Dropped(error) = ending {
            writer.discard().await;
            if is_ahead {
                self.release_beyond(upload, kept).await;
            }
            return Err(error);
        }
        let appended = writer.finish().await.map_err(vanished)?;
        if is_ahead {
            self.release_beyond(upload, kept).await;
        }
        let after = Proxied {
            received,
            hash_state: hasher.save(),
            part_size: stored.part_size,
            store_upload_id: appended.store_upload_id.clone(),
            tail_id: appended.tail_id,
        };
        Ok((appended, after, ending))
    }

    /// Persists what an append stored, as the last of `whole` if it was that, and gives its lease back.
    async fn save_append(
        &self,
        leased: &Upload,
        owner: Uuid,
        after: Proxied,
        appended: &Appended,
        whole: Option<Digest>,
    ) -> Result<Upload> {
        let mut before = leased.clone();
        for _ in 0..SWAP_ATTEMPTS {
            // An upload that was aborted meanwhile has its own answer, better than a lost lease.
            if before.state.lease().is_none_or(|lease| lease.owner != owner) {
                before.active(self.clock.now())?;
            }
            let next = before.clone().appended(owner, after.clone(), whole)?;
            let next = next.touch(self.after(self.settings().upload_lifetime()));
            let now = self.clock.now();
            if self.db.swap_upload_with_parts(&before, &next, &appended.parts, now).await? {
                return Ok(next.persisted(now));
            }
            // A renewal of the lease, or somebody else.
            before = self.read_again(before.id).await?;
        }
        Err(ServiceError::Contended)
    }

    /// Refuses what can be refused before a byte is read.
    pub(super) fn check_chunk(&self, upload: &Upload, chunk: Chunk) -> Result<()> {
        upload.active(self.clock.now())?;
        if let (Some(range), Some(length)) = (chunk.range, chunk.length)
            && range.length() != length
        {
            return Err(ServiceError::SizeInvalid(
                "Content-Range and Content-Length differ in length".to_owned(),
            ));
        }
        let end = chunk.range.map(|range| range.end).or(chunk.length).unwrap_or_default();
        if end > self.limits.max_blob_size { Err(self.too_long(Chunk::default(), None)) } else { Ok(()) }
    }

    fn too_long(&self, chunk: Chunk, size: Option<u64>) -> ServiceError {
        if let Some(size) = size {
            longer_than_told(size)
        } else if chunk.range.is_some() {
            ServiceError::SizeInvalid("the body is longer than its Content-Range".to_owned())
        } else {
            ServiceError::TooLarge(format!(
                "a blob may have at most {} bytes here",
                self.limits.max_blob_size
            ))
        }
    }

    /// Parts grow with a length that is known at the first chunk, of the whole or of that, up to what a request may hold in memory.
    fn part_size_for(&self, length: Option<u64>) -> u64 {
        let floor = self.limits.part_size;
        let wanted = PartPlan::new(length.unwrap_or(1).max(1), floor).map_or(floor, |plan| plan.part_size());
        wanted.min(floor.max(MAX_PROXIED_PART_SIZE))
    }
}

/// What was appended before is gone: no retry brings it back.
fn vanished(error: StorageError) -> ServiceError {
    match error {
        StorageError::NotFound | StorageError::UploadNotFound => ServiceError::Vanished,
        error => error.into(),
    }
}

pub(super) fn longer_than_told(size: u64) -> ServiceError {
    ServiceError::TooLarge(format!("the upload was begun for {size} bytes, and this is more"))
}

fn beyond_parts(most: u64) -> ServiceError {
    ServiceError::TooLarge(format!(
        "at most {most} bytes of one blob go through this server; ask for presigned part URLs instead, \
         or have the operator raise --part-size"
    ))
}

fn proxied(upload: &Upload) -> Result<&Proxied> {
    match &upload.state {
        State::Uploading { transfer: Transfer::Proxied(stored), .. } => Ok(stored),
        _ => Err(Refusal::LeaseLost.into()),
    }
}

/// A chunk that does not say where it goes means the offset that stood when it came: had another request
/// appended meanwhile, it would land behind bytes that its sender knows nothing of.
fn check_offset(upload: &Upload, chunk: Chunk, on_arrival: u64) -> Result<()> {
    let expected = proxied(upload)?.received;
    if chunk.range.map_or(on_arrival, |range| range.start) == expected {
        Ok(())
    } else {
        Err(ServiceError::OffsetMismatch { expected })
    }
}
