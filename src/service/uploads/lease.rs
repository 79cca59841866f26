//! Keeping a lease while the work goes on, and giving it back.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::progress::ProgressCounter;
use crate::domain::upload::{Lease, Progress, Refusal, Upload};
use crate::service::{Result, SWAP_ATTEMPTS, Service, ServiceError};

/// Renewals within one lease: two may be lost to a slow database before others take over.
pub(in crate::service) const RENEWALS_PER_LEASE: u32 = 3;

/// How often one who waits for somebody else's work looks again.
pub(in crate::service) const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Renews a lease in the background until it is dropped.
#[derive(Debug)]
pub(in crate::service) struct Heartbeat {
    /// Cancelled when somebody else has the session.
    pub lost: CancellationToken,
    /// Cancelled when the lease is to be given back before its end.
    pub noticed: CancellationToken,
    _renewing: AbortOnDropHandle<()>,
}

impl Service {
    /// A lease that `owner` may take now.
    pub(in crate::service) fn lease_for(&self, owner: Uuid) -> Lease {
        Lease { owner, expires_at: self.after(self.limits.lease) }
    }

    /// `upload` is the session as the lease was taken on it. Each renewal is one statement, from the one before;
    /// it moves the revision on, so that whoever holds an older one reads again before it writes.
    /// What the work is at goes along.
    pub(in crate::service) fn keep_lease(
        self: &Arc<Self>,
        mut upload: Upload,
        owner: Uuid,
        progress: Option<ProgressCounter>,
    ) -> Heartbeat {
        let (lost, noticed) = (CancellationToken::new(), CancellationToken::new());
        let (service, token, notice) = (Arc::clone(self), lost.clone(), noticed.clone());
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(service.limits.lease / RENEWALS_PER_LEASE).await;
                match service
                    .renew(
                        upload.clone(),
                        service.lease_for(owner),
                        progress.as_ref().map(ProgressCounter::now),
                    )
                    .await
                {
                    Ok(renewed) => upload = renewed,
                    Err(ServiceError::Refused(Refusal::Appending)) => return notice.cancel(),
                    Err(ServiceError::Refused(_) | ServiceError::UploadUnknown) => return token.cancel(),
                    Err(error) => {
                        tracing::warn!(upload = %upload.id, %error, "a lease could not be renewed");
                    }
                }
            }
        });
        Heartbeat { lost, noticed, _renewing: AbortOnDropHandle::new(renewing) }
    }

    /// Lets others claim the session now.
    pub(in crate::service) async fn release_lease(&self, upload: Upload, owner: Uuid) {
        let id = upload.id;
        match self.renew(upload, Lease { owner, expires_at: self.clock.now() }, None).await {
            Ok(_) | Err(ServiceError::Refused(Refusal::LeaseLost)) => {}
            Err(error) => tracing::warn!(upload = %id, %error, "a lease runs out instead of being released"),
        }
    }

    /// Pauses before another try at a session that somebody else appends to, and reads it again. A holder that
    /// renews its lease lives, and the answer is a conflict; one that was killed is waited for, because clients
    /// that nobody changed give up on a conflict.
    pub(in crate::service) async fn wait_for_lease(&self, before: &Upload) -> Result<Upload> {
        tokio::time::sleep(POLL_INTERVAL).await;
        let now = self.read_again(before.id).await?;
        match (before.state.lease(), now.state.lease()) {
            (Some(before), Some(held)) if held != before => Err(Refusal::Appending.into()),
            _ => Ok(now),
        }
    }

    /// Has whoever appends at `offset` give the lease back: a client that was cut off, as by a router that forgot its
    /// connection, has come again with the bytes that the holder still waits for.
    pub(in crate::service) async fn give_notice(&self, upload: Upload, offset: u64) -> Result<Upload> {
        let end = self.after(self.limits.lease / RENEWALS_PER_LEASE * 2);
        self.transition(upload, |upload| Ok(upload.give_notice(end, offset))).await
    }

    async fn renew(&self, mut before: Upload, lease: Lease, progress: Option<Progress>) -> Result<Upload> {
        for _ in 0..SWAP_ATTEMPTS {
            let after = Upload { progress, ..before.clone().renew(lease)? };
            let now = self.clock.now();
            if self.db.renew_lease(&before, &after, now).await? {
                return Ok(after.persisted(now));
            }
            let held = before.state.lease();
            before = self.read_again(before.id).await?;
            // Somebody gave notice, and waits to append.
            if let (Some(held), Some(now)) = (held, before.state.lease())
                && now.owner == held.owner
                && now.expires_at < held.expires_at
            {
                return Err(Refusal::Appending.into());
            }
        }
        Err(ServiceError::Contended)
    }
}
