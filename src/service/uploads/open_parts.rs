//! Begin an upload in parts whose client tells how many there will be, but neither their lengths nor its own.

use std::sync::Arc;

use crate::domain::access::Caller;
use crate::domain::digest::Algorithm;
use crate::domain::name::RepositoryName;
use crate::domain::part::{Part, PartNumber};
use crate::domain::upload::{Upload, UploadId};
use crate::service::{Result, Service};
use crate::storage::{Lengths, PartSigner, PresignedRequest};

/// URLs of all parts of an upload, in order, each signed as it is taken.
#[derive(Debug)]
pub struct OpenParts {
    pub upload: UploadId,
    signer: PartSigner,
    next: Option<PartNumber>,
    last: PartNumber,
}

impl Iterator for OpenParts {
    type Item = (PartNumber, PresignedRequest);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next.filter(|number| *number <= self.last)?;
        self.next = number.next().ok();
        // Its length is not signed.
        Some((number, self.signer.sign(Part { number, offset: 0, size: 0 })))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.next.map_or(0, |next| usize::from((self.last.get() + 1).saturating_sub(next.get())));
        (left, Some(left))
    }
}

impl ExactSizeIterator for OpenParts {}

impl Service {
    /// Whether uploads can be in parts of lengths that nobody tells.
    #[must_use]
    pub const fn takes_open_parts(&self) -> bool {
        self.storage.takes_open_parts()
    }

    /// Begins an upload of so many parts. None where the store takes no such parts, and where room is limited: a URL
    /// without a length takes whatever is sent to it.
    pub async fn begin_open_parts(
        self: &Arc<Self>,
        caller: &Caller,
        repository: RepositoryName,
        last: PartNumber,
        user_agent: Option<&str>,
    ) -> Result<Option<OpenParts>> {
        if !self.takes_open_parts() || self.db.is_storage_limited(&repository.project()).await? {
            return Ok(None);
        }
        let upload = self.fresh(caller, repository, None, Algorithm::Sha256, user_agent);
        let upload = Upload { last_part: Some(last), ..upload }.ask_store(self.clock.now())?;
        self.within_open_sessions(caller, self.insert(&upload)).await?;
        match self.sign_open_parts(upload.clone(), last).await {
            Ok(parts) => Ok(Some(parts)),
            Err(error) => {
                self.abandon(upload).await;
                Err(error)
            }
        }
    }

    async fn sign_open_parts(&self, upload: Upload, last: PartNumber) -> Result<OpenParts> {
        let (id, store_upload_id) = (upload.id, self.storage.create_multipart(upload.id).await?);
        let end = self.expiry_when_signed();
        let step = |upload: Upload| {
            Ok(upload.into_open_multipart(store_upload_id.clone(), self.clock.now())?.touch(end))
        };
        // One that nobody else knows of: what the store has begun is removed with the session, if this fails.
        self.transition(upload, step).await?;
        let lifetime = self.settings().url_lifetime();
        let signer = self.storage.part_signer(id, &store_upload_id, Lengths::Open, lifetime).await?;
        Ok(OpenParts { upload: id, signer, next: Some(PartNumber::FIRST), last })
    }
}
