//! Send a stock client straight to the store with its one PUT of a whole blob. Nobody tells when the bytes are there:
//! see [`settle`](super::settle).

use crate::domain::digest::Digest;
use crate::domain::part::MAX_PART_SIZE;
use crate::domain::upload::{Refusal, State, Transfer, TransferMode, Upload};
use crate::service::{Result, Service};
use crate::storage::PresignedRequest;

impl Service {
    /// The request that takes the blob of `size` bytes to the store. None where it is not worth it, or where the store
    /// takes no such request, or the client does not go there by what `goes` says of the URL: then the bytes go through this
    /// service. A client that was redirected before, and sends again, is redirected again.
    ///
    /// # Errors
    /// The state machine's refusal of a session that has received bytes or was declared otherwise, and
    /// [`ServiceError::QuotaExceeded`](crate::service::ServiceError::QuotaExceeded).
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

    fn is_worth_redirecting(&self, size: u64) -> bool {
        self.settings().redirects_uploads_above().is_some_and(|above| size > above)
            && size <= MAX_PART_SIZE.min(self.limits.max_blob_size)
            && self.storage.takes_redirects()
    }
}
