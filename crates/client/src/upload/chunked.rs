//! Uploads a blob to a registry that gives no presigned URLs: in chunks by `PATCH`, from the offset that the registry tells,
//! or in one `PUT` where it accepts no chunks (OCI distribution 1.1.1, "Pushing a blob in chunks").
//!
//! Registries differ in all that comes before the digest at the end, which alone proves anything. A chunk that was refused
//! for its size or kind is not sent again, and an offset that a registry does not tell is no error.

mod body;
mod capabilities;
mod location;

use overside_protocol::digest::Digest;
use overside_protocol::range::parse_upload_range;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, LOCATION, RANGE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::concurrency::ConcurrencyLimit;
use super::content::Content;
use super::saved_uploads::{ResumePoint, UploadFile};
use crate::progress::{Event, Progress, SentBytes};
use crate::transport::CALL_TIMEOUT;
use crate::transport::answer::Answer;
use crate::transport::auth::Scope;
use crate::transport::retry::{Failure, Remedy};
use crate::{Error, Repository, Result};
use capabilities::ChunkCapabilities;
use location::{named_by, resolve};

/// Bytes of one `PATCH`: the most that a broken connection costs, and enough to make its round trip cheap.
pub(crate) const CHUNK_SIZE: u64 = 16 * 1024 * 1024;
/// The least that a registry takes in a chunk (distribution spec 1.1.1).
const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
/// How often an upload is begun again because the registry lost it.
const MAX_RESTARTS: u32 = 5;

/// One chunked upload.
#[derive(Debug)]
pub(crate) struct ChunkedUpload<'a> {
    repository: &'a Repository,
    location: Url,
    capabilities: ChunkCapabilities,
    /// Bytes that the registry has.
    offset: u64,
    restarts: u32,
    /// Whether something went wrong on the way, so that what the registry has may not be what was sent.
    is_disturbed: bool,
    /// Where the upload is saved, if it is.
    saved: Option<&'a UploadFile>,
}

impl<'a> ChunkedUpload<'a> {
    /// Begins an upload.
    pub async fn begin(repository: &'a Repository) -> Result<Self> {
        match repository.begin_upload(None, None).await? {
            Some((url, answer)) => Self::begun(repository, &url, &answer),
            None => Err(repository.registry.unexpected("a mount that nobody wanted")),
        }
    }

    /// The upload that the answer to a `POST` to `url` has begun.
    pub fn begun(repository: &'a Repository, url: &Url, answer: &Answer) -> Result<Self> {
        let least = answer.parsed(CHUNK_MIN_LENGTH).unwrap_or(0);
        Ok(Self {
            repository,
            location: named_by(&repository.registry, url, answer)?,
            capabilities: ChunkCapabilities::new(least),
            offset: 0,
            restarts: 0,
            is_disturbed: false,
            saved: None,
        })
    }

    /// An upload that was begun before, if the registry still knows it.
    pub async fn resume(repository: &'a Repository, location: Url) -> Result<Option<Self>> {
        let mut upload = Self {
            repository,
            location,
            capabilities: ChunkCapabilities::new(0),
            offset: 0,
            restarts: 0,
            is_disturbed: true,
            saved: None,
        };
        Ok(upload.fetch_offset().await?.then_some(upload))
    }

    /// Saves the upload's location: now, and after every chunk, for it may change with each.
    pub async fn save_in(&mut self, file: Option<&'a UploadFile>) -> Result<()> {
        self.saved = file;
        self.save().await
    }

    async fn save(&self) -> Result<()> {
        match self.saved {
            Some(file) => file.write(&ResumePoint::Location(self.location.clone())).await,
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
        limit: &ConcurrencyLimit,
        progress: &Progress,
    ) -> Result<()> {
        let mut retry = self.repository.registry.retry(progress);
        loop {
            let sent = match self.send(content, 0, limit, progress).await {
                Ok(true) => self.finish(digest).await.map_err(Failure::from),
                Ok(false) => self.put_whole(content, digest, limit, progress).await,
                Err(error) => Err(error.into()),
            };
            let Err(mut failure) = sent else { return Ok(()) };
            if self.is_invalidated_by(&failure.error) && self.restarts < MAX_RESTARTS {
                failure.remedy = Remedy::Again;
            }
            content.check_unchanged().await?;
            retry.after(failure).await?;
            // What has failed cannot be appended to, and the answer may have been all that was lost.
            if self.repository.pushed_blob_size(digest).await? == Some(content.size()) {
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
        limit: &ConcurrencyLimit,
        progress: &Progress,
    ) -> Result<bool> {
        let end = base + content.size();
        let mut retry = self.repository.registry.retry(progress);
        // Only what is beyond it is progress: a registry may take a chunk and not keep it.
        let (mut highest, mut has_advanced) = (self.offset, false);
        while self.offset < end {
            if !self.capabilities.takes_chunks {
                return Ok(false);
            }
            let from = self.offset.checked_sub(base).ok_or_else(|| self.lost())?;
            let before = self.offset;
            let permit = limit.acquire().await;
            let sent = self.patch(content, base, from, end, progress).await;
            drop(permit);
            let failure = match sent {
                Ok(()) if self.offset > highest => {
                    (highest, has_advanced) = (self.offset, true);
                    self.save().await?;
                    continue;
                }
                Ok(()) => {
                    let error = self.repository.registry.unexpected("chunks that it takes and does not keep");
                    Failure::new(error, Remedy::AskOffset)
                }
                Err(failure) => failure,
            };
            let is_of_size = is_of_size(&failure.error);
            if retry.after(Failure { has_advanced, ..failure }).await? == Remedy::WholePut {
                self.capabilities.takes_chunks = false;
                continue;
            }
            self.is_disturbed = true;
            content.check_unchanged().await?;
            let is_known = self.fetch_offset().await?;
            // Refused although it was the right place.
            if is_of_size && (!is_known || self.offset == before) {
                self.capabilities.restrict();
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
        let scope = Scope::push(&self.repository.name);
        let request = || self.repository.registry.http.put(url.clone()).header(CONTENT_LENGTH, 0);
        // No limit: registries hash or copy here, which takes as long as the blob is large.
        let answer = self.repository.registry.call_at(&url, None, &scope, request).await?;
        answer.expect_success().map(|_| ())
    }

    /// Aborts the upload. One that does not exist any more is fine.
    pub async fn abort(&self) -> Result<()> {
        self.repository.registry.delete(&self.location, &Scope::push(&self.repository.name)).await.map(drop)
    }

    /// The whole blob in the request that publishes it, to an upload that has nothing yet.
    async fn put_whole(
        &mut self,
        content: &Content,
        digest: &Digest,
        limit: &ConcurrencyLimit,
        progress: &Progress,
    ) -> Result<(), Failure> {
        if self.offset > 0 {
            if let Err(error) = self.abort().await {
                tracing::debug!(%error, "left to expire");
            }
            self.restart(progress).await?;
        }
        let (url, sent) = (self.final_url(digest), SentBytes::new(progress));
        let _permit = limit.acquire().await;
        let answered = self.send_body(Method::PUT, &url, content, (0, content.size()), None, &sent).await;
        answered.map(drop).map_err(|error| {
            sent.take_back();
            Failure::of(error)
        })
    }

    /// Asks the registry how many bytes it has. False if it does not know the upload any more.
    async fn fetch_offset(&mut self) -> Result<bool> {
        let (url, scope) = (self.location.clone(), Scope::push(&self.repository.name));
        let request = || self.repository.registry.http.get(url.clone());
        let answer = self.repository.registry.call_at(&url, Some(CALL_TIMEOUT), &scope, request).await?;
        // Not there any more, not ours any more, or not to be asked at all: another one helps.
        if answer.status.is_client_error() {
            return Ok(false);
        }
        let answer = answer.expect_success()?;
        self.follow(&answer.headers);
        let Some(offset) = answer.header(RANGE.as_str()).and_then(parse_upload_range) else {
            return Ok(false);
        };
        self.offset = offset;
        Ok(true)
    }

    async fn restart(&mut self, progress: &Progress) -> Result<()> {
        progress.report(Event::Lost(self.offset));
        let upload = Self::begin(self.repository).await?;
        let Self { capabilities, saved, .. } = *self;
        *self = Self { restarts: self.restarts + 1, saved, capabilities, ..upload };
        self.save().await
    }

    fn lost(&self) -> Error {
        Error::UploadLost { peer: self.repository.registry.peer() }
    }

    /// Every answer may name another place for what comes next.
    fn follow(&mut self, headers: &HeaderMap) {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let at = &self.location;
        if let Some(location) =
            location.and_then(|location| resolve(&self.repository.registry.base, at, location))
        {
            self.location = location;
        }
    }

    /// Whether the error says that the registry's upload has other bytes than were sent, so that only a new one helps.
    fn is_invalidated_by(&self, error: &Error) -> bool {
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
