//! Prove the digest of exactly the bytes that will be published: the cheapest proof that is a proof.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Result, Service, ServiceError};
use crate::domain::blob::Proof;
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, Upload};
use crate::storage::{Evidence, Sealed, Staged, StorageError};

/// One ranged read: long enough to make its round trip cheap. Memory does not depend on it.
const READ_SIZE: u64 = 16 * 1024 * 1024;
/// Reads under way ahead of the hasher, so that it never waits for a round trip.
const READS_AHEAD: usize = 3;
/// Pieces that each read holds ready. A piece is what came from a socket at once, at most some 400 KiB, so
/// that a read-back needs a few MiB whatever it reads.
const PIECES_AHEAD: usize = 4;
/// Read-backs at once; more would only share the same disks and cores.
pub(super) const READ_BACKS_AT_ONCE: usize = 4;

/// One ranged read under way.
struct Reading {
    pieces: mpsc::Receiver<Bytes>,
    outcome: AbortOnDropHandle<std::result::Result<(), StorageError>>,
}

impl Service {
    /// Proves that the sealed bytes are `claimed`, or says what they are. What was staged for that is the
    /// caller's to publish or to give up.
    pub(super) async fn verify(
        self: &Arc<Self>,
        upload: &Upload,
        sealed: &Sealed,
        claimed: Digest,
    ) -> Result<(Proof, Option<Staged>)> {
        let mut staged = None;
        let (computed, proof) = match (upload.state.transfer(), sealed.evidence) {
            (Some(Transfer::Proxied(stored)), _) => {
                if sealed.size != stored.received {
                    return Err(ServiceError::Vanished);
                }
                let hasher = Hasher::resume(&stored.hash_state).map_err(|_| ServiceError::Vanished)?;
                (hasher.finish(), Proof::Streamed)
            }
            (_, Evidence::Sha256(computed, proof)) => (computed, proof),
            (_, Evidence::ByStaging) => {
                let staged = staged.insert(self.storage.stage(sealed, &claimed).await.map_err(changed)?);
                (staged.sha256(), Proof::StoreCopy)
            }
            (_, Evidence::None) => (self.read_back(sealed).await?, Proof::ReadBack),
        };
        if computed == claimed {
            return Ok((proof, staged));
        }
        if let Some(staged) = staged {
            self.give_up(upload, &staged).await;
        }
        Err(ServiceError::DigestMismatch { claimed, computed })
    }

    /// Reads the object once, in ranges that travel while the ones before are hashed.
    async fn read_back(self: &Arc<Self>, sealed: &Sealed) -> Result<Digest> {
        let _turn = self.read_backs.acquire().await.map_err(|_| ServiceError::Stopping)?;
        let (to_hasher, pieces) = mpsc::channel(PIECES_AHEAD);
        let hashing = tokio::task::spawn_blocking(move || hash(pieces));
        let mut ahead = VecDeque::with_capacity(READS_AHEAD);
        let mut offset = 0;
        loop {
            while ahead.len() < READS_AHEAD && offset < sealed.size {
                let range = ByteRange { start: offset, end: (offset + READ_SIZE).min(sealed.size) };
                offset = range.end;
                ahead.push_back(self.read_ahead(sealed, range));
            }
            let Some(mut reading) = ahead.pop_front() else { break };
            while let Some(piece) = reading.pieces.recv().await {
                // Nobody takes it only when hashing panicked, which is told below.
                let _ = to_hasher.send(piece).await;
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

/// Hashes what comes until nothing more does; blocks its thread.
fn hash(mut pieces: mpsc::Receiver<Bytes>) -> Digest {
    let mut hasher = Hasher::default();
    while let Some(piece) = pieces.blocking_recv() {
        hasher.update(&piece);
    }
    hasher.finish()
}

/// A sealed object that is gone or different: the client overwrote it through a URL that still lives.
pub(super) fn changed(error: StorageError) -> ServiceError {
    match error {
        StorageError::Precondition | StorageError::NotFound => ServiceError::Invalid(
            "the uploaded object changed while it was being finalized; send it once, then finalize again"
                .to_owned(),
        ),
        error => error.into(),
    }
}
