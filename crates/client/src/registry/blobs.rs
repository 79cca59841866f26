//! Blobs of a repository: whether they are there, their bytes, and their end.

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use overside_protocol::name::RepositoryName;
use overside_protocol::range::parse_content_range;
use overside_protocol::wire::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::transport::address::peer;
use crate::transport::answer::{read_limited, refusal, unless_silent};
use crate::transport::auth::Scope;
use crate::transport::retry::{Failure, Remedy};
use crate::{Client, Error, Result};

/// Server to store is one redirect; a few more for what stands in between, and an end to loops.
const MAX_REDIRECTS: usize = 5;

/// Of what is read into memory, in bytes: configs of images have some thousands.
const MAX_SMALL_BLOB: usize = 1024 * 1024;

impl Client {
    pub(crate) fn blob_url(&self, repository: &RepositoryName, digest: &Digest) -> Result<Url> {
        self.url(&format!("v2/{repository}/blobs/{digest}"))
    }

    /// A blob's size in bytes, if the repository has it and the caller may read it.
    pub async fn blob_size(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<u64>> {
        match self.blob_size_by(&Scope::pull(repository), repository, digest).await {
            // A GET may say more, and if not, why.
            Err(Error::Refused(refusal)) if says_nothing(refusal.status) => {
                match self.measure(repository, digest).await {
                    Err(Error::BlobUnknown(_)) => Ok(None),
                    told => told.map(Some),
                }
            }
            told => told,
        }
    }

    /// The same of a blob that is about to be pushed: one token does for both, and a repository that is not there
    /// yet may be asked for by those alone who may make it.
    pub(crate) async fn pushed_blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>> {
        match self.blob_size_by(&Scope::push(repository), repository, digest).await {
            // It does not say. Then it is sent.
            Err(Error::Refused(refusal)) if says_nothing(refusal.status) => Ok(None),
            told => told,
        }
    }

    async fn blob_size_by(
        &self,
        scope: &Scope,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>> {
        let url = self.blob_url(repository, digest)?;
        let answer = self.call(scope, || self.http.head(url.clone())).await?;
        match answer.status {
            StatusCode::NOT_FOUND => return Ok(None),
            // To where the bytes are, so they are there; how many, the GET will tell.
            status if status.is_redirection() => return self.measure(repository, digest).await.map(Some),
            _ => {}
        }
        let answer = answer.expect(StatusCode::OK)?;
        match answer.parsed(CONTENT_LENGTH.as_str()) {
            Some(size) => Ok(Some(size)),
            None => self.measure(repository, digest).await.map(Some),
        }
    }

    /// The size of a blob whose HEAD leads elsewhere, where a URL may be signed for GET alone.
    async fn measure(&self, repository: &RepositoryName, digest: &Digest) -> Result<u64> {
        let mut retry = self.retry(&self.notices);
        loop {
            match self.open_blob(repository, digest, 0, None).await {
                Ok(response) => {
                    return response.content_length().ok_or_else(|| self.unexpected("no Content-Length"));
                }
                Err(failure) => retry.after(failure).await?,
            };
        }
    }

    /// The bytes of a blob that fits into memory, such as an image's config, proven.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] where it is said to have more than a mebibyte, or has more than it is said to have.
    pub async fn small_blob(&self, repository: &RepositoryName, descriptor: &Descriptor) -> Result<Bytes> {
        let limit = usize::try_from(descriptor.size).ok().filter(|size| *size <= MAX_SMALL_BLOB);
        let limit = limit.ok_or_else(|| self.unexpected("a config of more than a mebibyte"))?;
        let mut retry = self.retry(&self.notices);
        let content = loop {
            let opened = self.open_blob(repository, &descriptor.digest, 0, None).await;
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

    /// Deletes a blob from a repository. False where it was not there.
    pub async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        self.delete(&self.blob_url(repository, digest)?, &Scope::delete(repository)).await
    }

    /// Asks for a blob's bytes from `start`, to `end` or all; goes where the server points, and gives the answer
    /// that has them. It may be the whole blob: servers may ignore `Range` (RFC 9110 §14.2).
    pub(crate) async fn open_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        start: u64,
        end: Option<u64>,
    ) -> Result<Response, Failure> {
        let scope = Scope::pull(repository);
        let range = match end {
            Some(end) => Some(format!("bytes={start}-{}", end.saturating_sub(1))),
            None if start > 0 => Some(format!("bytes={start}-")),
            None => None,
        };
        let request = |url: &Url| {
            let request = self.http.get(url.clone());
            range.iter().fold(request, |request, range| request.header(RANGE, range))
        };
        let mut url = self.blob_url(repository, digest)?;
        for hop in 0..=MAX_REDIRECTS {
            let at = peer(&url);
            let sent = self.send_at(&url, &scope, || async { Ok(request(&url)) });
            let response = unless_silent(&at, sent).await.map_err(Failure::of)?;
            if !response.status().is_redirection() {
                return judge(response, &at, hop > 0, digest, start).await;
            }
            let location = header(&response, &LOCATION).and_then(|location| url.join(location).ok());
            url = location.ok_or_else(|| Error::protocol(&at, "a redirect to nowhere"))?;
        }
        Err(self.unexpected("redirects without end").into())
    }
}

/// What registries, and proxies before them, answer to a HEAD that they do not know: nothing about what was asked for.
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
