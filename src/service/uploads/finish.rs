//! Finalize an upload of a batch: as what it was begun for, within the time that clients wait for an answer.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::finalize::{ClientHints, WAIT_FOR_OTHERS};
use super::settle::PATIENCE_FOR_PROOF;
use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::service::{Result, Service, ServiceError};

impl Service {
    /// Waits until a blob can be read whose upload is completed: its client does not come again where a manifest that
    /// refers to it is told to wait.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] where it takes longer than most proxies wait for an answer.
    pub async fn wait_until_readable(
        self: &Arc<Self>,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<()> {
        let deadline = Instant::now() + WAIT_FOR_OTHERS;
        loop {
            match self.link(repository, digest).await {
                Err(ServiceError::Busy(_)) if Instant::now() < deadline && !self.handover.is_cancelled() => {}
                link => return link.map(drop),
            }
        }
    }

    /// Finalizes, and waits until the blob can be read. Asked twice, or three times at once, it gives one blob and as many
    /// successes. What takes longer than clients wait goes on.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Busy`] where it takes longer, [`ServiceError::OtherDigest`] and [`ServiceError::SizeInvalid`] where the
    /// upload was begun for another blob, and those of [`Self::finalize`].
    pub async fn finish(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        id: UploadId,
        (digest, size): (Digest, Option<u64>),
        hints: ClientHints,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE_FOR_PROOF;
        let upload = self.upload(caller, repository, id).await?;
        if let Some(declared) = upload.declared_digest.filter(|declared| *declared != digest) {
            return Err(ServiceError::OtherDigest(declared));
        }
        if let (Some(declared), Some(size)) = (upload.size, size)
            && declared != size
        {
            return Err(ServiceError::SizeInvalid(format!("this upload was begun for {declared} bytes")));
        }
        let finalizing = self.finalize(upload, digest.into(), hints, caller, true);
        let still_proving = |_| ServiceError::Busy("the object is still being proven".to_owned());
        timeout_at(deadline, finalizing).await.map_err(still_proving)??;
        timeout_at(deadline, self.link(repository, &digest)).await.map_err(still_proving)??;
        Ok(())
    }
}
