//! An upload to a registry that knows no presigned URLs: `PATCH` after `PATCH`, from wherever the registry says that
//! it is, and where it takes no chunks one `PUT` (OCI distribution 1.1.1, "Pushing a blob in chunks").
//!
//! Registries differ in all that comes before the digest at the end, which alone proves anything: what they refuse
//! for what it is they are not sent again, and what they do not tell is not held against them.

mod body;
mod habits;
mod location;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::range::parse_upload_range;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, LOCATION, RANGE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::content::Content;
use super::session::append_mount;
use super::signed::Lanes;
use super::state::{Begun, UploadFile};
use crate::progress::{Event, Progress, Sent};
use crate::transport::CALL_TIMEOUT;
use crate::transport::answer::{Answer, refusal};
use crate::transport::auth::Scope;
use crate::transport::call::may_pass;
use crate::transport::retry::{Backoff, is_passing};
use crate::{Client, Error, Result};
use body::Failure;
use habits::Habits;
use location::{named_by, resolve};

/// Bytes of one `PATCH`: what a broken connection costs at most, and enough to make its round trip cheap.
pub(crate) const CHUNK_SIZE: u64 = 16 * 1024 * 1024;
/// The least that a registry takes in a chunk (distribution spec 1.1.1).
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
/// Times that an upload is begun again because the registry lost it.
const MAX_RESTARTS: u32 = 5;

/// One upload on a registry.
#[derive(Debug)]
pub(crate) struct ChunkedUpload<'a> {
    client: &'a Client,
    repository: &'a RepositoryName,
    location: Url,
    habits: Habits,
    /// What the registry has, in bytes.
    offset: u64,
    restarts: u32,
    /// Whether something went wrong on the way, so that what the registry has may not be what was sent.
    is_disturbed: bool,
    /// Where the upload's place is remembered, if it is.
    remembered: Option<&'a UploadFile>,
}

/// What a `POST` came to.
#[derive(Debug)]
pub(crate) enum Beginning<'a> {
    Mounted,
    Upload(ChunkedUpload<'a>),
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
            scope = append_mount(&mut url, digest, repository, from);
        }
        let request = || client.http.post(url.clone()).header(CONTENT_LENGTH, 0);
        let answer = match client.call(Some(CALL_TIMEOUT), &scope, request).await {
            Ok(answer) if answer.status == StatusCode::CREATED && mount.is_some() => {
                return Ok(Beginning::Mounted);
            }
            // A mount is refused in many words, also by those that should begin an upload instead.
            Ok(Answer { status, .. }) if mount.is_some() && !status.is_success() => {
                return Box::pin(Self::begin(client, repository, None)).await;
            }
            Err(Error::Unauthorized { .. }) if mount.is_some() => {
                return Box::pin(Self::begin(client, repository, None)).await;
            }
            answer => answer?.expect_done()?,
        };
        let least = answer.header(CHUNK_MIN_LENGTH).and_then(|least| least.parse().ok()).unwrap_or(0);
        Ok(Beginning::Upload(Self {
            client,
            repository,
            location: named_by(client, &url, &answer)?,
            habits: Habits::new(least),
            offset: 0,
            restarts: 0,
            is_disturbed: false,
            remembered: None,
        }))
    }

    /// An upload that was begun before, if the registry still knows it.
    pub async fn resume(
        client: &'a Client,
        repository: &'a RepositoryName,
        location: Url,
    ) -> Result<Option<Self>> {
        let mut upload = Self {
            client,
            repository,
            location,
            habits: Habits::new(0),
            offset: 0,
            restarts: 0,
            is_disturbed: true,
            remembered: None,
        };
        Ok(upload.ask().await?.then_some(upload))
    }

    /// Remembers where it goes on: now, and after every chunk, for the place may change with each.
    pub fn remember_in(&mut self, file: Option<&'a UploadFile>) -> Result<()> {
        self.remembered = file;
        self.remember()
    }

    fn remember(&self) -> Result<()> {
        self.remembered.map_or(Ok(()), |file| file.write(&Begun::Location(self.location.clone())))
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
                // In one PUT, to an upload that has nothing yet.
                Ok(false) => match self.emptied(progress).await {
                    Ok(()) => self.put_whole(content, digest, lanes, progress).await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            match finished {
                // The registry appended to what we did not know of, or forgot what it had.
                Err(error) if self.is_spoilt_by(&error) && self.restarts < MAX_RESTARTS => {
                    content.check_unchanged().await?;
                    if self.client.pushed_blob_size(self.repository, digest).await? == Some(content.size()) {
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
        // Only what is beyond it is progress: a registry may take a chunk and not keep it.
        let mut highest = self.offset;
        while self.offset < end {
            if !self.habits.takes_chunks {
                return Ok(false);
            }
            let Some(from) = self.offset.checked_sub(base) else {
                return Err(Error::UploadLost { peer: self.client.peer() });
            };
            let before = self.offset;
            let lane = lanes.enter().await;
            let failure = self.patch(content, base, from, end, progress).await.err();
            drop(lane);
            let (error, asked) = match failure {
                None if self.offset > highest => {
                    highest = self.offset;
                    backoff.reset();
                    self.remember()?;
                    continue;
                }
                None => {
                    let what = "chunks that it takes and does not keep";
                    (Error::protocol(&self.client.peer(), what), None)
                }
                Some(Failure::Unsupported(error)) => {
                    tracing::debug!(%error, "one PUT instead of chunks");
                    self.habits.takes_chunks = false;
                    continue;
                }
                Some(Failure::Final(error)) => return Err(error),
                Some(Failure::OutOfStep(error)) => (error, None),
                Some(Failure::Passing(error, asked)) => (error, asked),
            };
            self.is_disturbed = true;
            let Some(after) = backoff.next(asked) else { return Err(error) };
            progress.report(Event::Retrying { error: &error, after });
            tokio::time::sleep(after).await;
            content.check_unchanged().await?;
            let is_known = self.ask().await?;
            // Refused although it was the right place.
            if is_of_size(&error) && (!is_known || self.offset == before) {
                self.habits.learn_from_refusal();
            }
            if !is_known {
                return Err(Error::UploadLost { peer: self.client.peer() });
            }
            if self.offset > highest {
                highest = self.offset;
                backoff.reset();
            }
            match self.offset.checked_sub(before) {
                Some(more) => progress.report(Event::Advanced(more)),
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
        answer.expect_done().map(|_| ())
    }

    /// Gives it up. One that is gone already is fine.
    pub async fn abort(&self) -> Result<()> {
        let (url, scope) = (self.location.clone(), Scope::push(self.repository));
        let request = || self.client.http.delete(url.clone());
        let answer = self.client.call_at(&url, Some(CALL_TIMEOUT), &scope, request).await?;
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            _ => answer.expect_done().map(|_| ()),
        }
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
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => {
                    let refusal = refusal(response).await;
                    let (is_passing, asked) = (is_passing(refusal.status), refusal.retry_after);
                    if !is_passing {
                        return Err(Error::Refused(refusal));
                    }
                    (Error::Refused(refusal), asked)
                }
                Err(error) if may_pass(&error) => {
                    let asked = error.asked_wait();
                    (error, asked)
                }
                Err(error) => return Err(error),
            };
            sent.take_back();
            content.check_unchanged().await?;
            let Some(after) = backoff.next(asked) else { return Err(error) };
            progress.report(Event::Retrying { error: &error, after });
            tokio::time::sleep(after).await;
            // What a PUT that broke has left cannot be appended to, and the answer may have been all that was lost.
            if self.client.pushed_blob_size(self.repository, digest).await? == Some(content.size()) {
                return Ok(());
            }
            self.restart(&error, progress).await?;
        }
    }

    /// Asks how far the registry is. False if it knows nothing of this upload any more.
    async fn ask(&mut self) -> Result<bool> {
        let (url, scope) = (self.location.clone(), Scope::push(self.repository));
        let request = || self.client.http.get(url.clone());
        let answer = self.client.call_at(&url, Some(CALL_TIMEOUT), &scope, request).await?;
        // Not there any more, not ours any more, or not to be asked at all: another one helps.
        if answer.status.is_client_error() {
            return Ok(false);
        }
        let answer = answer.expect_done()?;
        self.follow(&answer.headers);
        let Some(offset) = answer.header(RANGE.as_str()).and_then(parse_upload_range) else {
            return Ok(false);
        };
        self.offset = offset;
        Ok(true)
    }

    /// Has an upload that has nothing yet, whatever this one has.
    async fn emptied(&mut self, progress: &Progress) -> Result<()> {
        if self.offset == 0 {
            return Ok(());
        }
        if let Err(error) = self.abort().await {
            tracing::debug!(%error, "left to expire");
        }
        self.restart(&Error::NoChunks { peer: self.client.peer() }, progress).await
    }

    async fn restart(&mut self, error: &Error, progress: &Progress) -> Result<()> {
        tracing::debug!(%error, "beginning anew");
        progress.report(Event::Lost(self.offset));
        let restarts = self.restarts + 1;
        match Self::begin(self.client, self.repository, None).await? {
            Beginning::Upload(upload) => {
                *self = Self { restarts, remembered: self.remembered, habits: self.habits, ..upload };
                self.remember()?;
            }
            Beginning::Mounted => {
                return Err(Error::protocol(&self.client.peer(), "a mount that nobody wanted"));
            }
        }
        Ok(())
    }

    /// Every answer may name another place for what comes next.
    fn follow(&mut self, headers: &HeaderMap) {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let at = &self.location;
        if let Some(location) = location.and_then(|location| resolve(&self.client.base, at, location)) {
            self.location = location;
        }
    }

    /// Whether the upload is not what we think it is, so that only another one helps.
    fn is_spoilt_by(&self, error: &Error) -> bool {
        match error {
            Error::UploadLost { .. } => true,
            // Of bytes that went undisturbed it says that they are wrong, and always will be.
            Error::Refused(refusal) if refusal.code == "DIGEST_INVALID" => self.is_disturbed,
            Error::Refused(refusal) => {
                matches!(refusal.code.as_str(), "BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID")
                    || refusal.status == StatusCode::RANGE_NOT_SATISFIABLE
            }
            _ => false,
        }
    }

    fn final_url(&self, digest: &Digest) -> Url {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        url
    }
}

/// Whether a chunk was refused for its place or for its size: registries say 416 of both.
fn is_of_size(error: &Error) -> bool {
    let Error::Refused(refusal) = error else { return false };
    matches!(refusal.status, StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PAYLOAD_TOO_LARGE)
}
