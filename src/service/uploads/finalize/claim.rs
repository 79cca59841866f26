//! Step 1: one owner has the session, under a lease. And how it is given back where finalizing does not succeed.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::access::Caller;
use crate::domain::audit::{AuditEntry, AuditedAction, Operation, ResourceType};
use crate::domain::digest::Digest;
use crate::domain::upload::{Claim, Upload};
use crate::service::{Result, Service, ServiceError};

/// Who wants an upload finalized.
#[derive(Debug, Clone)]
pub(in crate::service) enum Claimant {
    Client(Caller),
    /// The service itself: for a replica that died, or for a client that does not tell when its bytes are there. No sign
    /// of life: what can never succeed must expire.
    Absent,
}

impl Claimant {
    /// The audit log's entry of the push. Of what nobody asked for it says who had begun it.
    pub(super) fn push(&self, upload: &Upload, digest: Digest, now: DateTime<Utc>) -> AuditEntry {
        let repository = &upload.repository;
        let push = AuditedAction {
            operation: Operation::Push,
            resource_type: ResourceType::Blob,
            resource: format!("{repository}@{digest}"),
            project: Some(repository.project()),
        };
        match self {
            Self::Client(caller) => AuditEntry::by(caller, push, now),
            Self::Absent => AuditEntry::new(upload.user_id.as_deref().unwrap_or_default(), None, push, now),
        }
    }
}

impl Service {
    /// Claims the session for `owner`.
    pub(super) async fn claim(
        &self,
        upload: Upload,
        owner: Uuid,
        claim: Claim,
        claimant: &Claimant,
    ) -> Result<Upload> {
        self.transition(upload, |upload| {
            let upload = upload.claim(claim, self.lease_for(owner), self.clock.now())?;
            Ok(match claimant {
                Claimant::Client(_) => upload.touch(self.after(self.settings().upload_lifetime())),
                Claimant::Absent => upload,
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
}
