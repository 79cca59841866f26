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
use super::signed::Lanes;
use super::state::{Begun, UploadFile};
use crate::progress::{Event, Progress, Sent};
use crate::transport::CALL_TIMEOUT;
use crate::transport::answer::Answer;
use crate::transport::auth::Scope;
use crate::transport::retry::{Failure, Remedy};
use crate::{Client, Error, Result};
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

impl<'a> ChunkedUpload<'a> {
    /// Begins an upload.
    pub async fn begin(client: &'a Client, repository: &'a RepositoryName) -> Result<Self> {
        match client.begin_upload(repository, None, None).await? {
            Some((url, answer)) => Self::begun(client, repository, &url, &answer),
            None => Err(client.unexpected("a mount that nobody wanted")),
        }
    }

    /// The upload that the answer to a `POST` to `url` has begun.
    pub fn begun(
        client: &'a Client,
        repository: &'a RepositoryName,
        url: &Url,
        answer: &Answer,
    ) -> Result<Self> {
        let least = answer.parsed(CHUNK_MIN_LENGTH).unwrap_or(0);
        Ok(Self {
            client,
            repository,
            location: named_by(client, url, answer)?,
            habits: Habits::new(least),
            offset: 0,
            restarts: 0,
            is_disturbed: false,
            remembered: None,
        })
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
    pub async fn remember_in(&mut self, file: Option<&'a UploadFile>) -> Result<()> {
        self.remembered = file;
        self.remember().await
    }

    async fn remember(&self) -> Result<()> {
        match self.remembered {
            Some(file) => file.write(&Begun::Location(self.location.clone())).await,
            None => Ok(()),
        }
    }

    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Sends what the registry has not got of a blob, and publishes it as `digest`: in chunks, or in one PUT where it
    /// takes none.
    pub async fn send_whole(
        &mut self,
        content: &Content,
        digest: &Digest,
        lanes: &Lanes,
        progress: &Progress,
    ) -> Result<()> {
        let mut retry = self.client.retry(progress);
        loop {
            let sent = match self.send(content, 0, lanes, progress).await {
                Ok(true) => self.finish(digest).await.map_err(Failure::from),
                Ok(false) => self.put_whole(content, digest, lanes, progress).await,
                Err(error) => Err(error.into()),
            };
            let Err(mut failure) = sent else { return Ok(()) };
            if self.is_spoilt_by(&failure.error) && self.restarts < MAX_RESTARTS {
                failure.remedy = Remedy::Again;
            }
            content.check_unchanged().await?;
            retry.after(failure).await?;
            // What has failed cannot be appended to, and the answer may have been all that was lost.
            if self.client.pushed_blob_size(self.repository, digest).await? == Some(content.size()) {
                return Ok(());
            }
            self.restart(progress).await?;
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
        let mut retry = self.client.retry(progress);
        // Only what is beyond it is progress: a registry may take a chunk and not keep it.
        let (mut highest, mut has_advanced) = (self.offset, false);
        while self.offset < end {
            if !self.habits.takes_chunks {
                return Ok(false);
            }
            let from = self.offset.checked_sub(base).ok_or_else(|| self.lost())?;
            let before = self.offset;
            let lane = lanes.enter().await;
            let sent = self.patch(content, base, from, end, progress).await;
            drop(lane);
            let failure = match sent {
                Ok(()) if self.offset > highest => {
                    (highest, has_advanced) = (self.offset, true);
                    self.remember().await?;
                    continue;
                }
                Ok(()) => {
                    let error = self.client.unexpected("chunks that it takes and does not keep");
                    Failure::new(error, Remedy::AskOffset)
                }
                Err(failure) => failure,
            };
            let is_of_size = is_of_size(&failure.error);
            if retry.after(Failure { has_advanced, ..failure }).await? == Remedy::WholePut {
                self.habits.takes_chunks = false;
                continue;
            }
            self.is_disturbed = true;
            content.check_unchanged().await?;
            let is_known = self.ask().await?;
            // Refused although it was the right place.
            if is_of_size && (!is_known || self.offset == before) {
                self.habits.learn_from_refusal();
            }
            if !is_known {
                return Err(self.lost());
            }
            has_advanced = self.offset > highest;
            highest = highest.max(self.offset);
            progress.report(match self.offset.checked_sub(before) {
                Some(more) => Event::Advanced(more),
                None => Event::Lost(before - self.offset),
            });
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
        self.client.delete(&self.location, &Scope::push(self.repository)).await.map(drop)
    }

    /// The whole blob in the request that publishes it, to an upload that has nothing yet.
    async fn put_whole(
        &mut self,
        content: &Content,
        digest: &Digest,
        lanes: &Lanes,
        progress: &Progress,
    ) -> Result<(), Failure> {
        if self.offset > 0 {
            if let Err(error) = self.abort().await {
                tracing::debug!(%error, "left to expire");
            }
            self.restart(progress).await?;
        }
        let (url, sent) = (self.final_url(digest), Sent::new(progress));
        let _lane = lanes.enter().await;
        let answered = self.send_body(Method::PUT, &url, content, (0, content.size()), None, &sent).await;
        answered.map(drop).map_err(|error| {
            sent.take_back();
            Failure::of(error)
        })
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

    async fn restart(&mut self, progress: &Progress) -> Result<()> {
        progress.report(Event::Lost(self.offset));
        let upload = Self::begin(self.client, self.repository).await?;
        let Self { habits, remembered, .. } = *self;
        *self = Self { restarts: self.restarts + 1, remembered, habits, ..upload };
        self.remember().await
    }

    fn lost(&self) -> Error {
        Error::UploadLost { peer: self.client.peer() }
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
