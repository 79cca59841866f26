//! Sign requests that clients send straight to the store. Asking again re-signs, so the age of a URL
//! never ends an upload, and tells what has arrived: that is resuming, from any machine.

use std::collections::HashSet;

use chrono::{DateTime, SubsecRound, Utc};

use super::{Result, Service, ServiceError};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::part::{MAX_PART_SIZE, Part, PartPlan, PartRange, ReceivedPart};
use crate::domain::upload::{Refusal, Transfer, Upload, UploadId};
use crate::storage::{PresignedRequest, PutTerms, StorageError};

/// From this size on parts are the default: AWS's own advice (Amazon S3 User Guide, "Uploading and copying
/// objects using multipart upload").
const MULTIPART_THRESHOLD: u64 = 100 * 1024 * 1024;
/// Parts signed when the client names no range: enough to keep a client busy for one URL lifetime.
const DEFAULT_PARTS_SIGNED: usize = 100;

/// What a client may ask for.
#[derive(Debug, Clone, Default)]
pub struct SignRequest {
    /// In bytes.
    pub size: Option<u64>,
    pub digest: Option<Digest>,
    pub parts: Option<PartRange>,
    pub mode: Option<SignMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignMode {
    Put,
    Multipart,
}

/// Where the bytes go.
#[derive(Debug)]
pub enum Presigned {
    Put {
        request: PresignedRequest,
        size: Option<u64>,
        expires_at: DateTime<Utc>,
    },
    Multipart {
        plan: PartPlan,
        parts: Vec<SignedPart>,
        received: Vec<ReceivedPart>,
        expires_at: DateTime<Utc>,
    },
}

#[derive(Debug)]
pub struct SignedPart {
    pub part: Part,
    pub request: PresignedRequest,
}

impl Service {
    pub async fn sign(
        &self,
        repository: &RepositoryName,
        id: UploadId,
        request: &SignRequest,
    ) -> Result<Presigned> {
        let upload = self.upload(repository, id).await?;
        upload.active(self.clock.now())?;
        self.check_declared(request)?;
        let upload = match mode(&upload, request)? {
            SignMode::Put => self.transition(upload, |upload| self.plan_put(upload, request)).await?,
            SignMode::Multipart => upload,
        };
        self.sign_from(upload, request).await
    }

    /// What a session that does not exist yet is inserted as, so that nothing has to be written after it: waiting
    /// for one PUT, or about to be given a multipart upload.
    pub(super) fn plan_first(&self, upload: Upload, request: &SignRequest) -> Result<Upload> {
        self.check_declared(request)?;
        match mode(&upload, request)? {
            SignMode::Put => self.plan_put(upload, request),
            SignMode::Multipart => {
                self.part_plan(request)?;
                Ok(upload.ask_store(self.clock.now())?)
            }
        }
    }

    /// Signs for a session whose one PUT is planned, or else plans its parts.
    pub(super) async fn sign_from(&self, upload: Upload, request: &SignRequest) -> Result<Presigned> {
        let id = upload.id;
        let upload = match upload.state.transfer() {
            Some(Transfer::Put) => upload,
            _ => self.plan_multipart(upload, request).await?,
        };
        let expires_at = self.after(self.limits.url_lifetime).trunc_subsecs(0);
        if let Some(Transfer::Multipart { plan, store_upload_id }) = upload.state.transfer() {
            let received = self.received(id, store_upload_id).await?;
            let wanted = wanted(plan, request.parts, &received)?;
            let mut parts = Vec::with_capacity(wanted.len());
            for part in wanted {
                let lifetime = self.limits.url_lifetime;
                let request = self.storage.presign_part(id, store_upload_id, part, lifetime).await?;
                parts.push(SignedPart { part, request });
                // Signing is all processor time: let other requests through.
                tokio::task::yield_now().await;
            }
            Ok(Presigned::Multipart { plan: *plan, parts, received, expires_at })
        } else {
            let terms = PutTerms { size: upload.size, digest: upload.declared_digest };
            let request = self.storage.presign_put(id, terms, self.limits.url_lifetime).await?;
            Ok(Presigned::Put { request, size: upload.size, expires_at })
        }
    }

    /// A session outlives the URLs that were signed for it.
    fn expiry_when_signed(&self) -> DateTime<Utc> {
        self.after(self.limits.upload_lifetime.max(self.limits.url_lifetime))
    }

    fn check_declared(&self, request: &SignRequest) -> Result<()> {
        let most = self.limits.max_blob_size;
        if request.size.is_some_and(|size| size > most) {
            return Err(ServiceError::TooLarge(format!("a blob may have at most {most} bytes here")));
        }
        Ok(())
    }

    fn plan_put(&self, upload: Upload, request: &SignRequest) -> Result<Upload> {
        let upload = upload.into_put(request.size, request.digest, self.clock.now())?;
        Ok(upload.touch(self.expiry_when_signed()))
    }

    fn part_plan(&self, request: &SignRequest) -> Result<PartPlan> {
        let size = request.size.ok_or_else(|| {
            ServiceError::Invalid("a multipart upload needs size=, the blob's length in bytes".to_owned())
        })?;
        PartPlan::new(size, self.limits.part_size).map_err(|error| ServiceError::Invalid(error.to_string()))
    }

    async fn plan_multipart(&self, mut upload: Upload, request: &SignRequest) -> Result<Upload> {
        let expires_at = self.expiry_when_signed();
        if upload.state.transfer().is_none() {
            let plan = self.part_plan(request)?;
            // The note comes before the deed: what a crash leaves in the store has a session that says so.
            let step = |upload: Upload| Ok(upload.ask_store(self.clock.now())?);
            upload = self.transition(upload, step).await?;
            if upload.state.transfer().is_none() {
                match self.begin_multipart(&upload, plan, request).await? {
                    Some(planned) => return Ok(planned),
                    None => upload = self.read_again(upload.id).await?,
                }
            }
        }
        let step = |upload: Upload| {
            Ok(upload.resume_multipart(request.size, request.digest, self.clock.now())?.touch(expires_at))
        };
        self.transition(upload, step).await
    }

    /// None where another request was faster.
    async fn begin_multipart(
        &self,
        upload: &Upload,
        plan: PartPlan,
        request: &SignRequest,
    ) -> Result<Option<Upload>> {
        let store_upload_id = self.storage.create_multipart(upload.id).await?;
        let now = self.clock.now();
        let planned = upload.clone().into_multipart(plan, request.digest, store_upload_id.clone(), now);
        let planned = planned.map(|upload| upload.touch(self.expiry_when_signed()));
        if let Ok(planned) = &planned
            && self.db.swap_upload(upload, planned, now).await?
        {
            return Ok(Some(planned.clone().persisted(now)));
        }
        // Overtaken, or the declaration clashes: ours must not be left behind.
        self.storage.abort_multipart(upload.id, &store_upload_id).await?;
        planned?;
        Ok(None)
    }

    async fn received(&self, id: UploadId, store_upload_id: &str) -> Result<Vec<ReceivedPart>> {
        match self.storage.list_parts(id, store_upload_id).await {
            Ok(parts) => Ok(parts),
            Err(StorageError::UploadNotFound) => Err(ServiceError::Vanished),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is settled stays; else what is asked for; else what the size suggests.
fn mode(upload: &Upload, request: &SignRequest) -> Result<SignMode> {
    let settled = match upload.state.transfer() {
        None => None,
        Some(Transfer::Put) => Some(SignMode::Put),
        Some(Transfer::Multipart { .. }) => Some(SignMode::Multipart),
        Some(transfer @ Transfer::Proxied(_)) => return Err(Refusal::WrongMode(transfer.mode()).into()),
    };
    if let (Some(transfer), Some(asked)) = (upload.state.transfer(), request.mode)
        && settled != Some(asked)
    {
        return Err(Refusal::WrongMode(transfer.mode()).into());
    }
    let is_large = request.size.unwrap_or_default() >= MULTIPART_THRESHOLD;
    let suggested = if is_large { SignMode::Multipart } else { SignMode::Put };
    let mode = settled.or(request.mode).unwrap_or(suggested);
    if mode == SignMode::Put && request.parts.is_some() {
        return Err(ServiceError::Invalid("parts= goes with mode=multipart".to_owned()));
    }
    if mode == SignMode::Put && request.size.is_some_and(|size| size > MAX_PART_SIZE) {
        let message = format!("one PUT carries at most {MAX_PART_SIZE} bytes; ask with mode=multipart");
        return Err(ServiceError::TooLarge(message));
    }
    Ok(mode)
}

/// The parts asked for; without a range the first that have not arrived.
fn wanted(plan: &PartPlan, range: Option<PartRange>, received: &[ReceivedPart]) -> Result<Vec<Part>> {
    if let Some(range) = range {
        if range.last.get() > plan.part_count() {
            let count = plan.part_count();
            return Err(ServiceError::Invalid(format!(
                "this upload has {count} parts; ask for parts=1-{count}"
            )));
        }
        return Ok(plan.parts().filter(|part| (range.first..=range.last).contains(&part.number)).collect());
    }
    let arrived: HashSet<_> = received
        .iter()
        .filter(|part| plan.part(part.number).is_some_and(|planned| planned.size == part.size))
        .map(|part| part.number)
        .collect();
    Ok(plan.parts().filter(|part| !arrived.contains(&part.number)).take(DEFAULT_PARTS_SIGNED).collect())
}
