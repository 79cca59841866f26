//! Prove the digest of exactly the bytes that will be published: the cheapest proof that is a proof.

use std::sync::Arc;

use super::progress::ProgressCounter;
use super::{Result, Service, ServiceError};
use crate::domain::blob::Proof;
use crate::domain::digest::{Digest, Mismatch};
use crate::domain::midstate::Midstate;
use crate::domain::upload::{Phase, Transfer, UploadId};
use crate::log_text::chain;
use crate::storage::{Evidence, Sealed, Staged, StorageError};

impl Service {
    /// Proves that sealed bytes are `claimed`, as [`Self::verify`] does. Where the copy that was to prove it comes to
    /// nothing they are fixed and read instead, so that one request is enough. Gives what was proven, too.
    pub(super) async fn verify_fixed(
        self: &Arc<Self>,
        upload: UploadId,
        transfer: &Transfer,
        sealed: Sealed,
        claimed: Digest,
        midstates: &[Midstate],
        progress: &ProgressCounter,
    ) -> Result<(Sealed, Proof, Option<Staged>)> {
        let verified = self.verify(upload, transfer, &sealed, claimed, midstates, progress).await;
        let (sealed, verified) = match verified {
            Err(ServiceError::Storage(error)) if sealed.evidence == Evidence::ByStaging => {
                tracing::warn!(%upload, error = %chain(&error), "the copy that was to prove it failed; it is read");
                let sealed =
                    self.storage.seal_for_reading(upload, transfer, &sealed).await.map_err(changed)?;
                let verified = self.verify(upload, transfer, &sealed, claimed, midstates, progress).await;
                (sealed, verified)
            }
            verified => (sealed, verified),
        };
        verified.map(|(proof, staged)| (sealed, proof, staged))
    }

    /// Proves that the sealed bytes are `claimed`, or says what they are. What was staged for that is the
    /// caller's to publish or to give up.
    async fn verify(
        self: &Arc<Self>,
        upload: UploadId,
        transfer: &Transfer,
        sealed: &Sealed,
        claimed: Digest,
        midstates: &[Midstate],
        progress: &ProgressCounter,
    ) -> Result<(Proof, Option<Staged>)> {
        let (mut staged, algorithm) = (None, claimed.algorithm());
        let (computed, proof) = match (transfer, sealed.evidence) {
            (Transfer::Proxied(stored), _) => {
                if sealed.size != stored.received {
                    return Err(ServiceError::Vanished);
                }
                let streamed = stored.digest().ok_or(ServiceError::Vanished)?;
                if streamed.algorithm() == algorithm {
                    (streamed, Proof::Streamed)
                } else {
                    // What it was hashed with was a guess, and wrong.
                    (self.read_back(sealed, algorithm, progress).await?, Proof::ReadBack)
                }
            }
            (_, Evidence::Digest(computed, proof)) if computed.algorithm() == algorithm => (computed, proof),
            (_, Evidence::ByStaging) => {
                progress.enter(Phase::Copying, sealed.size);
                let staged = staged.insert(self.storage.stage(sealed, &claimed).await.map_err(changed)?);
                (staged.sha256(), Proof::StoreCopy)
            }
            (Transfer::Multipart { plan, .. }, Evidence::None)
                if self.read_back_parts(sealed, plan, midstates, claimed, progress).await? =>
            {
                (claimed, Proof::ReadBack)
            }
            // A digest by another algorithm says nothing of this one.
            (_, Evidence::None | Evidence::Digest(..)) => {
                (self.read_back(sealed, algorithm, progress).await?, Proof::ReadBack)
            }
        };
        if computed == claimed {
            return Ok((proof, staged));
        }
        if let Some(staged) = staged {
            self.give_up(upload, &staged).await;
        }
        Err(match transfer {
            Transfer::Proxied(_) => {
                ServiceError::DigestMismatch(Box::new(Mismatch { expected: claimed, found: computed }))
            }
            // Bytes that went past us need not be the caller's own: a store may let a URL copy another object. Its
            // digest would be a key to it.
            Transfer::Put | Transfer::Multipart { .. } => ServiceError::NotTheDigest(claimed),
        })
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
