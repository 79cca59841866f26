//! Step 3: prove the digest of exactly the bytes that will be published, by the cheapest proof that is one.

use std::sync::Arc;

use super::seal::changed;
use crate::domain::blob::Proof;
use crate::domain::digest::{Algorithm, Digest, Mismatch};
use crate::domain::midstate::Midstate;
use crate::domain::upload::{Phase, Transfer, UploadId};
use crate::log_text::chain;
use crate::service::uploads::progress::ProgressCounter;
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Evidence, Sealed, Staged};

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
    /// caller's to publish or to remove.
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
                match sealed.evidence {
                    _ if streamed.algorithm() == algorithm => (streamed, Proof::Streamed),
                    Evidence::Digest(computed, proof) if computed.algorithm() == algorithm => {
                        (computed, proof)
                    }
                    // What it was hashed with was a guess, and wrong.
                    _ => (self.read_back(sealed, algorithm, progress).await?, Proof::ReadBack),
                }
            }
            (_, Evidence::Digest(computed, proof)) if computed.algorithm() == algorithm => (computed, proof),
            (_, Evidence::ByStaging) => {
                progress.enter(Phase::Copying, sealed.size);
                let staged = staged.insert(self.storage.stage(sealed, &claimed).await.map_err(changed)?);
                (staged.sha256(), Proof::StoreCopy)
            }
            // A digest by another algorithm says nothing of this one.
            (_, Evidence::None | Evidence::Digest(..)) => {
                let reading = self.read_back_by(sealed, transfer, algorithm, midstates, progress);
                let computed = reading.await?;
                (computed, Proof::ReadBack)
            }
        };
        if computed == claimed {
            return Ok((proof, staged));
        }
        if let Some(staged) = staged {
            self.unstage_or_leave(upload, &staged).await;
        }
        Err(match transfer {
            Transfer::Proxied(_) => {
                ServiceError::DigestMismatch(Box::new(Mismatch { expected: claimed, found: computed }))
            }
            // Bytes that went past us need not be the caller's own: a store may let a URL copy another object. Its
            // digest would be a key to it.
            Transfer::Put
            | Transfer::Redirected
            | Transfer::Multipart { .. }
            | Transfer::OpenMultipart { .. } => ServiceError::NotTheDigest(claimed),
        })
    }
}

/// Refused, where they are no use, and not passed over: who sends them counts on a proof in parallel.
pub(super) fn check_midstates(
    transfer: &Transfer,
    algorithm: Algorithm,
    midstates: &[Midstate],
) -> Result<()> {
    if algorithm != Algorithm::Sha256 && !midstates.is_empty() {
        return Err(ServiceError::Invalid(format!(
            "sha256_midstates prove nothing of a {algorithm} digest; finalize again without them"
        )));
    }
    let boundaries = match transfer {
        Transfer::Multipart { plan, .. } => usize::from(plan.part_count()) - 1,
        Transfer::Put | Transfer::Redirected | Transfer::OpenMultipart { .. } | Transfer::Proxied(_) => 0,
    };
    if midstates.is_empty() || midstates.len() == boundaries {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!(
        "sha256_midstates has {} entries; this upload takes {boundaries}, one after each part but the last, or none",
        midstates.len()
    )))
}
