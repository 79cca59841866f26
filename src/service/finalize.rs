//! Finalize: the one procedure that must never be wrong.
//!
//! 1. claim  2. assemble  3. verify  4. commit  5. place  6. discard
//!
//! Every step may be repeated, by this replica or another, after a crash between any two. No database
//! transaction is open across a store call. Temp bytes go only after the commit and the copy, or when the
//! session can no longer succeed.
//!
//! The commit comes before the copy: what is proven under a key that no client can write to is readable from
//! there, and nobody waits while the store copies 50 GiB. `place.rs` has steps 5 and 6.

mod assemble;
mod claimant;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::Instrument;
use uuid::Uuid;

use claimant::Claimant;

use super::bodies::NOBODY;
use super::lease::POLL_INTERVAL;
use super::progress::ProgressCounter;
use super::verify::changed;
use super::{Result, Service, ServiceError};
use crate::db::{Committed, Stored};
use crate::domain::access::Caller;
use crate::domain::blob::{Blob, Proof, Standing};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::midstate::Midstate;
use crate::domain::part::PartNumber;
use crate::domain::upload::{Phase, Refusal, State, Transfer, Upload, UploadId};
use crate::log_text::chain;
use crate::storage::{Sealed, Staged, StorageError};

/// How long one who waits for another's finalize does so before it is told to ask again: most proxies give up
/// at about this age.
const WAIT_FOR_OTHERS: Duration = Duration::from_mins(10);

/// Largest blob whose copy the answer waits for, in bytes: it takes a store no longer than the round trips that
/// following it up later would.
const PLACED_AT_ONCE: u64 = 4 * 1024 * 1024;

/// Removals of one digest that a finalize may run into between its look and its commit. The collector passes over
/// what is being finalized, so a second one is a coincidence already.
const REMOVALS_MET: usize = 4;

/// What a client knows of its upload, to spare the server finding out. Every word of it is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub parts: Vec<NamedPart>,
    /// After each part but the last.
    pub midstates: Vec<Midstate>,
}

/// A part as the client says the store answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    pub number: PartNumber,
    pub etag: String,
}

/// Bytes whose digest is proven.
#[derive(Debug)]
pub(super) struct Proven {
    pub sealed: Sealed,
    pub proof: Proof,
    /// Where a blob made of them is to be read.
    pub standing: Standing,
    /// The removal of an earlier object of this digest, which had ended before this one was put in its place.
    removal: Option<Uuid>,
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
    /// For a caller who is `absent` it answers as soon as the session is claimed, and the audit log has the push once it
    /// has succeeded. `upload` was read for this request.
    pub async fn finalize(
        self: &Arc<Self>,
        mut upload: Upload,
        digest: Digest,
        told: Told,
        absent: Option<&Caller>,
    ) -> Result<Finalized> {
        let deadline = tokio::time::Instant::now() + WAIT_FOR_OTHERS;
        let wait = absent.is_none();
        let claimant = absent.map_or(Claimant::Client, |caller| Claimant::Absent(caller.clone()));
        loop {
            let claimed = self.claim(upload.clone(), digest, told.clone(), claimant.clone());
            let error = match claimed.await {
                Ok(_) if !wait => return Ok(Finalized::Accepted),
                Ok(working) => match working.await? {
                    Ok(digest) => return Ok(Finalized::Completed(digest)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error {
                ServiceError::Refused(Refusal::Appending) => upload = self.outwait(&upload).await?,
                ServiceError::Refused(Refusal::Completed(done)) if done == digest => {
                    return Ok(Finalized::Completed(done));
                }
                ServiceError::Refused(Refusal::Completed(done)) => {
                    return Err(ServiceError::OtherDigest(done));
                }
                // Another owner works on it and may well succeed.
                ServiceError::Refused(Refusal::Finalizing | Refusal::LeaseLost) if !wait => {
                    return match self.read_again(upload.id).await?.state {
                        State::Finalizing { digest: claimed, .. } if claimed != digest => {
                            Err(ServiceError::OtherDigest(claimed))
                        }
                        _ => Ok(Finalized::Accepted),
                    };
                }
                ServiceError::Refused(Refusal::Finalizing | Refusal::LeaseLost)
                    if tokio::time::Instant::now() < deadline =>
                {
                    if self.handover.is_cancelled() {
                        return Err(ServiceError::Stopping);
                    }
                    tokio::time::sleep(POLL_INTERVAL).await;
                    upload = self.read_again(upload.id).await?;
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
            let id = upload.id;
            match self.claim(upload, digest, Told::default(), Claimant::Cleaner).await {
                // It goes on by itself; its outcome is logged and persisted where it is decided.
                Ok(_) => {
                    tracing::info!(upload = %id, "took over an abandoned finalize");
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
        upload: Upload,
        digest: Digest,
        told: Told,
        claimant: Claimant,
    ) -> Result<JoinHandle<Result<Digest>>> {
        let owner = Uuid::new_v4();
        let claimed = self.transition(upload, |upload| {
            let upload = upload.claim(digest, self.lease_for(owner), self.clock.now())?;
            Ok(match claimant {
                Claimant::Client | Claimant::Absent(_) => {
                    upload.touch(self.after(self.settings().upload_lifetime()))
                }
                Claimant::Cleaner => upload,
            })
        });
        let upload = claimed.await?;
        let service = Arc::clone(self);
        let work = async move {
            let begun = upload.clone();
            let outcome = Arc::clone(&service).finalize_claimed(upload, owner, digest, told).await;
            if outcome.is_ok() {
                service.record_finalized(claimant, &begun, &digest).await;
            }
            outcome
        };
        Ok(self.tasks.spawn(work.instrument(tracing::Span::current())))
    }

    async fn finalize_claimed(
        self: Arc<Self>,
        upload: Upload,
        owner: Uuid,
        digest: Digest,
        told: Told,
    ) -> Result<Digest> {
        let caller = upload.user_id.as_deref().unwrap_or(NOBODY);
        let progress = ProgressCounter::new(caller.into(), upload.size.unwrap_or_default());
        let committed = async {
            for _ in 0..REMOVALS_MET {
                let heartbeat = self.keep_lease(upload.clone(), owner, Some(progress.clone()));
                let proven = tokio::select! {
                    proven = Box::pin(self.prove(&upload, digest, &told, &progress)) => proven,
                    () = heartbeat.lost.cancelled() => Err(Refusal::LeaseLost.into()),
                    () = self.handover.cancelled() => Err(ServiceError::Stopping),
                }?;
                drop(heartbeat);
                if self.commit(&upload, owner, digest, &proven).await? {
                    return Ok(proven);
                }
                tracing::info!(upload = %upload.id, %digest, "the blob changed meanwhile");
            }
            Err(ServiceError::Contended)
        };
        match committed.await {
            Ok(proven) => {
                tracing::info!(upload = %upload.id, %digest, proof = %proven.proof, "upload completed");
                self.keep_pace().await;
                let turn = self.placings.take(progress.caller(), 1).await;
                if let Some(transfer) = upload.state.transfer() {
                    self.settle_behind(turn, upload.id, transfer.clone(), proven, digest);
                }
                Ok(digest)
            }
            Err(error) => Err(self.settle(upload, owner, error).await),
        }
    }

    /// Steps 2 and 3: assemble and verify. Where placing costs nothing it is done here as well.
    async fn prove(
        self: &Arc<Self>,
        upload: &Upload,
        digest: Digest,
        told: &Told,
        progress: &ProgressCounter,
    ) -> Result<Proven> {
        let transfer = upload.state.transfer().ok_or(Refusal::LeaseLost)?;
        check_midstates(transfer, digest, &told.midstates)?;
        self.assemble(upload, transfer, &told.parts).await?;
        let bound = upload.declared_digest.is_some();
        progress.enter(Phase::Copying, upload.size.unwrap_or_default());
        let sealed = match self.storage.seal(upload.id, transfer, digest.algorithm(), bound).await {
            Ok(sealed) => sealed,
            Err(StorageError::NotFound | StorageError::UploadNotFound) => {
                return Err(nothing_there(transfer));
            }
            Err(error) => return Err(changed(error)),
        };
        self.check_size(upload, &sealed)?;
        // The commit asks for nothing: what it adds is held. Mostly it was before it came.
        self.reserve(upload, sealed.size).await?;
        let midstates = &told.midstates;
        let fixed =
            Box::pin(self.verify_fixed(upload.id, transfer, sealed, digest, midstates, progress)).await?;
        let (sealed, proof, staged) = fixed;
        progress.enter(Phase::Placing, sealed.size);
        // "Already exists" is no proof of possession: only a proven upload is deduplicated. The object is
        // looked at as well, so that one removed behind our back is put in place again.
        let (removal, is_live) = match self.outlast_removal(&digest).await? {
            Some(Stored::Live(blob)) => (None, Some(self.is_there(&blob).await?)),
            Some(Stored::Removing(removal)) => (Some(removal.id), None),
            None => (None, None),
        };
        match (staged, is_live) {
            (Some(staged), Some(true)) => self.give_up(upload.id, &staged).await,
            (Some(staged), _) => self.storage.publish(&staged).await?,
            (None, Some(true)) => {
                let standing = sealed.standing(upload.id);
                return Ok(Proven { sealed, proof, standing, removal });
            }
            (None, None) if self.is_placed_behind(&sealed) => {
                let standing = sealed.standing(upload.id);
                return Ok(Proven { sealed, proof, standing, removal });
            }
            (None, _) => self.place(upload.id, progress.caller(), &sealed, digest).await?,
        }
        Ok(Proven { sealed, proof, standing: Standing::Placed, removal })
    }

    /// What the database knows of a digest, once no removal of its object can have any effect any more. A removal
    /// takes as long as one request to the store; one whose collector died, up to a minute.
    async fn outlast_removal(&self, digest: &Digest) -> Result<Option<Stored>> {
        loop {
            match self.db.find_stored(digest).await? {
                Some(Stored::Removing(removal)) if self.clock.now() < removal.until => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                stored => return Ok(stored),
            }
        }
    }

    /// Whether the answer goes out before the copy. Nobody reads what is exposed before it is placed; what carries an
    /// uploader's headers nobody is to read with them.
    fn is_placed_behind(&self, sealed: &Sealed) -> bool {
        let is_worth_it = sealed.size > PLACED_AT_ONCE && sealed.is_plain;
        self.storage.place_copies() && (is_worth_it || sealed.is_exposed)
    }

    /// What was staged has proven what it had to, and is not wanted.
    pub(super) async fn give_up(&self, upload: UploadId, staged: &Staged) {
        if let Err(error) = self.storage.unstage(staged).await {
            tracing::warn!(%upload, error = %chain(&error), "what was staged is left to the cleaner");
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

    /// Step 4. What another owner committed meanwhile is told by the state machine. False when the blob is not
    /// as it was found: it has been taken for removal, or another upload was faster and may yet fail.
    async fn commit(&self, claimed: &Upload, owner: Uuid, digest: Digest, proven: &Proven) -> Result<bool> {
        let Proven { sealed, proof, standing, removal } = proven;
        let mut before = claimed.clone();
        for _ in 0..super::SWAP_ATTEMPTS {
            let after = before.clone().complete(owner, sealed.size)?;
            let blob = Blob {
                digest,
                size: sealed.size,
                proof: *proof,
                created_at: self.clock.now(),
                standing: standing.clone(),
            };
            let placing_until = self.after(self.limits.lease);
            match self.db.commit_blob(&before, &after, &blob, placing_until, *removal).await? {
                Committed::Done => return Ok(true),
                Committed::Changed => return Ok(false),
                // By a renewal of our own lease, or by somebody else.
                Committed::Overtaken => before = self.read_again(before.id).await?,
            }
        }
        Err(ServiceError::Contended)
    }

    /// Step 6; what a crash or an error leaves here, the cleaner removes.
    pub(super) async fn discard_completed(&self, id: UploadId, transfer: &Transfer, sealed: &Sealed) {
        let discarded = async {
            self.storage.discard_published(id, transfer, sealed).await?;
            self.db.mark_discarded(&[id], self.clock.now()).await?;
            Ok::<_, ServiceError>(())
        };
        if let Err(error) = discarded.await {
            tracing::warn!(upload = %id, %error, "temporary objects are left to the cleaner");
        }
    }

    /// Leaves the session where it belongs after `error`: failed for good, open for what is missing, or
    /// free to be claimed again.
    async fn settle(&self, upload: Upload, owner: Uuid, error: ServiceError) -> ServiceError {
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

/// Refused, where they are no use, and not passed over: who sends them counts on a proof in parallel.
fn check_midstates(transfer: &Transfer, digest: Digest, midstates: &[Midstate]) -> Result<()> {
    let algorithm = digest.algorithm();
    if algorithm != Algorithm::Sha256 && !midstates.is_empty() {
        return Err(ServiceError::Invalid(format!(
            "sha256_midstates prove nothing of a {algorithm} digest; finalize again without them"
        )));
    }
    let boundaries = match transfer {
        Transfer::Multipart { plan, .. } => usize::from(plan.part_count()) - 1,
        Transfer::Put | Transfer::Proxied(_) => 0,
    };
    if midstates.is_empty() || midstates.len() == boundaries {
        return Ok(());
    }
    Err(ServiceError::Invalid(format!(
        "sha256_midstates has {} entries; this upload takes {boundaries}, one after each part but the last, or none",
        midstates.len()
    )))
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
