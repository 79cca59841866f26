//! The upload session, one method for each request of the protocol.

use std::time::Duration;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::part::PartRange;
use overside_protocol::upload::{Status, TransferMode, UploadId};
use overside_protocol::wire::{FailureState, FinalizeBody, PresignedUpload, UploadState};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::timeout;
use url::Url;

use crate::progress::{Event, Progress};
use crate::transport::answer::{Answer, MAX_MESSAGE};
use crate::transport::auth::Scope;
use crate::transport::retry::may_pass;
use crate::{Client, Error, Result, shortened};

/// First wait between two looks at a finalizing upload; doubles, so that small blobs do not wait for large ones' sake.
const FIRST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// After so long somebody else's finalizing is asked for again: if its lease has expired, our request takes over.
const FINALIZE_AGAIN: Duration = Duration::from_secs(30);

/// So long a finalize is waited for in its own request: nothing is faster for a blob that is proven in seconds, and
/// everything on the way lets a request be so old.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// For a request that only has to be heard; its body has up to two megabytes.
const REQUEST_PATIENCE: Duration = Duration::from_mins(5);
/// Parts that are told within the shorter patience: with their midstates some 300 KB, seconds on a slow line.
const MOST_TOLD_IN_PATIENCE: usize = 2_000;
/// Of what the server says it is doing so many characters are shown.
const MAX_PHASE: usize = 40;

/// One upload on the server.
#[derive(Debug, Clone)]
pub struct Session {
    client: Client,
    repository: RepositoryName,
    id: UploadId,
}

/// What signed requests are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// For a whole blob, in whatever parts the server plans.
    pub(crate) fn whole(size: u64, digest: Digest, mode: Option<TransferMode>) -> Self {
        Self { size: Some(size), digest: Some(digest), mode, parts: None }
    }

    /// Has the request that begins an upload ask for signed ones as well.
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

impl Client {
    /// Begins an upload, unless the registry has the blob in another repository of its own and takes it from there:
    /// then it gives nothing. Presigned `terms` ask for signed requests along with it.
    pub(crate) async fn begin_upload(
        &self,
        repository: &RepositoryName,
        terms: Option<&PresignTerms>,
        mount: Option<(&Digest, &RepositoryName)>,
    ) -> Result<Option<(Url, Answer)>> {
        let mut url = self.uploads_url(repository)?;
        let mut scope = Scope::push(repository);
        if let Some(terms) = terms {
            terms.begin_by(&mut url);
        }
        if let Some((digest, from)) = mount {
            url.query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from.as_str());
            scope = Scope::mount(repository, from);
        }
        let request = || self.http.post(url.clone()).header(CONTENT_LENGTH, 0);
        let answer = self.call(&scope, request).await?.expect_done()?;
        let is_mounted = mount.is_some() && answer.status == StatusCode::CREATED;
        Ok((!is_mounted).then_some((url, answer)))
    }

    /// An upload that was begun before, here or elsewhere.
    #[must_use]
    pub fn session(&self, repository: &RepositoryName, id: UploadId) -> Session {
        Session::new(self.clone(), repository.clone(), id)
    }

    pub(crate) fn uploads_url(&self, repository: &RepositoryName) -> Result<Url> {
        self.url(&format!("v2/{repository}/blobs/uploads/"))
    }
}

impl Session {
    pub(crate) const fn new(client: Client, repository: RepositoryName, id: UploadId) -> Self {
        Self { client, repository, id }
    }

    #[must_use]
    pub const fn id(&self) -> UploadId {
        self.id
    }

    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Asks for signed requests; asking again signs anew, and tells what has arrived.
    pub async fn presign(&self, terms: &PresignTerms) -> Result<PresignedUpload> {
        let mut url = self.url()?;
        terms.append_to(&mut url);
        let answer = self.call(|http| http.get(url.clone())).await?;
        self.expect(answer, StatusCode::OK)?.json()
    }

    /// Where the session stands.
    pub async fn state(&self) -> Result<UploadState> {
        let url = self.url()?;
        let answer = self.call(|http| http.get(url.clone()).header(ACCEPT, "application/json")).await?;
        self.expect(answer, StatusCode::OK)?.json()
    }

    /// Gives the upload up. One that is gone already is fine.
    pub async fn abort(&self) -> Result<()> {
        self.client.delete(&self.url()?, &self.scope()).await.map(drop)
    }

    /// Has the server prove, place and publish the bytes, and waits for that: minutes, for a large blob.
    ///
    /// No request is open for longer than some seconds, so no time limit on the way cuts it: what takes longer is
    /// asked after, and reported to `progress` as far as the server tells.
    ///
    /// What the client tells of its parts spares the server asking the store, and lets it prove them side by side.
    /// [`Error::Incomplete`] or a refusal `BLOB_UPLOAD_INVALID` when something is missing that can be sent.
    pub async fn finalize(
        &self,
        digest: Digest,
        told: Option<&FinalizeBody>,
        progress: &Progress,
    ) -> Result<()> {
        let mut respond_async = told.is_some_and(|told| told.parts.len() > MOST_TOLD_IN_PATIENCE);
        loop {
            let patience = if respond_async { REQUEST_PATIENCE } else { ANSWER_PATIENCE };
            let asked = timeout(patience, self.request_finalize(digest, told, respond_async)).await;
            let was_cut = asked.is_err();
            let refused = match asked {
                Ok(Ok(StatusCode::CREATED)) => return Ok(()),
                Ok(Err(error)) if may_be_at_work(&error) => Some(error),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(_)) | Err(_) => None,
            };
            let state = self.watch_finalizing(FINALIZE_AGAIN, progress).await?;
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

    /// The state once the upload is not being finalized any more, or after `patience`.
    async fn watch_finalizing(&self, patience: Duration, progress: &Progress) -> Result<UploadState> {
        let (mut waited, mut wait) = (Duration::ZERO, FIRST_POLL);
        loop {
            let state = self.state().await?;
            if state.status != Status::Finalizing || waited >= patience {
                return Ok(state);
            }
            // From a server that tells nothing of it, there is nothing to tell.
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
        told: Option<&FinalizeBody>,
        respond_async: bool,
    ) -> Result<StatusCode> {
        let mut url = self.url()?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let build = || {
            let mut request = self.client.http.put(url.clone());
            if respond_async {
                request = request.header("prefer", "respond-async");
            }
            match told {
                Some(told) => request.json(told),
                // No bytes of a blob follow; some proxies insist on a length.
                None => request.header(CONTENT_TYPE, "application/json").body(Vec::new()),
            }
        };
        // No limit: a proof by reading back takes as long as the blob is large. Keep-alives notice a dead peer.
        let answer = self.client.call_at(&url, None, &self.scope(), build).await?;
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
        self.client.call(&self.scope(), || build(&self.client.http)).await
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
        Scope::push(&self.repository)
    }

    fn url(&self) -> Result<Url> {
        self.client.url(&format!("v2/{}/blobs/uploads/{}", self.repository, self.id))
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
