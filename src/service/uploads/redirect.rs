//! Send a stock client straight to the store: with its one PUT of a whole blob, of which nobody tells when the bytes are
//! there (see [`settle`](super::settle)), or with one part after the other, as Ollama does.

use std::sync::Arc;
use std::time::Duration;

use super::append::Chunk;
use super::batch::{BatchOrigin, BatchWay, BatchedUpload, WantedBlob};
use super::sign::{Presigned, SignRequest};
use crate::domain::access::Caller;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::duration::LONGEST_URL_LIFETIME;
use crate::domain::name::RepositoryName;
use crate::domain::part::{MAX_PART_SIZE, MIN_PART_SIZE, PartPlan};
use crate::domain::range::ByteRange;
use crate::domain::upload::{BatchDoor, Refusal, State, Transfer, TransferMode, Upload, UploadId};
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Lengths, PresignedRequest};

impl Service {
    /// The request that takes the blob of `size` bytes to the store. None where it is not worth it, or where the store
    /// takes no such request, or the client does not go there by what `goes` says of the URL: then the bytes go through this
    /// service. A client that was redirected before, and sends again, is redirected again.
    ///
    /// # Errors
    /// The state machine's refusal of a session that has received bytes or was declared otherwise, and
    /// [`ServiceError::QuotaExceeded`].
    pub async fn redirect(
        &self,
        upload: Upload,
        size: u64,
        digest: Digest,
        goes: impl FnOnce(&str) -> bool + Send,
    ) -> Result<Option<PresignedRequest>> {
        let is_redirected = matches!(upload.state, State::Uploading { transfer: Transfer::Redirected, .. });
        if !is_redirected && !self.is_worth_redirecting(size) {
            return Ok(None);
        }
        let lifetime = self.settings().url_lifetime();
        let request = self.storage.presign_redirect(upload.id, size, &digest, lifetime).await?;
        let Some(request) = request.filter(|request| goes(&request.url)) else {
            let refused = Refusal::WrongMode(TransferMode::Redirected);
            return if is_redirected { Err(refused.into()) } else { Ok(None) };
        };
        // What is refused must not have room taken for it.
        upload.clone().into_redirected(size, digest, self.clock.now())?;
        self.reserve(&upload, size).await?;
        let end = self.expiry_when_signed();
        let step = |upload: Upload| Ok(upload.into_redirected(size, digest, self.clock.now())?.touch(end));
        self.transition(upload, step).await?;
        Ok(Some(request))
    }

    /// The request that takes a chunk to the store as one part of the blob. None where it is not worth it, or where the
    /// store takes no such request, or chunks have come through this service: then this one does too. A client that sends
    /// a chunk again is sent to the same part.
    ///
    /// # Errors
    /// The state machine's refusal of a chunk that is cut otherwise than those before, and those of a chunk that comes
    /// through here: too large, or without room in its project.
    pub async fn redirect_part(&self, upload: Upload, chunk: Chunk) -> Result<Option<PresignedRequest>> {
        self.check_chunk(&upload, chunk)?;
        let Some(range) = chunk.range.filter(|_| self.storage.redirects_parts()) else { return Ok(None) };
        let is_first = match &upload.state {
            State::Uploading { transfer: Transfer::Multipart { .. }, .. } => false,
            State::Pending { .. } if upload.size.is_none() && self.is_first_part(range) => true,
            _ => return Ok(None),
        };
        if !is_first {
            // What is refused must not have room taken for it.
            upload.clone().plan_part(range, self.clock.now())?;
        }
        self.reserve(&upload, range.end).await?;
        let end = self.expiry_when_signed();
        let upload = if is_first { self.begin_parts(upload, range).await? } else { upload };
        let step = |upload: Upload| Ok(upload.plan_part(range, self.clock.now())?.0.touch(end));
        let upload = self.transition(upload, step).await?;
        let id = upload.id;
        let (upload, part) = upload.plan_part(range, self.clock.now())?;
        let Some(Transfer::Multipart { store_upload_id, .. }) = upload.state.transfer() else {
            return Err(Refusal::LeaseLost.into());
        };
        let lifetime = self.part_url_lifetime();
        let signer = self.storage.part_signer(id, store_upload_id, Lengths::Signed, lifetime).await?;
        Ok(Some(signer.sign(part)))
    }

    /// Begins an upload whose client tells digest and size, and sends the blob to a URL if it gets one; or goes on with one
    /// that it has begun before, and waits for what that has sent. No upload where the blob is there by then. No URL where it
    /// is not worth it, or where the store takes no such request; and where the project has no room: the client does not show
    /// why it is refused here, but does of what it sends through this service.
    ///
    /// # Errors
    /// Those of [`Self::begin`] and [`Self::begin_batch`].
    pub async fn begin_direct(
        self: &Arc<Self>,
        caller: &Caller,
        repository: RepositoryName,
        (digest, size): (Digest, Option<u64>),
        user_agent: Option<&str>,
    ) -> Result<Option<(UploadId, Option<PresignedRequest>)>> {
        let algorithm = digest.algorithm();
        let size = size.filter(|size| algorithm == Algorithm::Sha256 && self.is_worth_redirecting(*size));
        if let Some(size) = size {
            let origin =
                BatchOrigin { door: BatchDoor::Ollama, user_agent, ways: &[BatchWay::Put], is_plain: false };
            let begun = self.begin_batch(caller, &repository, &[WantedBlob { digest, size }], origin).await?;
            match begun.into_iter().next() {
                Some(BatchedUpload::Begun {
                    id, presigned: Some(Presigned::Put { request, .. }), ..
                }) => {
                    return Ok(Some((id, Some(request))));
                }
                Some(BatchedUpload::Present) => return Ok(None),
                Some(BatchedUpload::Refused(ServiceError::QuotaExceeded(_))) => {}
                Some(BatchedUpload::Refused(error)) => return Err(error),
                _ => {}
            }
        }
        let upload = self.begin(caller, repository, Some(digest), algorithm, None, user_agent).await?;
        Ok(Some((upload.id, None)))
    }

    /// Whether the parts of a blob go to the store whose first one this is. It tells how long the others are: not too
    /// short for a store, which takes a short one only as the last.
    fn is_first_part(&self, range: ByteRange) -> bool {
        range.start == 0 && range.length() >= MIN_PART_SIZE && self.is_worth_redirecting(range.length())
    }

    async fn begin_parts(&self, upload: Upload, first: ByteRange) -> Result<Upload> {
        let plan = PartPlan::restore(first.length(), first.length());
        let plan = plan.map_err(|error| ServiceError::Invalid(error.to_string()))?;
        self.begin_planned(upload, plan, &SignRequest::default()).await
    }

    /// These clients send a part that fails to the URL that they have, and never ask for another: it lives as long as
    /// the upload.
    fn part_url_lifetime(&self) -> Duration {
        let settings = self.settings();
        settings.upload_lifetime().max(settings.url_lifetime()).min(LONGEST_URL_LIFETIME)
    }

    fn is_worth_redirecting(&self, size: u64) -> bool {
        self.settings().redirects_uploads_above().is_some_and(|above| size > above)
            && size <= MAX_PART_SIZE.min(self.limits.max_blob_size)
            && self.storage.takes_redirects()
    }
}
