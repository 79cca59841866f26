//! Finalize: the one procedure that must never be wrong.
//!
//! 1. claim  2. assemble  3. seal and verify  4. commit  5. place  6. discard
//!
//! Here are the steps in their order; each has a file. None calls one that stands before it in this list:
//! `claim`, `assemble`, `commit`, `place`, `identify`, `verify`, `read_back`, `seal`, `discard`. Placing seals and verifies
//! once more what a URL still reaches.
//!
//! Every step may be repeated, by this replica or another, after a crash between any two. No database
//! transaction is open across a store call. Temp bytes go only after the commit and the copy, or when the
//! session can no longer succeed.
//!
//! The commit comes before the copy: what is proven under a key that no client can write to is readable from
//! there, and nobody waits while the store copies 50 GiB.

mod assemble;
mod claim;
mod commit;
mod discard;
mod identify;
pub(in crate::service) mod place;
pub(in crate::service) mod read_back;
mod seal;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::Instrument;
use uuid::Uuid;

use super::lease::POLL_INTERVAL;
use super::progress::ProgressCounter;
use crate::db::Stored;
use crate::domain::access::Caller;
use crate::domain::blob::{Placement, Proof};
use crate::domain::digest::Digest;
use crate::domain::midstate::Midstate;
use crate::domain::part::PartNumber;
use crate::domain::upload::{Claim, Phase, Refusal, State, Upload};
use crate::service::bodies::NOBODY;
use crate::service::{Result, Service, ServiceError};
use crate::storage::Sealed;
pub(in crate::service) use claim::Claimant;
use verify::check_midstates;

/// How long one who waits for another's finalize does so before it is told to ask again: most proxies give up
/// at about this age.
pub(super) const WAIT_FOR_OTHERS: Duration = Duration::from_mins(10);

/// Removals of one digest that a finalize may run into between its look and its commit. The collector passes over
/// what is being finalized, so a second one is a coincidence already.
const REMOVALS_MET: usize = 4;

/// What a client knows of its upload, to spare the server finding out. Every word of it is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHints {
    pub parts: Vec<NamedPart>,
    /// How many there are, where their client was sent to the store with one after the other.
    pub part_count: Option<PartNumber>,
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
struct Proven {
    digest: Digest,
    sealed: Sealed,
    proof: Proof,
    /// Where a blob made of them is to be read.
    placement: Placement,
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
    /// Finalizes as what is claimed. Asked twice, or on two replicas at once, it gives one blob and two successes.
    /// Who does not `wait` is answered as soon as the session is claimed. `upload` was read for this request.
    pub async fn finalize(
        self: &Arc<Self>,
        mut upload: Upload,
        claim: Claim,
        hints: ClientHints,
        caller: &Caller,
        wait: bool,
    ) -> Result<Finalized> {
        let deadline = tokio::time::Instant::now() + WAIT_FOR_OTHERS;
        let claimant = Claimant::Client(caller.clone());
        loop {
            let claimed = self.start_finalizing(upload.clone(), claim, hints.clone(), claimant.clone());
            let error = match claimed.await {
                Ok(_) if !wait => return Ok(Finalized::Accepted),
                Ok(working) => match working.await? {
                    Ok(digest) => return Ok(Finalized::Completed(digest)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match error {
                ServiceError::Refused(Refusal::Appending) => upload = self.wait_for_lease(&upload).await?,
                ServiceError::Refused(Refusal::Completed(done)) if claim.admits(done) => {
                    return Ok(Finalized::Completed(done));
                }
                ServiceError::Refused(Refusal::Completed(done)) => {
                    return Err(ServiceError::OtherDigest(done));
                }
                // Another owner works on it and may well succeed.
                ServiceError::Refused(Refusal::Finalizing | Refusal::LeaseLost) if !wait => {
                    return match self.read_again(upload.id).await?.state {
                        State::Finalizing { claim: Claim::Digest(claimed), .. } if !claim.admits(claimed) => {
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
    pub(in crate::service) async fn take_over(self: &Arc<Self>, limit: u32) -> Result<usize> {
        let mut taken = 0;
        for upload in self.db.abandoned_uploads(self.clock.now(), limit).await? {
            let State::Finalizing { claim, .. } = upload.state else { continue };
            let id = upload.id;
            match self.start_finalizing(upload, claim, ClientHints::default(), Claimant::Absent).await {
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

    /// Claims the session, and takes the other steps in a task that outlives the request.
    pub(in crate::service) async fn start_finalizing(
        self: &Arc<Self>,
        upload: Upload,
        claim: Claim,
        hints: ClientHints,
        claimant: Claimant,
    ) -> Result<JoinHandle<Result<Digest>>> {
        let owner = Uuid::new_v4();
        let upload = self.claim(upload, owner, claim, &claimant).await?;
        let service = Arc::clone(self);
        let work = service.finalize_claimed(upload, owner, hints, claimant);
        Ok(self.tasks.spawn(work.instrument(tracing::Span::current())))
    }

    async fn finalize_claimed(
        self: Arc<Self>,
        upload: Upload,
        owner: Uuid,
        hints: ClientHints,
        claimant: Claimant,
    ) -> Result<Digest> {
        let caller = upload.user_id.as_deref().unwrap_or(NOBODY);
        let progress = ProgressCounter::new(caller.into(), upload.size.unwrap_or_default());
        let mut upload = upload;
        let committed = async {
            for _ in 0..REMOVALS_MET {
                let heartbeat = self.keep_lease(upload.clone(), owner, Some(progress.clone()));
                let (identified, proven) = tokio::select! {
                    proven = Box::pin(self.prove(upload.clone(), owner, &hints, &progress)) => proven,
                    () = heartbeat.lost.cancelled() => Err(Refusal::LeaseLost.into()),
                    () = self.handover.cancelled() => Err(ServiceError::Stopping),
                }?;
                drop(heartbeat);
                upload = identified;
                if self.commit(&upload, owner, &proven, &claimant).await? {
                    return Ok(proven);
                }
                tracing::info!(upload = %upload.id, digest = %proven.digest, "the blob changed meanwhile");
            }
            Err(ServiceError::Contended)
        };
        match committed.await {
            Ok(proven) => {
                let digest = proven.digest;
                tracing::info!(upload = %upload.id, %digest, proof = %proven.proof, "upload completed");
                self.keep_pace().await;
                let turn = self.placings.take(progress.caller(), 1).await;
                if let Some(transfer) = upload.state.transfer() {
                    self.finish_in_background(turn, upload.id, transfer.clone(), proven);
                }
                Ok(digest)
            }
            Err(error) => Err(self.give_claim_back(upload, owner, error).await),
        }
    }

    /// Steps 2 and 3: assemble, seal and verify, where it has to be with a look at what the bytes are. Where placing
    /// costs nothing it is done here as well. Gives the session as it is by then.
    async fn prove(
        self: &Arc<Self>,
        upload: Upload,
        owner: Uuid,
        hints: &ClientHints,
        progress: &ProgressCounter,
    ) -> Result<(Upload, Proven)> {
        let State::Finalizing { transfer, claim, .. } = upload.state.clone() else {
            return Err(Refusal::LeaseLost.into());
        };
        let transfer = &transfer;
        check_midstates(transfer, claim.algorithm(), &hints.midstates)?;
        self.assemble(&upload, transfer, hints).await?;
        progress.enter(Phase::Copying, upload.size.unwrap_or_default());
        let sealed = self.seal(&upload, transfer, claim.algorithm()).await?;
        // The commit asks for nothing: what it adds is held. Mostly it was before it came.
        self.reserve(&upload, sealed.size).await?;
        let midstates = &hints.midstates;
        let (upload, digest, sealed) = match claim {
            Claim::Digest(digest) => (upload, digest, sealed),
            Claim::Computed(algorithm) => {
                let computing = self.compute(&upload, transfer, sealed, algorithm, midstates, progress);
                let (digest, sealed) = Box::pin(computing).await?;
                // From here on it is as if the client had told it: nothing is looked up or written under a digest that
                // nobody is seen to finalize as.
                let step = |upload: Upload| Ok(upload.identify(owner, digest)?);
                (self.transition(upload, step).await?, digest, sealed)
            }
        };
        let fixed =
            Box::pin(self.verify_fixed(upload.id, transfer, sealed, digest, midstates, progress)).await?;
        let (sealed, proof, staged) = fixed;
        progress.enter(Phase::Placing, sealed.size);
        // "Already exists" is no proof of possession: only a proven upload is deduplicated. The object is
        // looked at as well, so that one removed behind our back is put in place again.
        let (removal, is_live) = match self.wait_for_removal(&digest).await? {
            Some(Stored::Live(blob)) => (None, Some(self.is_there(&blob).await?)),
            Some(Stored::Removing(removal)) => (Some(removal.id), None),
            None => (None, None),
        };
        match (staged, is_live) {
            (Some(staged), Some(true)) => self.unstage_or_leave(upload.id, &staged).await,
            (Some(staged), _) => self.storage.publish(&staged).await?,
            (None, Some(true)) => {
                let placement = sealed.placement(upload.id);
                return Ok((upload, Proven { digest, sealed, proof, placement, removal }));
            }
            (None, None) if self.is_placed_behind(&sealed) => {
                let placement = sealed.placement(upload.id);
                return Ok((upload, Proven { digest, sealed, proof, placement, removal }));
            }
            (None, _) => self.place(upload.id, progress.caller(), &sealed, digest).await?,
        }
        Ok((upload, Proven { digest, sealed, proof, placement: Placement::Placed, removal }))
    }
}
