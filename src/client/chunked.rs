//! An upload to a registry that knows no presigned URLs: `PATCH` after `PATCH`, from wherever the registry says that
//! it is, and where it takes no chunks one `PUT` (OCI distribution 1.1.1, "Pushing a blob in chunks").

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode};
use url::Url;

use super::auth::Scope;
use super::call::{Answer, may_pass, refusal};
use super::content::Content;
use super::progress::{Event, Progress, Sent};
use super::retry::{Backoff, is_passing};
use super::transfer::{Lanes, unless_stalled};
use super::{CALL_TIMEOUT, Client, Error, Refusal, Result};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::range::parse_upload_range;

/// Bytes of one `PATCH`: what a broken connection costs at most, and enough to make its round trip cheap.
pub(super) const CHUNK_SIZE: u64 = 16 * 1024 * 1024;
/// The least that a registry takes in a chunk (distribution spec 1.1.1).
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
/// Times that an upload is begun again because the registry lost it.
const MAX_RESTARTS: u32 = 5;

/// One upload on a registry.
#[derive(Debug)]
pub(super) struct ChunkedUpload<'a> {
    client: &'a Client,
    repository: &'a RepositoryName,
    location: Url,
    chunk_size: u64,
    /// What the registry has, in bytes.
    offset: u64,
    restarts: u32,
}

/// What a `POST` came to.
#[derive(Debug)]
pub(super) enum Beginning<'a> {
    Mounted,
    Upload(ChunkedUpload<'a>),
}

enum Failure {
    Passing(Error, Option<Duration>),
    /// The registry is somewhere else than we thought: it has to be asked.
    OutOfStep(Error),
    /// It takes no chunks.
    Unsupported(Error),
    Final(Error),
}

impl<'a> ChunkedUpload<'a> {
    /// Begins an upload, unless the registry can take the blob from another repository of its own.
    pub async fn begin(
        client: &'a Client,
        repository: &'a RepositoryName,
        mount: Option<(&Digest, &RepositoryName)>,
    ) -> Result<Beginning<'a>> {
        let mut url = client.uploads_url(repository)?;
        let mut scope = Scope::push(repository);
        if let Some((digest, from)) = mount {
            url.query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from.as_str());
            scope = Scope::mount(repository, from);
        }
        let request = || client.http.post(url.clone()).header(CONTENT_LENGTH, 0);
        let answer = client.call(Some(CALL_TIMEOUT), &scope, request).await?;
        if answer.status == StatusCode::CREATED && mount.is_some() {
            return Ok(Beginning::Mounted);
        }
        let answer = answer.expect(StatusCode::ACCEPTED)?;
        let least = answer.header(CHUNK_MIN_LENGTH).and_then(|least| least.parse().ok()).unwrap_or(0);
        Ok(Beginning::Upload(Self {
            client,
            repository,
            location: location(client, &answer)?,
            chunk_size: CHUNK_SIZE.max(least),
            offset: 0,
            restarts: 0,
        }))
    }

    /// An upload that was begun before, if the registry still knows it.
    pub async fn resume(
        client: &'a Client,
        repository: &'a RepositoryName,
        location: Url,
    ) -> Result<Option<Self>> {
        let mut upload =
            Self { client, repository, location, chunk_size: CHUNK_SIZE, offset: 0, restarts: 0 };
        Ok(upload.ask().await?.then_some(upload))
    }

    pub const fn location(&self) -> &Url {
        &self.location
    }

    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Sends what the registry has not got of a blob that begins with `content`, and publishes it as `digest`.
    pub async fn send_whole(
        &mut self,
        content: &Content,
        digest: &Digest,
        lanes: &Lanes,
        progress: &Progress,
    ) -> Result<()> {
        loop {
            let sent = self.send(content, 0, lanes, progress).await;
            let finished = match sent {
                Ok(true) => self.finish(digest).await,
                // One PUT was the whole upload.
                Ok(false) => self.put_whole(content, digest, lanes, progress).await,
                Err(error) => Err(error),
            };
            match finished {
                // The registry appended to what we did not know of, or forgot what it had.
                Err(error) if is_spoilt(&error) && self.restarts < MAX_RESTARTS => {
                    content.check_unchanged().await?;
                    if self.client.blob_size(self.repository, digest).await? == Some(content.size()) {
                        return Ok(());
                    }
                    self.restart(&error, progress).await?;
                }
                finished => return finished,
            }
        }
    }

    /// Sends the bytes of `content`, which is what follows the first `base` bytes of the blob. False where the
    /// registry takes no chunks.
    pub async fn send(
        &mut self,
        content: &Content,
        base: u64,
        lanes: &Lanes,
        progress: &Progress,
    ) -> Result<bool> {
        let end = base + content.size();
        let mut backoff = Backoff::new(self.client.policy);
        while self.offset < end {
            let Some(from) = self.offset.checked_sub(base) else {
                return Err(Error::UploadLost { peer: self.client.peer() });
            };
            let before = self.offset;
            let lane = lanes.enter().await;
            let failure = self.patch(content, base, from, end, progress).await.err();
            drop(lane);
            let (error, asked) = match failure {
                None => (None, None),
                Some(Failure::Unsupported(error)) if self.offset == 0 => {
                    tracing::debug!(%error, "one PUT instead of chunks");
                    return Ok(false);
                }
                Some(Failure::Unsupported(error) | Failure::Final(error)) => return Err(error),
                Some(Failure::OutOfStep(error)) => (Some(error), None),
                Some(Failure::Passing(error, asked)) => (Some(error), asked),
            };
            let Some(error) = error else {
                backoff.reset();
                continue;
            };
            let Some(after) = backoff.next(asked) else { return Err(error) };
            progress.report(Event::Retrying { error: &error, after });
            tokio::time::sleep(after).await;
            content.check_unchanged().await?;
            if !self.ask().await? {
                return Err(Error::UploadLost { peer: self.client.peer() });
            }
            match self.offset.checked_sub(before) {
                Some(0) => {}
                Some(more) => {
                    progress.report(Event::Advanced(more));
                    backoff.reset();
                }
                None => progress.report(Event::Lost(before - self.offset)),
            }
        }
        Ok(true)
    }

    /// Has the registry check and publish what it got.
    pub async fn finish(&self, digest: &Digest) -> Result<()> {
        let url = self.final_url(digest);
        let scope = Scope::push(self.repository);
        let request = || self.client.http.put(url.clone()).header(CONTENT_LENGTH, 0);
        // No limit: registries hash or copy here, which takes as long as the blob is large.
        let answer = self.client.call_at(&url, None, &scope, request).await?;
        answer.expect(StatusCode::CREATED).map(|_| ())
    }

    /// One chunk.
    async fn patch(
        &mut self,
        content: &Content,
        base: u64,
        from: u64,
        end: u64,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let size = self.chunk_size.min(end - base - from);
        let range = format!("{}-{}", base + from, base + from + size - 1);
        let sent = Sent::new(progress);
        let answered =
            self.send_body(Method::PATCH, &self.location, content, (from, size), Some(range), &sent).await;
        let response = match answered {
            Ok(response) if matches!(response.status(), StatusCode::ACCEPTED | StatusCode::NO_CONTENT) => {
                response
            }
            Ok(response) => {
                sent.take_back();
                return Err(classify(refusal(response).await));
            }
            Err(error) => {
                sent.take_back();
                return Err(if may_pass(&error) {
                    Failure::Passing(error, None)
                } else {
                    Failure::Final(error)
                });
            }
        };
        self.follow(response.headers());
        let told = response.headers().get(RANGE).and_then(|range| parse_upload_range(range.to_str().ok()?));
        let taken = base + from + size;
        // `0-0` is nothing or the first byte; where that was all that was sent, and was taken, it is the byte.
        self.offset = told.filter(|told| (*told, taken) != (0, 1)).unwrap_or(taken);
        Ok(())
    }

    /// The whole blob in the request that publishes it.
    async fn put_whole(
        &mut self,
        content: &Content,
        digest: &Digest,
        lanes: &Lanes,
        progress: &Progress,
    ) -> Result<()> {
        let mut backoff = Backoff::new(self.client.policy);
        loop {
            let (url, sent) = (self.final_url(digest), Sent::new(progress));
            let lane = lanes.enter().await;
            let answered = self.send_body(Method::PUT, &url, content, (0, content.size()), None, &sent).await;
            drop(lane);
            let (error, asked) = match answered {
                Ok(response) if response.status() == StatusCode::CREATED => return Ok(()),
                Ok(response) => {
                    let refusal = refusal(response).await;
                    let (is_passing, asked) = (is_passing(refusal.status), refusal.retry_after);
                    if !is_passing {
                        return Err(Error::Refused(refusal));
                    }
                    (Error::Refused(refusal), asked)
                }
                Err(error) if may_pass(&error) => (error, None),
                Err(error) => return Err(error),
            };
            sent.take_back();
            content.check_unchanged().await?;
            let Some(after) = backoff.next(asked) else { return Err(error) };
            progress.report(Event::Retrying { error: &error, after });
            tokio::time::sleep(after).await;
            // What a PUT that broke has left cannot be appended to, and the answer may have been all that was lost.
            if self.client.blob_size(self.repository, digest).await? == Some(content.size()) {
                return Ok(());
            }
            self.restart(&error, progress).await?;
        }
    }

    async fn send_body(
        &self,
        method: Method,
        url: &Url,
        content: &Content,
        (from, size): (u64, u64),
        range: Option<String>,
        sent: &Sent,
    ) -> Result<Response> {
        let scope = Scope::push(self.repository);
        let build = || async {
            // A 401 to the first try has taken some of it.
            sent.take_back();
            let counter = sent.clone();
            let stream = content.stream(from, size).await?;
            let body = Body::wrap_stream(stream.inspect_ok(move |bytes: &Bytes| counter.add(bytes.len())));
            let request = self.client.http.request(method.clone(), url.clone());
            let request = request.header(CONTENT_TYPE, "application/octet-stream");
            let request = range.iter().fold(request, |request, range| request.header(CONTENT_RANGE, range));
            Ok(request.header(CONTENT_LENGTH, size).body(body))
        };
        match unless_stalled(self.client.send_at(url, &scope, build), sent, size).await {
            Ok(answered) => answered,
            Err(after) => Err(Error::Stalled { peer: self.client.peer(), after }),
        }
    }

    /// Asks how far the registry is. False if it knows nothing of this upload any more.
    async fn ask(&mut self) -> Result<bool> {
        let (url, scope) = (self.location.clone(), Scope::push(self.repository));
        let request = || self.client.http.get(url.clone());
        let answer = self.client.call_at(&url, Some(CALL_TIMEOUT), &scope, request).await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::BAD_REQUEST) {
            return Ok(false);
        }
        if !matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::ACCEPTED | StatusCode::OK) {
            return answer.expect(StatusCode::NO_CONTENT).map(|_| false);
        }
        self.follow(&answer.headers);
        let offset = answer.header(RANGE.as_str()).and_then(parse_upload_range);
        self.offset = offset.ok_or_else(|| answer.unexpected("no Range"))?;
        Ok(true)
    }

    async fn restart(&mut self, error: &Error, progress: &Progress) -> Result<()> {
        tracing::debug!(%error, "beginning anew");
        progress.report(Event::Lost(self.offset));
        let restarts = self.restarts + 1;
        match Self::begin(self.client, self.repository, None).await? {
            Beginning::Upload(upload) => *self = Self { restarts, ..upload },
            Beginning::Mounted => {
                return Err(Error::protocol(&self.client.peer(), "a mount that nobody wanted"));
            }
        }
        Ok(())
    }

    /// Every answer may name another place for what comes next.
    fn follow(&mut self, headers: &HeaderMap) {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        if let Some(location) = location.and_then(|location| self.client.base.join(location).ok()) {
            self.location = location;
        }
    }

    fn final_url(&self, digest: &Digest) -> Url {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        url
    }
}

/// Relative or absolute, as registries have it.
fn location(client: &Client, answer: &Answer) -> Result<Url> {
    let location = answer.header(LOCATION.as_str()).and_then(|location| client.base.join(location).ok());
    let location = location.filter(|location| matches!(location.scheme(), "http" | "https"));
    location.ok_or_else(|| answer.unexpected("no Location"))
}

fn classify(refusal: Refusal) -> Failure {
    let (status, asked) = (refusal.status, refusal.retry_after);
    let is_unsupported = refusal.code == "UNSUPPORTED";
    let error = Error::Refused(refusal);
    match status {
        StatusCode::RANGE_NOT_SATISFIABLE => Failure::OutOfStep(error),
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Failure::Unsupported(error),
        _ if is_unsupported => Failure::Unsupported(error),
        status if is_passing(status) => Failure::Passing(error, asked),
        // What a registry makes of a request that a broken connection cut off: it is asked how far it came.
        StatusCode::NOT_FOUND | StatusCode::GONE => Failure::OutOfStep(error),
        _ => Failure::Final(error),
    }
}

/// Whether the upload is not what we think it is, so that only another one helps.
fn is_spoilt(error: &Error) -> bool {
    match error {
        Error::UploadLost { .. } => true,
        Error::Refused(refusal) => {
            matches!(refusal.code.as_str(), "DIGEST_INVALID" | "BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID")
                || refusal.status == StatusCode::RANGE_NOT_SATISFIABLE
        }
        _ => false,
    }
}
