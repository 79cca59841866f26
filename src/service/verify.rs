//! Prove the digest of exactly the bytes that will be published: the cheapest proof that is a proof.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::{Result, Service, ServiceError};
use crate::domain::blob::Proof;
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, Upload};
use crate::storage::{Sealed, StorageError};

/// One ranged read: long enough to hide a round trip, short enough to hold several.
const READ_SIZE: u64 = 4 * 1024 * 1024;
/// Reads under way ahead of the hasher. With [`READ_SIZE`] this is the memory of one read-back: 16 MiB.
const READS_AHEAD: usize = 3;
/// Read-backs at once; more would only share the same disks and cores, at 16 MiB each.
pub(super) const READ_BACKS_AT_ONCE: usize = 2;

impl Service {
    /// Proves that the sealed bytes are `claimed`, or says what they are.
    pub(super) async fn verify(
        self: &Arc<Self>,
        upload: &Upload,
        sealed: &Sealed,
        claimed: Digest,
    ) -> Result<Proof> {
        let (computed, proof) = match (upload.state.transfer(), sealed.sha256) {
            (Some(Transfer::Proxied(stored)), _) => {
                if sealed.size != stored.received {
                    return Err(ServiceError::Vanished);
                }
                let hasher = Hasher::resume(&stored.hash_state).map_err(|_| ServiceError::Vanished)?;
                (hasher.finish(), Proof::Streamed)
            }
            (_, Some(checked)) => (checked, Proof::StoreChecksum),
            (_, None) => (self.read_back(sealed).await?, Proof::ReadBack),
        };
        if computed == claimed { Ok(proof) } else { Err(ServiceError::DigestMismatch { claimed, computed }) }
    }

    /// Reads the object once, in ranges that travel while the one before is hashed.
    async fn read_back(self: &Arc<Self>, sealed: &Sealed) -> Result<Digest> {
        let _turn = self.read_backs.acquire().await.map_err(|_| ServiceError::Stopping)?;
        let mut hasher = Hasher::default();
        let mut ahead = VecDeque::with_capacity(READS_AHEAD);
        let mut offset = 0;
        loop {
            while ahead.len() < READS_AHEAD && offset < sealed.size {
                let range = ByteRange { start: offset, end: (offset + READ_SIZE).min(sealed.size) };
                offset = range.end;
                let (service, sealed) = (Arc::clone(self), sealed.clone());
                let read = tokio::spawn(async move { service.storage.read(&sealed, range).await });
                ahead.push_back(AbortOnDropHandle::new(read));
            }
            let Some(read) = ahead.pop_front() else { return Ok(hasher.finish()) };
            let bytes = read.await?.map_err(changed)?;
            hasher = tokio::task::spawn_blocking(move || {
                hasher.update(&bytes);
                hasher
            })
            .await?;
        }
    }
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
