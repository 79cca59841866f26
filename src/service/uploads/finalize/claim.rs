//! Step 1: one owner has the session, under a lease. And how it is given back where finalizing does not succeed.

use uuid::Uuid;

use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::upload::Upload;
use crate::service::{Result, Service, ServiceError};

/// Who wants an upload finalized, and with it who writes that down.
#[derive(Debug, Clone)]
pub(super) enum Claimant {
    /// Waits for the outcome, and writes it down.
    Client,
    /// Does not wait: the outcome is written down where it is decided.
    Absent(Caller),
    /// Takes over for one that died. No sign of life: what can never succeed must expire.
    Cleaner,
}

impl Service {
    /// Claims the session for `owner`.
    pub(super) async fn claim(
        &self,
        upload: Upload,
        owner: Uuid,
        digest: Digest,
        claimant: &Claimant,
    ) -> Result<Upload> {
        self.transition(upload, |upload| {
            let upload = upload.claim(digest, self.lease_for(owner), self.clock.now())?;
            Ok(match claimant {
                Claimant::Client | Claimant::Absent(_) => {
                    upload.touch(self.after(self.settings().upload_lifetime()))
                }
                Claimant::Cleaner => upload,
            })
        })
        .await
    }

    /// Leaves the session where it belongs after `error`: failed for good, open for what is missing, or
    /// free to be claimed again.
    pub(super) async fn give_claim_back(
        &self,
        upload: Upload,
        owner: Uuid,
        error: ServiceError,
    ) -> ServiceError {
        let id = upload.id;
        tracing::info!(upload = %id, %error, "finalize did not complete");
        let settled = if let Some(failure) = error.verdict() {
            self.transition(upload, |upload| Ok(upload.fail(owner, failure.clone())?)).await.map(|_| true)
        } else if error.is_transient() {
            self.release_lease(upload, owner).await;
            return error;
        } else {
            self.transition(upload, |upload| Ok(upload.reopen(owner)?)).await.map(|_| false)
        };
        match settled {
            Ok(true) => self.discard_or_leave(id).await,
            Ok(false) | Err(ServiceError::Refused(_)) => {}
            Err(error) => {
                tracing::warn!(upload = %id, %error, "the session keeps its state until its lease runs out");
            }
        }
        error
    }

    /// The push is in the audit log, whoever claimed it: of what was taken over it says who had begun it, be they waiting
    /// or gone.
    pub(super) async fn record_finalized(&self, claimant: Claimant, upload: &Upload, digest: &Digest) {
        let (name, address) = match &claimant {
            Claimant::Client => return,
            Claimant::Absent(caller) => (caller.name(), caller.address),
            Claimant::Cleaner => (upload.user_id.as_deref(), None),
        };
        self.record_push(name.unwrap_or_default(), address, &upload.repository, digest).await;
    }
}
