//! Blobs of a repository: their sizes, their bytes, and their deletion.

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use overside_protocol::range::parse_content_range;
use overside_protocol::wire::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::transport::address::peer;
use crate::transport::answer::{read_limited, refusal, unless_silent};
use crate::transport::auth::Scope;
use crate::transport::retry::{Failure, Remedy};
use crate::{Error, Repository, Result};

/// Server to store is one redirect; a few more for what stands in between, and an end to loops.
const MAX_REDIRECTS: usize = 5;

/// The largest blob that is read into memory, in bytes: configs of images have some thousands.
const MAX_SMALL_BLOB: usize = 1024 * 1024;

impl Repository {
    pub(crate) fn blob_url(&self, digest: &Digest) -> Result<Url> {
        self.registry.join(&format!("v2/{}/blobs/{digest}", self.name))
    }

    /// A blob's size in bytes, if the repository has it and the caller may read it.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the registry tells no size. Besides that what [any request](Error#any-request) can fail with.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.blob_size_by(&Scope::pull(&self.name), digest).await {
            // A GET may say more, and if not, why.
            Err(Error::Refused(refusal)) if says_nothing(refusal.status) => {
                match self.measure(digest).await {
                    Err(Error::BlobUnknown(_)) => Ok(None),
                    size => size.map(Some),
                }
            }
            size => size,
        }
    }

    /// The size of a blob that is about to be pushed: one token does for the question and the push, and a repository that
    /// does not exist yet may be asked for only by those who may create it.
    pub(crate) async fn pushed_blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.blob_size_by(&Scope::push(&self.name), digest).await {
            // It does not say. Then it is sent.
            Err(Error::Refused(refusal)) if says_nothing(refusal.status) => Ok(None),
            size => size,
        }
    }

    async fn blob_size_by(&self, scope: &Scope, digest: &Digest) -> Result<Option<u64>> {
        let url = self.blob_url(digest)?;
        let answer = self.registry.call(scope, || self.registry.http.head(url.clone())).await?;
        match answer.status {
            StatusCode::NOT_FOUND => return Ok(None),
            // To where the bytes are, so they are there; how many, the GET will tell.
            status if status.is_redirection() => return self.measure(digest).await.map(Some),
            _ => {}
        }
        let answer = answer.expect(StatusCode::OK)?;
        match answer.parsed(CONTENT_LENGTH.as_str()) {
            Some(size) => Ok(Some(size)),
            None => self.measure(digest).await.map(Some),
        }
    }

    /// A blob's size by a GET, where the HEAD tells none: a URL that it leads to may be signed for GET alone.
    async fn measure(&self, digest: &Digest) -> Result<u64> {
        let mut retry = self.registry.retry(&self.registry.notices);
        loop {
            match self.open_blob(digest, 0, None).await {
                Ok(response) => {
                    return response
                        .content_length()
                        .ok_or_else(|| self.registry.unexpected("no Content-Length"));
                }
                Err(failure) => retry.after(failure).await?,
            };
        }
    }

    /// The bytes of a blob that fits into memory, such as an image's config. They are verified.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the descriptor's size is more than a mebibyte or the blob is larger than that size,
    /// [`Error::BlobUnknown`] if the repository does not have it, [`Error::DigestMismatch`] if other bytes arrive,
    /// [`Error::StoreRefused`] if the store that the registry redirects to refuses. Besides that what
    /// [any request](Error#any-request) can fail with.
    pub async fn small_blob(&self, descriptor: &Descriptor) -> Result<Bytes> {
        let limit = usize::try_from(descriptor.size).ok().filter(|size| *size <= MAX_SMALL_BLOB);
        let limit = limit.ok_or_else(|| self.registry.unexpected("a config of more than a mebibyte"))?;
        let mut retry = self.registry.retry(&self.registry.notices);
        let content = loop {
            let opened = self.open_blob(&descriptor.digest, 0, None).await;
            let failure = match opened {
                Ok(response) => {
                    let at = peer(response.url());
                    match unless_silent(&at, read_limited(response, limit, &at)).await {
                        Ok(content) => break content,
                        Err(error) => Failure::of(error),
                    }
                }
                Err(failure) => failure,
            };
            retry.after(failure).await?;
        };
        let (expected, found) = (descriptor.digest, Hasher::digest(descriptor.digest.algorithm(), &content));
        if found == expected { Ok(content) } else { Err(Error::mismatch(expected, found)) }
    }

    /// Deletes a blob from the repository. False if it was not there.
    ///
    /// # Errors
    /// [`Error::Refused`] if the registry does not delete blobs, or keeps this one because a manifest needs it. Besides that
    /// what [any request](Error#any-request) can fail with.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<bool> {
        self.registry.delete(&self.blob_url(digest)?, &Scope::delete(&self.name)).await
    }

    /// Requests a blob's bytes from `start` to `end`, or to the last; follows redirects, and gives the response that has them.
    /// It may be the whole blob: servers may ignore `Range` (RFC 9110 §14.2).
    pub(crate) async fn open_blob(
        &self,
        digest: &Digest,
        start: u64,
        end: Option<u64>,
    ) -> Result<Response, Failure> {
        let scope = Scope::pull(&self.name);
        let range = match end {
            Some(end) => Some(format!("bytes={start}-{}", end.saturating_sub(1))),
            None if start > 0 => Some(format!("bytes={start}-")),
            None => None,
        };
        let request = |url: &Url| {
            let request = self.registry.http.get(url.clone());
            range.iter().fold(request, |request, range| request.header(RANGE, range))
        };
        let mut url = self.blob_url(digest)?;
        for hop in 0..=MAX_REDIRECTS {
            let at = peer(&url);
            let sent = self.registry.send_at(&url, &scope, || async { Ok(request(&url)) });
            let response = unless_silent(&at, sent).await.map_err(Failure::of)?;
            if !response.status().is_redirection() {
                return judge(response, &at, hop > 0, digest, start).await;
            }
            let location = header(&response, &LOCATION).and_then(|location| url.join(location).ok());
            url = location.ok_or_else(|| Error::protocol(&at, "a redirect to nowhere"))?;
        }
        Err(self.registry.unexpected("redirects without end").into())
    }
}

/// Whether a status says nothing about the resource: registries, and proxies before them, answer so to a HEAD that they do
/// not support.
pub(crate) const fn says_nothing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED
    )
}

async fn judge(
    response: Response,
    at: &str,
    redirected: bool,
    digest: &Digest,
    start: u64,
) -> Result<Response, Failure> {
    let error = match response.status() {
        StatusCode::OK => return Ok(response),
        StatusCode::PARTIAL_CONTENT => {
            let range = header(&response, &CONTENT_RANGE).and_then(parse_content_range);
            if range.is_some_and(|range| range.start == start) {
                return Ok(response);
            }
            Error::protocol(at, "another range than was asked for")
        }
        StatusCode::NOT_FOUND => Error::BlobUnknown(*digest),
        status if !status.is_client_error() && !status.is_server_error() => {
            Error::protocol(at, format!("{status} to a GET"))
        }
        _ if !redirected => return Err(Failure::of(Error::Refused(refusal(response).await))),
        _ => {
            let mut failure = Failure::at_store(Error::StoreRefused(refusal(response).await));
            if failure.remedy == Remedy::Never {
                // Whatever it is that a store calls a signature that it takes no more: to read once more changes nothing.
                failure.remedy = Remedy::SignAnew;
            }
            return Err(failure);
        }
    };
    Err(error.into())
}

fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
