//! Copies inside the store: as large as fit the time that they are given, smaller after one that did not, and
//! written out by this server where none is made at all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective, TaggingDirective};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::part_body::{PartBody, PartBuffer};
use super::part_memory::OWN_WORK;
use super::{CONTENT_TYPE, S3, classify};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hash::Hasher;
use crate::domain::pace::{Pace, Work};
use crate::domain::part::{MAX_PART_COUNT, MIN_PART_SIZE, Part, PartNumber, PartPlan, ReceivedPart};
use crate::domain::range::ByteRange;
use crate::log_text::chain;
use crate::storage::key::Key;
use crate::storage::{Result, Sealed, StorageError};

/// Parts of a copy: large enough that 48.8 TiB fit, small enough that several run side by side.
const COPY_PART_SIZE: u64 = 512 * 1024 * 1024;
/// Copies of parts under way at once; they cost the store, not us.
const COPIES_IN_FLIGHT: usize = 4;
/// Tries of a copy, each of a smaller size.
const COPY_TRIES: usize = 3;
/// What a copy of nothing is given, and by how much that grows with its bytes: less than 5 MiB a second is slower
/// than reading it and sending it again. No copy is given more than `--copy-timeout`.
const LEAST_COPY_TIME: Duration = Duration::from_secs(20);
const LEAST_COPY_RATE: u64 = 5 * 1024 * 1024;
/// A refusal comes at once; what failed later than this had begun, and ran into a limit of time.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// Parts that this server writes out itself, in bytes: two travel while one is read.
const WRITTEN_PART_SIZE: u64 = 16 * 1024 * 1024;
const WRITTEN_IN_FLIGHT: usize = 2;
/// Between two times that rates alone are worth a write to the database.
const PACE_KEPT_EVERY: Duration = Duration::from_mins(1);

/// What an operator wants of copies.
#[derive(Debug, Clone, Copy)]
pub struct CopyTerms {
    /// The longest that one may take. Below what cuts requests off on the way to the store.
    pub time_limit: Duration,
    /// Prove by copies also what reading back would prove sooner: no byte passes this server while copies succeed.
    pub avoid_reading_back: bool,
}

/// The pace that was seen, and what of it the database knows.
#[derive(Debug, Default)]
pub(super) struct SeenPace {
    now: Pace,
    kept: Pace,
    kept_at: Option<Instant>,
}

impl Default for CopyTerms {
    /// Most proxies and stores cut a request off that is not answered for two minutes.
    fn default() -> Self {
        Self { time_limit: Duration::from_secs(110), avoid_reading_back: false }
    }
}

/// Whether a copy that ended so is worth another try, or another way. Not where the source is the matter, nor where
/// the store has too much to do: another way makes more of it.
pub(super) const fn is_worth_another_way(error: &StorageError) -> bool {
    !matches!(
        error,
        StorageError::NotFound
            | StorageError::UploadNotFound
            | StorageError::Precondition
            | StorageError::Busy(_)
    )
}

impl S3 {
    #[must_use]
    pub fn with_copy_terms(self, copy_terms: CopyTerms) -> Self {
        Self { copy_terms, ..self }
    }

    /// Takes over what was seen earlier.
    pub fn set_pace(&self, pace: Pace) {
        let mut seen = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = SeenPace { now: pace, kept: pace, kept_at: None };
    }

    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    pub fn record(&self, work: Work, bytes: u64, took: Duration) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).now.record(work, bytes, took);
    }

    /// What is worth keeping and is not kept yet: at once what was too slow, now and then how fast it is.
    pub fn unkept_pace(&self) -> Option<Pace> {
        let mut seen = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = seen.kept_at.is_none_or(|kept_at| kept_at.elapsed() >= PACE_KEPT_EVERY);
        if seen.now == seen.kept || !(is_due || seen.now.largest != seen.kept.largest) {
            return None;
        }
        seen.kept = seen.now;
        seen.kept_at = Some(Instant::now());
        Some(seen.now)
    }

    /// The largest copy that is worth a try, in bytes.
    pub(super) fn largest_copy(&self, work: Work) -> u64 {
        self.pace().largest_copy(work, self.copy_terms.time_limit, self.clock.now())
    }

    /// Makes a copy within its time, measures it, and remembers one that took too long.
    pub(super) async fn timed<T>(
        &self,
        work: Work,
        bytes: u64,
        copy: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let needs = LEAST_COPY_TIME + Duration::from_secs(bytes / LEAST_COPY_RATE);
        let began = Instant::now();
        let copied = tokio::time::timeout(needs.min(self.copy_terms.time_limit), copy)
            .await
            .unwrap_or_else(|late| Err(StorageError::unavailable("copy within the time that it has")(late)));
        let took = began.elapsed();
        match &copied {
            Ok(_) => self.record(work, bytes, took),
            Err(StorageError::Unavailable { .. }) if took >= REFUSED_WITHIN => {
                let mut seen = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
                seen.now.took_too_long(bytes, self.clock.now());
            }
            Err(_) => {}
        }
        copied
    }

    /// Makes an object of these bytes at a key that `to` gives, whatever the store makes of copies: in one, in smaller
    /// parts, or by reading and writing it here, which insists on `digest` where one is given. Every try gets a key
    /// of its own where `to` makes new ones: a copy that was given up may still be made, when nobody waits for it.
    pub(super) async fn duplicate(
        &self,
        from: &Sealed,
        to: impl Fn() -> Key + Send + Sync,
        digest: Option<&Digest>,
    ) -> Result<Key> {
        let mut most = Some(self.largest_copy(Work::Copying)).filter(|most| *most > 0);
        for _ in 0..COPY_TRIES {
            let Some(size) = most else { break };
            let (whole, key) = (from.size <= size, to());
            let copied = if whole {
                self.copy(from, &key, None).await
            } else {
                self.copy_in_parts(from, &key, size).await
            };
            match copied {
                Err(error) if is_worth_another_way(&error) => {
                    let size = size.min(from.size);
                    tracing::warn!(size, error = %chain(&error), "a copy in the store failed; smaller ones are tried");
                    most = Pace::smaller(size);
                }
                copied => return copied.map(|()| key),
            }
        }
        tracing::warn!(size = from.size, "the store does not copy it; it is read and written by this server");
        let key = to();
        self.write_out(from, &key, digest).await.map(|()| key)
    }

    /// One copy inside the store, of exactly the version that was looked at, without anything that its uploader told the
    /// store beside its bytes. Tags go as well: a bucket's lifecycle rules go by them, and `MinIO` keeps those of an
    /// unsigned header. A store that does not know how to leave tags out (`S3Proxy`: 501) has none.
    pub(in crate::storage) async fn copy(
        &self,
        from: &Sealed,
        to: &Key,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<()> {
        if !self.keeps_tags.load(Ordering::Relaxed) {
            let untagged = Some(TaggingDirective::Replace);
            // Boxed: a second try must not make every finalize's future larger.
            match Box::pin(self.copy_with(from, to, checksum.clone(), untagged)).await {
                Err(StorageError::Unsupported { .. }) => {}
                copied => return copied,
            }
        }
        Box::pin(self.copy_with(from, to, checksum, None)).await?;
        self.keeps_tags.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn copy_with(
        &self,
        from: &Sealed,
        to: &Key,
        checksum: Option<ChecksumAlgorithm>,
        tags: Option<TaggingDirective>,
    ) -> Result<()> {
        let work = if checksum.is_some() { Work::Proving } else { Work::Copying };
        let copy = self
            .client
            .copy_object()
            .bucket(self.bucket())
            .key(self.path(to))
            .copy_source(self.copy_source(&from.key))
            .set_copy_source_if_match(from.etag.clone())
            .set_checksum_algorithm(checksum)
            // Or headers that the uploader sent beside the signed ones, such as Content-Encoding, would be
            // published with the bytes and make every client's digest fail.
            .metadata_directive(MetadataDirective::Replace)
            .set_tagging_directive(tags)
            .content_type(CONTENT_TYPE)
            .customize()
            .config_override(self.patiently_once());
        let copied = async { copy.send().await.map(drop).map_err(classify("copy an object")) };
        self.timed(work, from.size, copied).await
    }

    async fn copy_in_parts(&self, from: &Sealed, to: &Key, most: u64) -> Result<()> {
        let least = from.size.div_ceil(u64::from(MAX_PART_COUNT)).max(MIN_PART_SIZE);
        let plan = PartPlan::new(from.size, most.min(COPY_PART_SIZE).max(least))
            .map_err(|error| StorageError::TooLarge(error.to_string()))?;
        let store_upload_id = self.create_multipart_at(to).await?;
        let copied = async {
            let copies = plan.parts().map(|part| self.copy_range(from, to, &store_upload_id, part));
            let parts: Vec<_> = stream::iter(copies).buffered(COPIES_IN_FLIGHT).try_collect().await?;
            self.complete_copy(to, &store_upload_id, &parts, from.size).await
        };
        self.or_abort(to, &store_upload_id, copied).await
    }

    async fn copy_range(
        &self,
        from: &Sealed,
        to: &Key,
        store_upload_id: &str,
        part: Part,
    ) -> Result<ReceivedPart> {
        let range = ByteRange { start: part.offset, end: part.offset + part.size };
        let etag = self
            .copy_part(to, store_upload_id, part.number, &from.key, Some(range), from.etag.clone())
            .await?;
        Ok(ReceivedPart { number: part.number, size: part.size, etag })
    }

    pub(in crate::storage) async fn copy_part(
        &self,
        to: &Key,
        store_upload_id: &str,
        number: PartNumber,
        from: &Key,
        range: Option<ByteRange>,
        etag: Option<String>,
    ) -> Result<String> {
        let copy = self
            .client
            .upload_part_copy()
            .bucket(self.bucket())
            .key(self.path(to))
            .upload_id(store_upload_id)
            .part_number(i32::from(number.get()))
            .copy_source(self.copy_source(from))
            .set_copy_source_range(range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
            .set_copy_source_if_match(etag)
            .customize()
            .config_override(self.patiently_once());
        let copied = async { copy.send().await.map_err(classify("copy a part")) };
        let bytes = range.map_or(0, |range| range.end - range.start);
        let copied = self.timed(Work::Copying, bytes, copied).await?;
        copied
            .copy_part_result
            .and_then(|result| result.e_tag)
            .ok_or("no ETag")
            .map_err(StorageError::unsupported("copy a part"))
    }

    /// Reads an object and writes it to another key, a few parts in memory.
    async fn write_out(&self, from: &Sealed, to: &Key, digest: Option<&Digest>) -> Result<()> {
        if from.size == 0 {
            return self.put(to, bytes::Bytes::new()).await;
        }
        let store_upload_id = self.create_multipart_at(to).await?;
        let written = async {
            let algorithm = digest.map(Digest::algorithm).unwrap_or_default();
            // Boxed: the rare way must not make every finalize's future as large as itself.
            let (parts, found) = Box::pin(self.write_parts(from, to, &store_upload_id, algorithm)).await?;
            if digest.is_some_and(|digest| *digest != found) {
                return Err(StorageError::ChecksumMismatch);
            }
            self.complete_copy(to, &store_upload_id, &parts, from.size).await
        };
        self.or_abort(to, &store_upload_id, written).await
    }

    async fn write_parts(
        &self,
        from: &Sealed,
        to: &Key,
        store_upload_id: &str,
        algorithm: Algorithm,
    ) -> Result<(Vec<ReceivedPart>, Digest)> {
        let plan = PartPlan::new(from.size, WRITTEN_PART_SIZE)
            .map_err(|error| StorageError::TooLarge(error.to_string()))?;
        let (mut hasher, mut sending, mut parts) = (Hasher::new(algorithm), JoinSet::new(), Vec::new());
        let caller = Arc::from(OWN_WORK);
        for part in plan.parts() {
            if sending.len() >= WRITTEN_IN_FLIGHT {
                parts.extend(joined(sending.join_next().await)?);
            }
            let in_memory = usize::try_from(part.size).map_err(StorageError::unavailable("hold a part"))?;
            let share = self.part_memory.take(&caller, in_memory).await;
            let part_body = self.read_part(from, part).await?;
            let hashing = tokio::task::spawn_blocking(move || {
                part_body.pieces().for_each(|piece| hasher.update(piece));
                (hasher, part_body)
            });
            let (resumed, part_body) = hashing.await.map_err(StorageError::unavailable("hash a part"))?;
            hasher = resumed;
            let (store, to, id) = (self.clone(), to.clone(), store_upload_id.to_owned());
            sending.spawn(async move {
                let sent = store.send_part(&to, &id, part.number, &part_body).await;
                drop((part_body, share));
                sent
            });
        }
        while let Some(sent) = sending.join_next().await {
            parts.extend(joined(Some(sent))?);
        }
        parts.sort_unstable_by_key(|part| part.number);
        Ok((parts, hasher.finish()))
    }

    async fn read_part(&self, from: &Sealed, part: Part) -> Result<PartBody> {
        let range = ByteRange { start: part.offset, end: part.offset + part.size };
        let (to, mut pieces) = mpsc::channel(1);
        let collecting = async move {
            let mut batch = PartBuffer::default();
            while let Some(piece) = pieces.recv().await {
                batch.push(piece);
            }
            batch.into_body()
        };
        // Nothing more comes once the sender is gone, which ends with the reading.
        let reading = async move { self.read(from, range, &to).await };
        let (read, part_body) = future::join(reading, collecting).await;
        read.map(|()| part_body)
    }

    async fn complete_copy(
        &self,
        to: &Key,
        store_upload_id: &str,
        parts: &[ReceivedPart],
        size: u64,
    ) -> Result<()> {
        match self.complete_multipart_at(to, store_upload_id, parts).await {
            // A try that timed out at our end had completed it.
            Err(StorageError::UploadNotFound) if self.head(to.clone()).await?.size == size => Ok(()),
            completed => completed,
        }
    }

    /// Leaves no incomplete upload behind what failed. Best effort: the sweep finds what a store that is down keeps.
    async fn or_abort<T>(
        &self,
        to: &Key,
        store_upload_id: &str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let done = work.await;
        if done.is_err() {
            let _ = self.abort_multipart_at(&self.path(to), store_upload_id).await;
        }
        done
    }
}

fn joined(
    sent: Option<std::result::Result<Result<ReceivedPart>, tokio::task::JoinError>>,
) -> Result<Option<ReceivedPart>> {
    sent.map(|sent| sent.map_err(StorageError::unavailable("write a part"))?).transpose()
}
