//! Sign requests that clients send straight to the store. Asking again re-signs, so the age of a URL
//! never ends an upload, and tells what has arrived: that is resuming, from any machine.
//!
//! Part URLs are signed as they are taken: ten thousand of them are never in memory at once.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::part::{MAX_PART_SIZE, Part, PartNumber, PartPlan, PartRange, ReceivedPart};
use crate::domain::upload::{Refusal, Transfer, Upload, UploadId};
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Lengths, PartSigner, PresignedRequest, PutTerms, StorageError};

/// From this size on parts are the default: AWS's own advice (Amazon S3 User Guide, "Uploading and copying
/// objects using multipart upload").
pub(super) const MULTIPART_THRESHOLD: u64 = 100 * 1024 * 1024;
/// Of clients that ask once, and then send hundreds of files one after the other.
const PLAIN_LIFETIME: Duration = Duration::from_hours(6);
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
    /// No part but the last has fewer bytes, where that leaves few enough of the others.
    pub least_part_size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignMode {
    Put,
    Multipart,
}

/// Where the bytes go.
#[derive(Debug)]
pub enum Presigned {
    Put { request: PresignedRequest, size: Option<u64> },
    Multipart { plan: PartPlan, parts: SignedParts, received: Vec<ArrivedPart> },
}

#[derive(Debug)]
pub struct SignedPart {
    pub part: Part,
    pub request: PresignedRequest,
}

/// A part the store has, as clients are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivedPart {
    pub number: PartNumber,
    /// In bytes.
    pub size: u64,
    /// Clients compare it with the MD5 of their own bytes: versitygw lists a part whose sender went away at its full
    /// size, padded with zeros.
    pub etag: String,
}

impl ArrivedPart {
    /// None for a part without an `ETag`: no upload can be completed with it, so it has not arrived.
    fn of(part: ReceivedPart) -> Option<Self> {
        let ReceivedPart { number, size, etag } = part;
        (!etag.trim_matches('"').is_empty()).then_some(Self { number, size, etag })
    }
}

/// Signs one part after the other, as they are taken. Nothing can fail any more.
#[derive(Debug)]
pub struct SignedParts {
    signer: PartSigner,
    plan: PartPlan,
    wanted: std::vec::IntoIter<PartNumber>,
}

impl SignedParts {
    /// When all of these URLs end.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.signer.expires_at()
    }
}

impl Iterator for SignedParts {
    type Item = SignedPart;

    fn next(&mut self) -> Option<SignedPart> {
        // All of them are of the plan.
        let part = self.plan.part(self.wanted.next()?)?;
        Some(SignedPart { part, request: self.signer.sign(part) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.wanted.size_hint()
    }
}

impl ExactSizeIterator for SignedParts {}

impl Service {
    pub async fn sign(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        id: UploadId,
        request: &SignRequest,
    ) -> Result<Presigned> {
        let upload = self.upload(caller, repository, id).await?;
        upload.active(self.clock.now())?;
        self.check_declared(request)?;
        let mode = mode(&upload, request)?;
        // What the plan would refuse must not have room taken for it.
        if upload.size.is_some_and(|size| request.size.is_some_and(|asked| asked != size)) {
            return Err(Refusal::Redeclared("size").into());
        }
        match (request.size.or(upload.size), mode) {
            (Some(size), _) => {
                self.reserve(&upload, size).await?;
            }
            (None, SignMode::Put) => self.check_unsized(&upload).await?,
            // There are no parts without a size.
            (None, SignMode::Multipart) => {}
        }
        let upload = match mode {
            SignMode::Put => self.transition(upload, |upload| self.plan_put(upload, request)).await?,
            SignMode::Multipart => upload,
        };
        self.sign_from(upload, request).await
    }

    /// What a session that does not exist yet is inserted as, so that nothing has to be written after it: waiting
    /// for one PUT, or about to be given a multipart upload.
    pub(in crate::service) fn plan_first(&self, upload: Upload, request: &SignRequest) -> Result<Upload> {
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
    pub(in crate::service) async fn sign_from(
        &self,
        upload: Upload,
        request: &SignRequest,
    ) -> Result<Presigned> {
        let upload = match upload.state.transfer() {
            Some(Transfer::Put) => upload,
            _ => self.plan_multipart(upload, request).await?,
        };
        self.presigned(&upload, request.parts).await
    }

    /// Signs for an upload whose way of transfer is settled: one PUT, or these of its parts.
    pub(in crate::service) async fn presigned(
        &self,
        upload: &Upload,
        parts: Option<PartRange>,
    ) -> Result<Presigned> {
        let lifetime = self.settings().url_lifetime();
        if let Some(&Transfer::Multipart { plan, ref store_upload_id }) = upload.state.transfer() {
            let received = self.received(upload.id, store_upload_id).await?;
            let wanted = wanted(&plan, parts, &received)?.into_iter();
            let signer =
                self.storage.part_signer(upload.id, store_upload_id, Lengths::Signed, lifetime).await?;
            Ok(Presigned::Multipart { plan, parts: SignedParts { signer, plan, wanted }, received })
        } else {
            let terms = PutTerms { size: upload.size, digest: upload.declared_digest };
            let request = self.storage.presign_put(upload.id, terms, lifetime).await?;
            Ok(Presigned::Put { request, size: upload.size })
        }
    }

    /// As [`Self::presigned`], of all parts at once. What has arrived is not asked for. A plain client sends the bytes and
    /// nothing else, and does not come back for another URL.
    pub(super) async fn presigned_whole(&self, upload: &Upload, is_plain: bool) -> Result<Presigned> {
        let settings = self.settings();
        let lifetime = settings.url_lifetime();
        // Half of what a session has at least when it is signed for: no URL outlives its session.
        let lifetime = if is_plain {
            lifetime.max(PLAIN_LIFETIME.min(settings.upload_lifetime() / 2))
        } else {
            lifetime
        };
        let Some(&Transfer::Multipart { plan, ref store_upload_id }) = upload.state.transfer() else {
            return match (upload.size, &upload.declared_digest) {
                (Some(size), Some(digest)) if is_plain => {
                    let request = self.storage.presign_plain_put(upload.id, size, digest, lifetime).await?;
                    Ok(Presigned::Put { request, size: Some(size) })
                }
                _ => self.presigned(upload, None).await,
            };
        };
        let signer = self.storage.part_signer(upload.id, store_upload_id, Lengths::Signed, lifetime).await?;
        let wanted = plan.parts().map(|part| part.number).collect::<Vec<_>>().into_iter();
        Ok(Presigned::Multipart { plan, parts: SignedParts { signer, plan, wanted }, received: Vec::new() })
    }

    /// A session outlives the URLs that were signed for it.
    pub(in crate::service) fn expiry_when_signed(&self) -> DateTime<Utc> {
        let settings = self.settings();
        self.after(settings.upload_lifetime().max(settings.url_lifetime()))
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
        let least = self.limits.part_size.max(request.least_part_size);
        PartPlan::new(size, least).map_err(|error| ServiceError::Invalid(error.to_string()))
    }

    pub(super) async fn plan_multipart(&self, mut upload: Upload, request: &SignRequest) -> Result<Upload> {
        let expires_at = self.expiry_when_signed();
        if upload.state.transfer().is_none() {
            let plan = self.part_plan(request)?;
            upload = self.begin_planned(upload, plan, request).await?;
        }
        let step = |upload: Upload| {
            Ok(upload.resume_multipart(request.size, request.digest, self.clock.now())?.touch(expires_at))
        };
        self.transition(upload, step).await
    }

    /// Begins to take an upload in these parts, unless another request was faster: then it may be in others.
    pub(super) async fn begin_planned(
        &self,
        upload: Upload,
        plan: PartPlan,
        request: &SignRequest,
    ) -> Result<Upload> {
        // The note comes before the deed: what a crash leaves in the store has a session that says so.
        let step = |upload: Upload| Ok(upload.ask_store(self.clock.now())?);
        let upload = self.transition(upload, step).await?;
        if upload.state.transfer().is_none()
            && let Some(planned) = self.begin_multipart(&upload, plan, request).await?
        {
            return Ok(planned);
        }
        self.read_again(upload.id).await
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

    async fn received(&self, id: UploadId, store_upload_id: &str) -> Result<Vec<ArrivedPart>> {
        match self.storage.list_parts(id, store_upload_id).await {
            Ok(parts) => Ok(parts.into_iter().filter_map(ArrivedPart::of).collect()),
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
        Some(transfer @ (Transfer::OpenMultipart { .. } | Transfer::Proxied(_) | Transfer::Redirected)) => {
            return Err(Refusal::WrongMode(transfer.mode()).into());
        }
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

/// The parts asked for, as far as there are so many: who asks for the first hundred need not count them before. Without a
/// range the first that have not arrived.
fn wanted(plan: &PartPlan, range: Option<PartRange>, received: &[ArrivedPart]) -> Result<Vec<PartNumber>> {
    if let Some(range) = range {
        let count = plan.part_count();
        if range.first.get() > count {
            return Err(ServiceError::Invalid(format!(
                "this upload has {count} parts; ask for parts=1-{count}"
            )));
        }
        let numbers = range.first.get()..=range.last.get().min(count);
        return Ok(numbers.filter_map(|number| PartNumber::new(number.into()).ok()).collect());
    }
    let arrived: HashSet<_> = received
        .iter()
        .filter(|part| plan.part(part.number).is_some_and(|planned| planned.size == part.size))
        .map(|part| part.number)
        .collect();
    let missing = plan.parts().map(|part| part.number).filter(|number| !arrived.contains(number));
    Ok(missing.take(DEFAULT_PARTS_SIGNED).collect())
}
