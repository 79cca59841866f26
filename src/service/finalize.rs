//! Finalize: the one procedure that must never be wrong.
//!
//! 1. claim  2. assemble  3. verify  4. place  5. commit  6. discard
//!
//! Every step may be repeated, by this replica or another, after a crash between any two. No database
//! transaction is open across a store call. Temp bytes go only after the commit, or when the session can
//! no longer succeed.

mod assemble;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::Instrument;
use uuid::Uuid;

use super::lease::POLL_INTERVAL;
use super::verify::changed;
use super::{Result, Service, ServiceError};
use crate::domain::blob::{Blob, Proof};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::part::PartNumber;
use crate::domain::upload::{Refusal, State, Transfer, Upload, UploadId};
use crate::storage::{Sealed, Staged, StorageError};
use crate::telemetry::chain;

/// How long one who waits for another's finalize does so before it is told to ask again: most proxies give up
/// at about this age.
const WAIT_FOR_OTHERS: Duration = Duration::from_mins(10);

/// A part as the client says the store answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    pub number: PartNumber,
    pub etag: String,
}

/// Who wants an upload finalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimant {
    Client,
    /// Takes over for one that died. No sign of life: what can never succeed must expire.
    Cleaner,
}

/// What finalizing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalized {
    Completed(Digest),
    /// It goes on; the session's state tells when it is done.
    Accepted,
}

impl Service {
    /// Finalizes as `digest`. Asked twice, or on two replicas at once, it gives one blob and two successes.
    /// With `wait` unset it answers as soon as the session is claimed.
    pub async fn finalize(
        self: &Arc<Self>,
        repository: &RepositoryName,
        id: UploadId,
        digest: Digest,
        parts: Vec<NamedPart>,
        wait: bool,
    ) -> Result<Finalized> {
        self.upload(repository, id).await?;
        let deadline = tokio::time::Instant::now() + WAIT_FOR_OTHERS;
        let mut appending = None;
        loop {
            let error = match self.claim(id, digest, parts.clone(), Claimant::Client).await {
                Ok(_) if !wait => return Ok(Finalized::Accepted),
                Ok(working) => match working.await? {
                    Ok(digest) => return Ok(Finalized::Completed(digest)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error {
                ServiceError::Refused(Refusal::Appending) => self.outwait(id, &mut appending).await?,
                ServiceError::Refused(Refusal::Completed(done)) if done == digest => {
                    return Ok(Finalized::Completed(done));
                }
                ServiceError::Refused(Refusal::Completed(done)) => {
                    return Err(ServiceError::OtherDigest(done));
                }
                // Another owner works on it and may well succeed.
                ServiceError::Refused(Refusal::Finalizing | Refusal::LeaseLost) if !wait => {
                    return match self.upload(repository, id).await?.state {
                        State::Finalizing { digest: claimed, .. } if claimed != digest => {
                            Err(ServiceError::OtherDigest(claimed))
                        }
                        _ => Ok(Finalized::Accepted),
                    };
                }
                ServiceError::Refused(Refusal::Finalizing | Refusal::LeaseLost)
                    if tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                error => return Err(error),
            }
        }
    }

    /// Takes over what finalizers that died have left; says how many.
    pub(super) async fn take_over(self: &Arc<Self>, limit: u32) -> Result<usize> {
        let mut taken = 0;
        for upload in self.db.abandoned_uploads(self.clock.now(), limit).await? {
            let State::Finalizing { digest, .. } = upload.state else { continue };
            match self.claim(upload.id, digest, Vec::new(), Claimant::Cleaner).await {
                // It goes on by itself; its outcome is logged and persisted where it is decided.
                Ok(_) => {
                    tracing::info!(upload = %upload.id, "took over an abandoned finalize");
                    taken += 1;
                }
                Err(ServiceError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Step 1, and the other five in a task that outlives the request.
    async fn claim(
        self: &Arc<Self>,
        id: UploadId,
        digest: Digest,
        parts: Vec<NamedPart>,
        claimant: Claimant,
    ) -> Result<JoinHandle<Result<Digest>>> {
        let owner = Uuid::new_v4();
        let claimed = self.transition(id, |upload| {
            let upload = upload.claim(digest, self.lease_for(owner), self.clock.now())?;
            Ok(match claimant {
                Claimant::Client => upload.touch(self.after(self.limits.upload_lifetime)),
                Claimant::Cleaner => upload,
            })
        });
        let upload = claimed.await?;
        let service = Arc::clone(self);
        let work = async move { service.finalize_claimed(upload, owner, digest, parts).await };
        Ok(self.tasks.spawn(work.instrument(tracing::Span::current())))
    }

    async fn finalize_claimed(
        self: Arc<Self>,
        upload: Upload,
        owner: Uuid,
        digest: Digest,
        parts: Vec<NamedPart>,
    ) -> Result<Digest> {
        let heartbeat = self.keep_lease(upload.id, owner);
        let published = tokio::select! {
            published = self.publish(&upload, digest, &parts) => published,
            () = heartbeat.lost.cancelled() => Err(Refusal::LeaseLost.into()),
            () = self.handover.cancelled() => Err(ServiceError::Stopping),
        };
        drop(heartbeat);
        let committed = match published {
            Ok((sealed, proof)) => {
                let committed = self.commit(upload.id, owner, digest, sealed.size, proof).await;
                committed.map(|()| (sealed, proof))
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok((sealed, proof)) => {
                tracing::info!(upload = %upload.id, %digest, %proof, "upload completed");
                self.discard_completed(&upload, &sealed).await;
                Ok(digest)
            }
            Err(error) => Err(self.settle(upload.id, owner, error).await),
        }
    }

    /// Steps 2 to 4: assemble, verify, place.
    async fn publish(
        self: &Arc<Self>,
        upload: &Upload,
        digest: Digest,
        parts: &[NamedPart],
    ) -> Result<(Sealed, Proof)> {
        let transfer = upload.state.transfer().ok_or(Refusal::LeaseLost)?;
        self.assemble(upload, transfer, parts).await?;
        let sealed = match self.storage.seal(upload.id, transfer, upload.declared_digest.is_some()).await {
            Ok(sealed) => sealed,
            Err(StorageError::NotFound | StorageError::UploadNotFound) => {
                return Err(nothing_there(transfer));
            }
            Err(error) => return Err(changed(error)),
        };
        self.check_size(upload, &sealed)?;
        let (proof, staged) = self.verify(upload, &sealed, digest).await?;
        // "Already exists" is no proof of possession: only a proven upload is deduplicated. The object is
        // looked at as well, so that one removed behind our back is put in place again.
        let published = self.db.find_blob(&digest).await?.is_some()
            && self.storage.blob_size(&digest).await? == Some(sealed.size);
        match staged {
            Some(staged) if published => self.give_up(upload, &staged).await,
            Some(staged) => self.storage.publish(&staged).await?,
            None if published => {}
            None => self.storage.place(&sealed, &digest).await.map_err(changed)?,
        }
        Ok((sealed, proof))
    }

    /// What was staged has proven what it had to, and is not wanted.
    pub(super) async fn give_up(&self, upload: &Upload, staged: &Staged) {
        if let Err(error) = self.storage.unstage(staged).await {
            tracing::warn!(upload = %upload.id, error = %chain(&error), "what was staged is left to the cleaner");
        }
    }

    fn check_size(&self, upload: &Upload, sealed: &Sealed) -> Result<()> {
        let (found, most) = (sealed.size, self.limits.max_blob_size);
        match upload.size {
            Some(declared) if declared != found => Err(ServiceError::SizeInvalid(format!(
                "{found} bytes were uploaded where {declared} were declared; the upload has been discarded"
            ))),
            _ if found > most => Err(ServiceError::SizeInvalid(format!(
                "{found} bytes were uploaded; a blob may have at most {most} here; the upload has been discarded"
            ))),
            _ => Ok(()),
        }
    }

    /// Step 5. What another owner committed meanwhile is told by the state machine.
    async fn commit(&self, id: UploadId, owner: Uuid, digest: Digest, size: u64, proof: Proof) -> Result<()> {
        for _ in 0..super::SWAP_ATTEMPTS {
            let before = self.db.find_upload(id).await?.ok_or(ServiceError::UploadUnknown)?;
            let after = before.clone().complete(owner, size)?;
            let blob = Blob { digest, size, proof, created_at: self.clock.now() };
            if self.db.commit_blob(&before, &after, &blob).await? {
                return Ok(());
            }
        }
        Err(ServiceError::Contended)
    }

    /// Step 6; what a crash or an error leaves here, the cleaner removes.
    async fn discard_completed(&self, upload: &Upload, sealed: &Sealed) {
        let Some(transfer) = upload.state.transfer() else { return };
        let discarded = async {
            self.storage.discard_published(upload.id, transfer, sealed).await?;
            self.db.mark_discarded(upload.id, self.clock.now()).await?;
            Ok::<_, ServiceError>(())
        };
        if let Err(error) = discarded.await {
            tracing::warn!(upload = %upload.id, %error, "temporary objects are left to the cleaner");
        }
    }

    /// Leaves the session where it belongs after `error`: failed for good, open for what is missing, or
    /// free to be claimed again.
    async fn settle(&self, id: UploadId, owner: Uuid, error: ServiceError) -> ServiceError {
        tracing::info!(upload = %id, %error, "finalize did not complete");
        let settled = if let Some(failure) = error.verdict() {
            self.transition(id, |upload| Ok(upload.fail(owner, failure.clone())?)).await.map(|_| true)
        } else if error.is_transient() {
            self.release_lease(id, owner).await;
            return error;
        } else {
            self.transition(id, |upload| Ok(upload.reopen(owner)?)).await.map(|_| false)
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

/// One PUT can be sent again; parts and appends whose bytes are gone cannot.
fn nothing_there(transfer: &Transfer) -> ServiceError {
    match transfer {
        Transfer::Put => ServiceError::Invalid(
            "nothing has been uploaded to the presigned URL yet; send the bytes, then finalize again"
                .to_owned(),
        ),
        Transfer::Multipart { .. } | Transfer::Proxied(_) => ServiceError::Vanished,
    }
}
