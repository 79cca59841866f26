//! Proof by reading: the object comes in ranges that travel ahead of the hasher, or part by part to several
//! hashers at once where the client told SHA-256's midstates.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::seal::changed;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hash::Hasher;
use crate::domain::midstate::Midstate;
use crate::domain::part::PartPlan;
use crate::domain::range::ByteRange;
use crate::domain::upload::{Phase, Transfer};
use crate::service::uploads::progress::ProgressCounter;
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Sealed, StorageError};

/// One ranged read: long enough to make its round trip cheap. Memory does not depend on it.
const READ_SIZE: u64 = 16 * 1024 * 1024;
/// Reads under way ahead of the hasher, so that it never waits for a round trip.
const READS_AHEAD: usize = 3;
/// Pieces that each read holds ready. A piece is what came from a socket at once, at most some 400 KiB, so
/// that a read-back needs a few MiB whatever it reads.
const PIECES_AHEAD: usize = 4;
/// Hashing threads at once, over all finalizes, given to users in turn; the kernel shares the cores between them and the
/// requests.
pub(in crate::service) const HASHERS_AT_ONCE: usize = 4;

/// One ranged read under way.
struct Reading {
    pieces: mpsc::Receiver<Bytes>,
    outcome: AbortOnDropHandle<std::result::Result<(), StorageError>>,
}

impl Service {
    /// Reads the object and tells its digest: part by part where the client told midstates that fit, else in order.
    pub(super) async fn read_back_by(
        self: &Arc<Self>,
        sealed: &Sealed,
        transfer: &Transfer,
        algorithm: Algorithm,
        midstates: &[Midstate],
        progress: &ProgressCounter,
    ) -> Result<Digest> {
        if let Transfer::Multipart { plan, .. } = transfer
            && let Some(digest) = self.read_back_parts(sealed, plan, midstates, progress).await?
        {
            return Ok(digest);
        }
        self.read_back(sealed, algorithm, progress).await
    }

    /// Reads the object once and tells its digest.
    pub(in crate::service) async fn read_back(
        self: &Arc<Self>,
        sealed: &Sealed,
        algorithm: Algorithm,
        progress: &ProgressCounter,
    ) -> Result<Digest> {
        progress.enter(Phase::ReadingBack, sealed.size);
        let (whole, began) = (ByteRange { start: 0, end: sealed.size }, Instant::now());
        let digest = self.hash_range(sealed, whole, Hasher::new(algorithm), progress).await?.finish();
        self.storage.record_reading(sealed.size, began.elapsed());
        Ok(digest)
    }

    /// Reads the object part by part, each hashed from the midstate claimed before it, and tells its SHA-256. None says
    /// nothing of the bytes: a midstate may be wrong. There is one after each part but the last, or none.
    async fn read_back_parts(
        self: &Arc<Self>,
        sealed: &Sealed,
        plan: &PartPlan,
        midstates: &[Midstate],
        progress: &ProgressCounter,
    ) -> Result<Option<Digest>> {
        if midstates.is_empty() {
            return Ok(None);
        }
        progress.enter(Phase::ReadingBack, sealed.size);
        let checks = plan.parts().enumerate().map(|(index, part)| {
            let before = index.checked_sub(1).and_then(|index| midstates.get(index)).copied();
            let after = midstates.get(index).copied();
            async move {
                let hasher = match before {
                    None => Some(Hasher::default()),
                    Some(before) => before.resume(part.offset),
                };
                // Parts that end inside a block have no midstates.
                let Some(hasher) = hasher else { return Ok(PartEnd::Other) };
                let range = ByteRange { start: part.offset, end: part.offset + part.size };
                let hasher = self.hash_range(sealed, range, hasher, progress).await?;
                Ok::<_, ServiceError>(PartEnd::of(hasher, after))
            }
        });
        let (mut checks, began) = (stream::iter(checks).buffer_unordered(HASHERS_AT_ONCE), Instant::now());
        let mut digest = None;
        while let Some(end) = checks.next().await {
            match end? {
                PartEnd::Midstate => {}
                PartEnd::Whole(whole) => digest = Some(whole),
                PartEnd::Other => {
                    tracing::info!("the midstates do not fit the bytes; reading them in order");
                    return Ok(None);
                }
            }
        }
        self.storage.record_reading(sealed.size, began.elapsed());
        Ok(digest)
    }

    /// Reads a range in pieces that travel while the ones before are hashed.
    async fn hash_range(
        self: &Arc<Self>,
        sealed: &Sealed,
        range: ByteRange,
        hasher: Hasher,
        progress: &ProgressCounter,
    ) -> Result<Hasher> {
        let turn = self.hashers.take(progress.caller(), 1).await;
        let (to_hasher, pieces) = mpsc::channel(PIECES_AHEAD);
        let hashing = tokio::task::spawn_blocking(move || {
            let hasher = hash(hasher, pieces);
            drop(turn);
            hasher
        });
        let mut ahead = VecDeque::with_capacity(READS_AHEAD);
        let mut offset = range.start;
        loop {
            while ahead.len() < READS_AHEAD && offset < range.end {
                let next = ByteRange { start: offset, end: (offset + READ_SIZE).min(range.end) };
                offset = next.end;
                ahead.push_back(self.read_ahead(sealed, next));
            }
            let Some(mut reading) = ahead.pop_front() else { break };
            while let Some(piece) = reading.pieces.recv().await {
                let bytes = piece.len() as u64;
                // Nobody takes it only when hashing panicked, which is told below.
                let _ = to_hasher.send(piece).await;
                progress.advance(bytes);
            }
            reading.outcome.await?.map_err(changed)?;
        }
        drop(to_hasher);
        Ok(hashing.await?)
    }

    fn read_ahead(self: &Arc<Self>, sealed: &Sealed, range: ByteRange) -> Reading {
        let (to, pieces) = mpsc::channel(PIECES_AHEAD);
        let (service, sealed) = (Arc::clone(self), sealed.clone());
        let outcome = tokio::spawn(async move { service.storage.read(&sealed, range, &to).await });
        Reading { pieces, outcome: AbortOnDropHandle::new(outcome) }
    }
}

/// What hashing a part came to.
enum PartEnd {
    /// The midstate claimed after it.
    Midstate,
    /// The digest of the whole, after the last part.
    Whole(Digest),
    /// Nothing that was claimed.
    Other,
}

impl PartEnd {
    fn of(hasher: Hasher, after: Option<Midstate>) -> Self {
        match after {
            Some(after) if Midstate::of(&hasher) == Some(after) => Self::Midstate,
            Some(_) => Self::Other,
            None => Self::Whole(hasher.finish()),
        }
    }
}

/// Hashes what comes until nothing more does; blocks its thread.
fn hash(mut hasher: Hasher, mut pieces: mpsc::Receiver<Bytes>) -> Hasher {
    while let Some(piece) = pieces.blocking_recv() {
        hasher.update(&piece);
    }
    hasher
}
