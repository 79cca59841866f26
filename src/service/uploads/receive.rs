//! Take the bytes of a URL that this service signed itself: the filesystem's, and those of a bucket whose own URLs
//! would permit too much.

use bytes::Bytes;
use futures_util::Stream;

use crate::domain::digest::{Algorithm, Digest};
use crate::domain::part::{MAX_PART_SIZE, Part};
use crate::domain::upload::{State, Transfer, Upload};
use crate::service::{Result, Service, ServiceError};
use crate::storage::signed_url::{Grant, SignatureError};
use crate::storage::{PutTerms, StorageError};

/// How often within an upload's lifetime its bytes move its end.
const SIGNS_OF_LIFE: u32 = 10;

impl Service {
    /// Whom a URL was signed for; nothing of its body is looked at.
    pub async fn signed_for(&self, grant: &Grant, signature: &str) -> Result<Option<String>> {
        let signer = self.storage.own_urls().ok_or(ServiceError::UploadUnknown)?;
        signer.verify(grant, signature, self.clock.now())?;
        let upload = self.db.find_upload(grant.upload).await?.ok_or(ServiceError::UploadUnknown)?;
        Ok(upload.user_id)
    }

    /// Carries out one signed PUT and returns the ETag. `length` and `sha256` are what the request says of
    /// its body; they must be what was signed.
    pub async fn receive<B>(
        &self,
        grant: &Grant,
        signature: &str,
        length: Option<u64>,
        sha256: Option<Digest>,
        body: B,
    ) -> Result<String>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let signer = self.storage.own_urls().ok_or(ServiceError::UploadUnknown)?;
        signer.verify(grant, signature, self.clock.now())?;
        if (grant.terms.length.is_some() && grant.terms.length != length)
            || signed_sha256(grant).is_some_and(|signed| sha256 != Some(signed))
        {
            return Err(SignatureError::Mismatch.into());
        }
        let upload = self.db.find_upload(grant.upload).await?.ok_or(ServiceError::UploadUnknown)?;
        upload.active(self.clock.now())?;
        self.prolong(&upload).await?;
        let received = match (transfer(&upload), grant.part) {
            (Some(Transfer::Put), None) => {
                let terms = PutTerms { size: length.or(grant.terms.length), digest: grant.terms.digest };
                self.storage.receive_put(upload.id, terms, self.limits.max_blob_size, body).await
            }
            (Some(Transfer::Multipart { plan, store_upload_id }), Some(number)) => {
                let part = plan.part(number).ok_or(SignatureError::Mismatch)?;
                self.storage.receive_part(upload.id, store_upload_id, part, body).await
            }
            (Some(Transfer::OpenMultipart { store_upload_id }), Some(number))
                if upload.last_part.is_some_and(|last| number <= last) =>
            {
                let most = self.limits.max_blob_size.min(MAX_PART_SIZE);
                let size = length.ok_or_else(|| {
                    ServiceError::Invalid(
                        "send the part's length in Content-Length, not in chunks".to_owned(),
                    )
                })?;
                if size > most {
                    return Err(ServiceError::TooLarge(format!("a part has at most {most} bytes here")));
                }
                let part = Part { number, offset: 0, size };
                self.storage.receive_part(upload.id, store_upload_id, part, body).await
            }
            _ => return Err(SignatureError::Mismatch.into()),
        };
        received.map_err(|error| match error {
            StorageError::UploadNotFound | StorageError::NotFound => ServiceError::UploadUnknown,
            error => error.into(),
        })
    }

    /// Bytes are a sign of life. Written where it makes a difference, not with each of ten thousand parts.
    async fn prolong(&self, upload: &Upload) -> Result<()> {
        let lifetime = self.settings().upload_lifetime();
        if self.after(lifetime / SIGNS_OF_LIFE * (SIGNS_OF_LIFE - 1)) > upload.expires_at {
            let end = self.after(lifetime);
            self.transition(upload.clone(), |upload| {
                upload.active(self.clock.now())?;
                Ok(upload.touch(end))
            })
            .await?;
        }
        Ok(())
    }
}

/// The digest that the client repeats in a header. There is none for other algorithms: the URL has it, as signed.
fn signed_sha256(grant: &Grant) -> Option<Digest> {
    grant.terms.digest.filter(|digest| digest.algorithm() == Algorithm::Sha256)
}

fn transfer(upload: &Upload) -> Option<&Transfer> {
    match &upload.state {
        State::Uploading { transfer, .. } => Some(transfer),
        _ => None,
    }
}
