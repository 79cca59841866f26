//! The upload session of an Overside server, with a method for each request of the presign protocol.

use std::time::Duration;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::part::PartRange;
use overside_protocol::upload::{Status, TransferMode, UploadId};
use overside_protocol::wire::{FailureState, FinalizeBody, FinalizeProgress, PresignedUpload, UploadState};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::{Instant, timeout};
use url::Url;

use super::blob::Blob;
use super::concurrency::ConcurrencyLimit;
use crate::progress::{Event, Progress};
use crate::transport::answer::{Answer, MAX_MESSAGE};
use crate::transport::auth::Scope;
use crate::transport::retry::may_pass;
use crate::{Error, Repository, Result, shortened};

/// The first wait between two polls of a finalizing upload. It doubles, so that small blobs do not wait for the sake of large
/// ones.
const FIRST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// After so long the finalize is requested again: if the lease of whoever runs it has expired, our request takes over.
const FINALIZE_AGAIN: Duration = Duration::from_secs(30);

/// So long a finalize is waited for in its own request: nothing is faster for a blob that is verified in seconds, and no
/// proxy on the way cuts a request of that age.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// For a request that the server answers at once; its body has up to two megabytes.
const REQUEST_PATIENCE: Duration = Duration::from_mins(5);
/// Parts that are listed within the shorter patience: with their midstates some 300 KB, seconds on a slow line.
const MOST_PARTS_IN_PATIENCE: usize = 2_000;
/// Characters that are shown of the phase that the server says it is in.
const MAX_PHASE: usize = 40;
/// A finalize that has told no progress for so long is not waited for any more: the server tells some every few seconds,
/// except while the store makes one copy, which takes minutes at most.
const FINALIZE_STALL: Duration = Duration::from_mins(15);

/// An upload session on an Overside server: the presign protocol, request by request.
#[derive(Debug, Clone)]
pub struct Session {
    repository: Repository,
    id: UploadId,
    /// Where it is asked, if not at its place in the repository.
    signed_url: Option<Url>,
}

/// What the server is asked to sign requests for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresignTerms {
    /// In bytes.
    pub size: Option<u64>,
    pub digest: Option<Digest>,
    /// The server decides by the size if this is not given.
    pub mode: Option<TransferMode>,
    /// Exactly these parts; else the first hundred that have not arrived.
    pub parts: Option<PartRange>,
}

impl PresignTerms {
    /// The terms for a whole blob, in whatever parts the server plans.
    pub(crate) fn whole(size: u64, digest: Digest, mode: Option<TransferMode>) -> Self {
        Self { size: Some(size), digest: Some(digest), mode, parts: None }
    }

    /// Adds these terms to the request that begins an upload, so that its answer has signed requests as well.
    pub(crate) fn begin_by(&self, url: &mut Url) {
        match self.digest.filter(Digest::is_of_nothing) {
            // A POST without a body that names the digest of no bytes is a whole upload in itself, and leaves no session.
            Some(digest) => {
                url.query_pairs_mut().append_pair("digest-algorithm", digest.algorithm().as_str());
            }
            None => self.append_to(url),
        }
    }

    fn append_to(&self, url: &mut Url) {
        let mut query = url.query_pairs_mut();
        query.append_pair("presigned", "true");
        if let Some(size) = self.size {
            query.append_pair("size", &size.to_string());
        }
        if let Some(digest) = self.digest {
            query.append_pair("digest", &digest.to_string());
        }
        if let Some(mode) = self.mode {
            query.append_pair("mode", mode.as_str());
        }
        if let Some(parts) = self.parts {
            query.append_pair("parts", &format!("{}-{}", parts.first, parts.last));
        }
    }
}

impl Repository {
    /// Begins an upload, and gives the answer with the URL that it came from. None if the registry has mounted the blob from
    /// another repository instead. With `terms` the answer has signed requests.
    pub(crate) async fn begin_upload(
        &self,
        terms: Option<&PresignTerms>,
        mount: Option<(&Digest, &RepositoryName)>,
    ) -> Result<Option<(Url, Answer)>> {
        let mut url = self.registry.join(&format!("v2/{}/blobs/uploads/", self.name))?;
        let mut scope = Scope::push(&self.name);
        if let Some(terms) = terms {
            terms.begin_by(&mut url);
        }
        if let Some((digest, from)) = mount {
            url.query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from.as_str());
            scope = Scope::mount(&self.name, from);
        }
        let request = || self.registry.http.post(url.clone()).header(CONTENT_LENGTH, 0);
        let answer = self.registry.call(&scope, request).await?.expect_success()?;
        let is_mounted = mount.is_some() && answer.status == StatusCode::CREATED;
        Ok((!is_mounted).then_some((url, answer)))
    }

    /// The session of an upload that was begun before, here or elsewhere.
    #[must_use]
    pub fn session(&self, id: UploadId) -> Session {
        Session { repository: self.clone(), id, signed_url: None }
    }

    /// As [`Self::session`], by a URL that permits sending its bytes without credentials: a batch of Git LFS gives some.
    /// Nothing else can be asked there, so it is left to others to finalize the upload.
    #[must_use]
    pub fn session_at(&self, id: UploadId, signed_url: Url) -> Session {
        Session { repository: self.clone(), id, signed_url: Some(signed_url) }
    }
}

/// Since when a finalize has told no progress.
struct FinalizeStall {
    limit: Duration,
    last: Option<FinalizeProgress>,
    since: Instant,
}

impl FinalizeStall {
    /// Takes in what the server tells now. True once that has been the same for as long as the limit.
    fn is_over(&mut self, now: Option<&FinalizeProgress>) -> bool {
        if self.last.as_ref() != now {
            (self.last, self.since) = (now.cloned(), Instant::now());
        }
        self.since.elapsed() >= self.limit
    }
}

impl Session {
    #[must_use]
    pub const fn id(&self) -> UploadId {
        self.id
    }

    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Sends those bytes of a blob to the store that have not arrived yet, whatever sent the others. Nothing is published
    /// before the upload is finalized.
    ///
    /// # Errors
    /// [`Error::StoreRefused`], [`Error::Destination`], [`Error::Stalled`]: the store takes no bytes, or nothing may be sent
    /// there; [`Error::FileChanged`]: somebody writes to the file. Besides that as [`Self::presign`].
    pub async fn send(&self, blob: &Blob, limit: &ConcurrencyLimit, progress: &Progress) -> Result<()> {
        let terms = PresignTerms::whole(blob.size(), blob.digest, None);
        self.upload(&blob.content, &terms, None, limit, progress).await.map(drop)
    }

    /// Asks for signed requests. Asking again signs anew, and tells what has arrived.
    ///
    /// # Errors
    /// As [`Self::state`], and [`Error::Refused`] if the session takes no more bytes or the terms do not fit it.
    pub async fn presign(&self, terms: &PresignTerms) -> Result<PresignedUpload> {
        let mut url = self.url()?;
        terms.append_to(&mut url);
        let answer = self.call(|http| http.get(url.clone())).await?;
        self.expect(answer, StatusCode::OK)?.json()
    }

    /// The state of the session.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`] if the server knows no such upload in this repository, [`Error::UploadExpired`] if its time is
    /// up. Besides that what [any request](Error#any-request) can fail with.
    pub async fn state(&self) -> Result<UploadState> {
        let url = self.url()?;
        let answer = self.call(|http| http.get(url.clone()).header(ACCEPT, "application/json")).await?;
        self.expect(answer, StatusCode::OK)?.json()
    }

    /// Aborts the upload. One that does not exist any more is fine.
    ///
    /// # Errors
    /// What [any request](Error#any-request) can fail with.
    pub async fn abort(&self) -> Result<()> {
        self.repository.registry.delete(&self.url()?, &self.scope()).await.map(drop)
    }

    /// Has the server verify, place and publish the bytes, and waits for that: minutes, for a large blob.
    ///
    /// No request is open for longer than some seconds, so that no time limit on the way cuts it. What takes longer is
    /// polled, and reported to `progress` as far as the server tells.
    ///
    /// A `body` with the parts' `ETag`s spares the server asking the store, one with midstates lets it verify the parts side
    /// by side.
    ///
    /// # Errors
    /// [`Error::Incomplete`], or [`Error::Refused`] with code `BLOB_UPLOAD_INVALID`, if bytes are missing that can still be
    /// sent; [`Error::Refused`] with code `DIGEST_INVALID` if the bytes are others than the digest says;
    /// [`Error::UploadEnded`] if the upload has failed or was aborted; [`Error::FinalizeStalled`] if the server has said for
    /// a quarter of an hour that it is finalizing, and has told no progress. Besides that as [`Self::state`].
    pub async fn finalize(
        &self,
        digest: Digest,
        body: Option<&FinalizeBody>,
        progress: &Progress,
    ) -> Result<()> {
        self.finalize_within(digest, body, progress, FINALIZE_STALL).await
    }

    /// As [`Self::finalize`], with another limit on the time without progress.
    pub(crate) async fn finalize_within(
        &self,
        digest: Digest,
        body: Option<&FinalizeBody>,
        progress: &Progress,
        limit: Duration,
    ) -> Result<()> {
        let mut respond_async = body.is_some_and(|body| body.parts.len() > MOST_PARTS_IN_PATIENCE);
        let mut stall = FinalizeStall { limit, last: None, since: Instant::now() };
        loop {
            let patience = if respond_async { REQUEST_PATIENCE } else { ANSWER_PATIENCE };
            let answered = timeout(patience, self.request_finalize(digest, body, respond_async)).await;
            let was_cut = answered.is_err();
            let refused = match answered {
                Ok(Ok(StatusCode::CREATED)) => return Ok(()),
                Ok(Err(error)) if may_be_at_work(&error) => Some(error),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(_)) | Err(_) => None,
            };
            let state = self.poll_finalizing(&mut stall, progress).await?;
            match (state.status, refused) {
                (Status::Finalizing, _) => {}
                (Status::Completed, _) if state.digest == Some(digest) => return Ok(()),
                // It had not come so far as to begin. Next time it only has to.
                (Status::Pending | Status::Uploading, None) if was_cut && !respond_async => {}
                (Status::Pending | Status::Uploading, None) => return Err(Error::Incomplete(self.id)),
                (Status::Pending | Status::Uploading, Some(error)) => return Err(error),
                _ => return Err(self.ended(state)),
            }
            respond_async = true;
        }
    }

    /// The state once the upload is not being finalized any more, or after [`FINALIZE_AGAIN`].
    async fn poll_finalizing(&self, stall: &mut FinalizeStall, progress: &Progress) -> Result<UploadState> {
        let (mut waited, mut wait) = (Duration::ZERO, FIRST_POLL);
        loop {
            let state = self.state().await?;
            if state.status != Status::Finalizing {
                return Ok(state);
            }
            if stall.is_over(state.progress.as_ref()) {
                return Err(Error::FinalizeStalled { id: self.id, after: stall.limit });
            }
            if waited >= FINALIZE_AGAIN {
                return Ok(state);
            }
            // Some servers tell no progress.
            if let Some(seen) = state.progress {
                let phase = &*shortened(&seen.phase, MAX_PHASE);
                progress.report(Event::Finalizing { phase, done: seen.done, total: seen.total });
            }
            tokio::time::sleep(wait).await;
            waited += wait;
            wait = (wait * 2).min(LONGEST_POLL);
        }
    }

    /// `201`, or `202` where the server goes on by itself.
    async fn request_finalize(
        &self,
        digest: Digest,
        body: Option<&FinalizeBody>,
        respond_async: bool,
    ) -> Result<StatusCode> {
        let mut url = self.url()?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let build = || {
            let mut request = self.repository.registry.http.put(url.clone());
            if respond_async {
                request = request.header("prefer", "respond-async");
            }
            match body {
                Some(body) => request.json(body),
                // No bytes of a blob follow; some proxies insist on a length.
                None => request.header(CONTENT_TYPE, "application/json").body(Vec::new()),
            }
        };
        // No limit: a proof by reading back takes as long as the blob is large. Keep-alives notice a dead peer.
        let answer = self.repository.registry.call_at(&url, None, &self.scope(), build).await?;
        if answer.status == StatusCode::ACCEPTED {
            return Ok(StatusCode::ACCEPTED);
        }
        let answer = self.expect(answer, StatusCode::CREATED)?;
        match answer.header("docker-content-digest").map(str::parse::<Digest>) {
            Some(Ok(stored)) if stored != digest => {
                Err(answer.unexpected(format!("digest {stored} instead of {digest}")))
            }
            _ => Ok(StatusCode::CREATED),
        }
    }

    /// The error for a session in which nothing can be sent or finalized any more.
    pub(crate) fn ended(&self, state: UploadState) -> Error {
        match state.status {
            Status::Expired => Error::UploadExpired(self.id),
            status => Error::UploadEnded {
                id: self.id,
                status,
                failure: state.failure.map(|failure| FailureState {
                    message: shortened(&failure.message, MAX_MESSAGE),
                    ..failure
                }),
            },
        }
    }

    async fn call(&self, build: impl Fn(&reqwest::Client) -> RequestBuilder + Send + Sync) -> Result<Answer> {
        self.repository.registry.call(&self.scope(), || build(&self.repository.registry.http)).await
    }

    fn expect(&self, answer: Answer, expected: StatusCode) -> Result<Answer> {
        match answer.expect(expected) {
            Err(Error::Refused(refusal)) if refusal.status == StatusCode::GONE => {
                Err(Error::UploadExpired(self.id))
            }
            Err(Error::Refused(refusal)) if refusal.code == "BLOB_UPLOAD_UNKNOWN" => {
                Err(Error::UploadUnknown(self.id))
            }
            other => other,
        }
    }

    fn scope(&self) -> Scope {
        Scope::push(&self.repository.name)
    }

    fn url(&self) -> Result<Url> {
        if let Some(url) = &self.signed_url {
            return Ok(url.clone());
        }
        let Repository { registry, name } = &self.repository;
        registry.join(&format!("v2/{name}/blobs/uploads/{}", self.id))
    }
}

/// Whether finalizing may go on although our request failed: another request has it, or only the answer was lost.
fn may_be_at_work(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) if refusal.status == StatusCode::CONFLICT => true,
        Error::Refused(_) | Error::Broken { .. } => may_pass(error),
        _ => false,
    }
}
