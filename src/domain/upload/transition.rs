//! Every way from one state to another, and why a way is barred.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Claim, Failure, Lease, State, Status, Transfer, TransferMode, Upload};
use crate::domain::digest::Digest;
use crate::domain::part::{Part, PartPlan};
use crate::domain::range::ByteRange;

/// Why a session does not take a transition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the upload has expired; begin another")]
    Expired,
    #[error("the upload was aborted; begin another")]
    Aborted,
    #[error("the upload is complete as {0}")]
    Completed(Digest),
    #[error("the upload has failed: {}; begin another", .0.message)]
    Failed(Failure),
    #[error("the upload is being finalized; ask for its state, or try again shortly")]
    Finalizing,
    #[error("another request is appending to this upload; wait for it to end and ask for the offset")]
    Appending,
    #[error("this upload's bytes come by {0}; abort it and begin another to change that")]
    WrongMode(TransferMode),
    #[error("this upload was declared with another {0}; abort it and begin another to change that")]
    Redeclared(&'static str),
    #[error(
        "a URL without this digest may be out; abort this upload and declare the digest with the first URL"
    )]
    DeclaredLate,
    #[error(
        "the parts of this upload have {0} bytes, the last one up to that; send them as they were cut, or begin another \
         upload"
    )]
    UnevenPart(u64),
    #[error("nothing has been uploaded yet")]
    NothingUploaded,
    #[error("the lease on this upload has passed to somebody else")]
    LeaseLost,
}

impl Upload {
    /// One presigned PUT will carry the bytes. Asked again it takes a size that was not declared before, but
    /// no digest: a URL that is not bound to it may be out, and could replace the bytes after their proof.
    ///
    /// # Errors
    ///
    /// [`Refusal::DeclaredLate`] for that digest, [`Refusal::Redeclared`] for another size or digest than was declared,
    /// [`Refusal::WrongMode`] where the bytes come another way, and those of [`Self::active`].
    pub fn into_put(
        mut self,
        size: Option<u64>,
        digest: Option<Digest>,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        let is_late = self.state.status() == Status::Uploading && self.declared_digest.is_none();
        if is_late && digest.is_some() {
            return Err(Refusal::DeclaredLate);
        }
        self.declare(size, digest)?;
        match self.active(now)? {
            State::Pending { .. } => {
                Ok(self.with(State::Uploading { transfer: Transfer::Put, append_lease: None }))
            }
            State::Uploading { transfer: Transfer::Put, .. } => Ok(self),
            state => Err(wrong_mode(state)),
        }
    }

    /// A stock client is redirected to the store with the whole blob. Redirected again it is to send the same.
    ///
    /// # Errors
    ///
    /// Another size or digest than was declared, bytes that have begun to come in another way, and the end of the session.
    pub fn into_redirected(mut self, size: u64, digest: Digest, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.declare(Some(size), Some(digest))?;
        match self.active(now)? {
            State::Pending { .. } => {
                Ok(self.with(State::Uploading { transfer: Transfer::Redirected, append_lease: None }))
            }
            State::Uploading { transfer: Transfer::Redirected, .. } => Ok(self),
            state => Err(wrong_mode(state)),
        }
    }

    /// The store is about to be asked for a multipart upload. Noted first, so that one which a crash leaves
    /// unnamed is looked for when the session ends.
    ///
    /// # Errors
    ///
    /// Those of [`Self::active`].
    pub fn ask_store(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        match self.active(now)? {
            State::Pending { .. } => Ok(self.with(State::Pending { store_asked: true })),
            _ => Ok(self),
        }
    }

    /// Presigned parts will carry the bytes; the store knows them as `store_upload_id`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Redeclared`] for another size or digest than was declared, [`Refusal::WrongMode`] once the bytes come any
    /// way, and those of [`Self::active`].
    pub fn into_multipart(
        mut self,
        plan: PartPlan,
        digest: Option<Digest>,
        store_upload_id: String,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        self.declare(Some(plan.size()), digest)?;
        match self.active(now)? {
            State::Pending { .. } => {
                let transfer = Transfer::Multipart { plan, store_upload_id };
                Ok(self.with(State::Uploading { transfer, append_lease: None }))
            }
            state => Err(wrong_mode(state)),
        }
    }

    /// Presigned parts of any length will carry the bytes; the store knows them as `store_upload_id`.
    ///
    /// # Errors
    ///
    /// [`Refusal::WrongMode`] once the bytes come any way, or where nobody said how many parts there will be, and those of
    /// [`Self::active`].
    pub fn into_open_multipart(self, store_upload_id: String, now: DateTime<Utc>) -> Result<Self, Refusal> {
        match self.active(now)? {
            State::Pending { .. } if self.last_part.is_some() => {
                let transfer = Transfer::OpenMultipart { store_upload_id };
                Ok(self.with(State::Uploading { transfer, append_lease: None }))
            }
            state => Err(wrong_mode(state)),
        }
    }

    /// Plans the part that has these bytes, of an upload whose client is sent to the store with one part after the other.
    /// Asked again it is the same part.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnevenPart`] where no part is cut so, [`Refusal::WrongMode`] where it is not in parts, and those of
    /// [`Self::active`].
    pub fn plan_part(mut self, range: ByteRange, now: DateTime<Utc>) -> Result<(Self, Part), Refusal> {
        self.active(now)?;
        let State::Uploading { transfer: Transfer::Multipart { plan, .. }, .. } = &mut self.state else {
            return Err(wrong_mode(&self.state));
        };
        let (grown, part) = plan.with_part(range).ok_or(Refusal::UnevenPart(plan.part_size()))?;
        *plan = grown;
        self.size = Some(grown.size());
        Ok((self, part))
    }

    /// Checks that an upload already in parts is the one that is asked for, and notes a digest declared late.
    ///
    /// # Errors
    ///
    /// [`Refusal::Redeclared`] for another size or digest than was declared, [`Refusal::WrongMode`] where it is not in parts,
    /// and those of [`Self::active`].
    pub fn resume_multipart(
        mut self,
        size: Option<u64>,
        digest: Option<Digest>,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        self.declare(size, digest)?;
        match self.active(now)? {
            State::Uploading { transfer: Transfer::Multipart { .. }, .. } => Ok(self),
            state => Err(wrong_mode(state)),
        }
    }

    /// Takes the session for finalizing as what is claimed: step 1, also after another owner's lease has expired.
    ///
    /// # Errors
    ///
    /// [`Refusal::Finalizing`] and [`Refusal::Appending`] while somebody else's lease lives, [`Refusal::NothingUploaded`]
    /// before a byte or a URL, [`Refusal::Redeclared`] for another digest than was declared, and those of [`Self::active`].
    pub fn claim(mut self, claim: Claim, lease: Lease, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let transfer = match &self.state {
            State::Finalizing { lease: held, .. } if held.is_live(now) => return Err(Refusal::Finalizing),
            State::Finalizing { transfer, .. } => {
                self.check_expiry(now)?;
                transfer.clone()
            }
            _ => match self.active(now)? {
                State::Uploading { append_lease: Some(held), .. } if held.is_live(now) => {
                    return Err(Refusal::Appending);
                }
                State::Uploading { transfer, .. } => transfer.clone(),
                _ => return Err(Refusal::NothingUploaded),
            },
        };
        let claim = self.claimed_as(claim)?;
        if let Claim::Computed(algorithm) = claim {
            // Of a row without a digest it says what computes one.
            self.algorithm = algorithm;
        }
        Ok(Self { progress: None, ..self.with(State::Finalizing { transfer, claim, lease }) })
    }

    /// Prolongs a lease that is still ours.
    ///
    /// # Errors
    ///
    /// [`Refusal::LeaseLost`]: somebody else has it, or nobody.
    pub fn renew(mut self, renewed: Lease) -> Result<Self, Refusal> {
        match &mut self.state {
            State::Finalizing { lease, .. } | State::Uploading { append_lease: Some(lease), .. }
                if lease.owner == renewed.owner =>
            {
                *lease = renewed;
                // A session somebody works on does not expire under the work.
                self.expires_at = self.expires_at.max(renewed.expires_at);
                Ok(self)
            }
            _ => Err(Refusal::LeaseLost),
        }
    }

    /// Back to uploading: something is missing that the client can still send.
    ///
    /// # Errors
    ///
    /// [`Refusal::LeaseLost`]: `owner` is not who finalizes it.
    pub fn reopen(self, owner: Uuid) -> Result<Self, Refusal> {
        let (transfer, _) = self.finalizing(owner)?;
        let transfer = transfer.clone();
        Ok(self.with(State::Uploading { transfer, append_lease: None }))
    }

    /// Proven and placed.
    ///
    /// # Errors
    ///
    /// [`Refusal::LeaseLost`]: `owner` is not who finalizes it, or has not said what it is.
    pub fn complete(mut self, owner: Uuid, size: u64) -> Result<Self, Refusal> {
        let digest = self.finalizing(owner)?.1.digest().ok_or(Refusal::LeaseLost)?;
        self.size = Some(size);
        Ok(self.with(State::Completed { digest, size }))
    }

    /// The bytes are not what was claimed.
    ///
    /// # Errors
    ///
    /// [`Refusal::LeaseLost`]: `owner` is not who finalizes it.
    pub fn fail(self, owner: Uuid, failure: Failure) -> Result<Self, Refusal> {
        self.finalizing(owner)?;
        Ok(self.with(State::Failed { failure }))
    }

    /// Takes a completed upload back: its uploader replaced the bytes before they came to the blob's place.
    ///
    /// # Errors
    ///
    /// [`Refusal::WrongMode`]: it is not completed.
    pub fn retract(self, failure: Failure) -> Result<Self, Refusal> {
        match self.state {
            State::Completed { .. } => Ok(self.with(State::Failed { failure })),
            ref state => Err(wrong_mode(state)),
        }
    }

    /// The client gives up. Aborting twice is not an error.
    ///
    /// # Errors
    ///
    /// [`Refusal::Finalizing`] under a live lease; once it has ended, how.
    pub fn abort(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        match &self.state {
            State::Aborted => Ok(self),
            State::Finalizing { lease, .. } if !lease.is_live(now) => Ok(self.with(State::Aborted)),
            _ => {
                // An expired session that the cleaner has not met yet may be aborted all the same.
                self.active(self.created_at)?;
                Ok(self.with(State::Aborted))
            }
        }
    }

    /// The cleaner's: a session whose time is up and that nobody works on. `db::sweep` does this to many in one
    /// statement; the database suite holds it to this.
    ///
    /// # Errors
    ///
    /// [`Refusal::Finalizing`]: its time is not up, somebody works on it, or it has ended.
    pub fn expire(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let idle = self.state.lease().is_none_or(|lease| !lease.is_live(now));
        if now >= self.expires_at && idle && !self.state.status().is_terminal() {
            Ok(self.with(State::Expired))
        } else {
            Err(Refusal::Finalizing)
        }
    }

    /// This session as its row has it once a swap has written it.
    #[must_use]
    pub fn persisted(self, now: DateTime<Utc>) -> Self {
        Self { revision: self.revision + 1, updated_at: now, ..self }
    }

    /// A sign of life from the client moves the expiry on, never back.
    #[must_use]
    pub fn touch(mut self, expires_at: DateTime<Utc>) -> Self {
        self.expires_at = self.expires_at.max(expires_at);
        self
    }

    /// The state, if clients may still send to this session.
    ///
    /// # Errors
    ///
    /// [`Refusal::Expired`] once its time is up, [`Refusal::Finalizing`] from the claim on, and once it has ended, how.
    pub fn active(&self, now: DateTime<Utc>) -> Result<&State, Refusal> {
        match &self.state {
            State::Pending { .. } | State::Uploading { .. } => self.check_expiry(now).map(|()| &self.state),
            State::Finalizing { .. } => Err(Refusal::Finalizing),
            State::Completed { digest, .. } => Err(Refusal::Completed(*digest)),
            State::Failed { failure } => Err(Refusal::Failed(failure.clone())),
            State::Aborted => Err(Refusal::Aborted),
            State::Expired => Err(Refusal::Expired),
        }
    }

    fn check_expiry(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        if now < self.expires_at { Ok(()) } else { Err(Refusal::Expired) }
    }

    fn finalizing(&self, owner: Uuid) -> Result<(&Transfer, Claim), Refusal> {
        match &self.state {
            State::Finalizing { transfer, claim, lease } if lease.owner == owner => Ok((transfer, *claim)),
            _ => Err(Refusal::LeaseLost),
        }
    }

    pub(super) fn declare(&mut self, size: Option<u64>, digest: Option<Digest>) -> Result<(), Refusal> {
        let clashes = |old: Option<u64>, new: Option<u64>| old.is_some() && new.is_some() && old != new;
        if clashes(self.size, size) {
            return Err(Refusal::Redeclared("size"));
        }
        digest.map_or(Ok(()), |digest| self.check_digest(digest))?;
        self.size = self.size.or(size);
        self.declared_digest = self.declared_digest.or(digest);
        Ok(())
    }

    /// What was declared stays declared.
    pub(super) fn check_digest(&self, digest: Digest) -> Result<(), Refusal> {
        match self.declared_digest {
            Some(declared) if declared != digest => Err(Refusal::Redeclared("digest")),
            _ => Ok(()),
        }
    }

    pub(super) fn with(self, state: State) -> Self {
        Self { state, ..self }
    }
}

pub(super) fn wrong_mode(state: &State) -> Refusal {
    match (state.transfer(), state.status()) {
        (Some(transfer), _) => Refusal::WrongMode(transfer.mode()),
        (None, Status::Pending) => Refusal::NothingUploaded,
        (None, _) => Refusal::Aborted,
    }
}

#[cfg(test)]
mod tests;
