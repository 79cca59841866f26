//! Sends one presigned PUT to the store, and repeats it until the store has the bytes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use overside_protocol::part::{Part, PartPlan, PartRange};
use overside_protocol::upload::{Status, TransferMode};
use overside_protocol::wire::{CompletedPart, PresignedPart, PresignedPut, PresignedUpload};
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::concurrency::ConcurrencyLimit;
use super::content::Content;
use super::session::{PresignTerms, Session};
use crate::progress::{Progress, SentBytes};
use crate::transport::STALL_TIMEOUT;
use crate::transport::address::peer;
use crate::transport::answer::refusal;
use crate::transport::retry::{Failure, Remedy};
use crate::{Error, Result, shortened};

/// After the last byte the store may still have to move a part of 5 GiB into place before it answers.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);
/// Characters that are shown of a header's name.
const MAX_NAME: usize = 60;

/// The result of sending a blob to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transferred {
    pub mode: TransferMode,
    /// How the file was cut, where it went in parts.
    pub plan: Option<PartPlan>,
    /// Every part with its `ETag`, in order, where this transfer sent them all.
    pub parts: Option<Vec<CompletedPart>>,
}

/// A presigned PUT to the store, as the server gave it.
#[derive(Debug, Clone)]
pub(crate) struct PresignedRequest {
    url: String,
    headers: BTreeMap<String, String>,
    expires_at: DateTime<Utc>,
}

/// How one signed PUT ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignedPutOutcome {
    /// The store has the bytes, under this `ETag` if it told one.
    Stored(Option<String>),
    /// The session needs no more bytes: it is being finalized or is complete.
    NotNeeded,
}

/// The PUT of a blob, or of one part of it, to a signed URL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignedPut<'a> {
    pub session: &'a Session,
    pub content: &'a Content,
    pub limit: &'a ConcurrencyLimit,
    /// The terms that the URL was requested with, without the parts.
    pub terms: &'a PresignTerms,
    /// None where the whole blob goes in one PUT.
    pub part: Option<Part>,
    pub progress: &'a Progress,
}

impl PresignedRequest {
    pub(crate) fn put(put: PresignedPut) -> Self {
        Self { url: put.presigned_url, headers: put.headers, expires_at: put.expires_at }
    }

    pub(crate) fn part(part: PresignedPart, expires_at: DateTime<Utc>) -> Self {
        Self { url: part.presigned_url, headers: part.headers, expires_at }
    }

    /// By this machine's clock, which may be wrong: it saves sending a part for nothing, no more.
    fn has_expired(&self) -> bool {
        self.expires_at <= DateTime::<Utc>::from(SystemTime::now())
    }
}

impl SignedPut<'_> {
    /// Sends until the bytes are stored: waits where that helps, and has the request signed anew where it was refused.
    pub(crate) async fn run(&self, mut signed: PresignedRequest) -> Result<SignedPutOutcome> {
        let mut retry = self.session.repository().registry.retry(self.progress);
        let mut remedy = Remedy::Again;
        loop {
            let permit = self.limit.acquire().await;
            if remedy == Remedy::SignAnew || signed.has_expired() {
                signed = match self.sign().await {
                    // What another process completed meanwhile gives no more signatures.
                    Err(Error::UploadUnknown(_) | Error::Refused(_)) if self.needs_no_more().await? => {
                        return Ok(SignedPutOutcome::NotNeeded);
                    }
                    signed => signed?,
                };
            }
            let attempted = self.attempt(&signed).await;
            drop(permit);
            let failure = match attempted {
                Ok(etag) => return Ok(SignedPutOutcome::Stored(etag)),
                Err(failure) => failure,
            };
            if failure.is_gone() && self.needs_no_more().await? {
                return Ok(SignedPutOutcome::NotNeeded);
            }
            remedy = retry.after(failure).await?;
        }
    }

    fn extent(&self) -> (u64, u64) {
        match self.part {
            Some(part) => (part.offset, part.size),
            None => (0, self.content.size()),
        }
    }

    async fn attempt(&self, signed: &PresignedRequest) -> Result<Option<String>, Failure> {
        let (offset, size) = self.extent();
        let registry = &self.session.repository().registry;
        let url = Url::parse(&signed.url).map_err(|_| registry.unexpected("a signed URL that is none"))?;
        let (store, sent) = (peer(&url), SentBytes::new(self.progress));
        let headers = signed_headers(&signed.headers, size).map_err(|what| registry.unexpected(what))?;
        // Of another registry, where that is where the bytes come from.
        let stream = self.content.stream(offset, size).await.map_err(Failure::of)?;
        let request =
            registry.destinations.to(&url)?.put(url).headers(headers).body(registry.body(stream, &sent));
        let request = async { request.send().await.map_err(|error| Error::transport(&store, error)) };
        let error = match unless_stalled(&store, request, &sent, size).await {
            Ok(response) if response.status().is_success() => {
                let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
                return Ok(etag.map(str::to_owned));
            }
            Ok(response) => Error::StoreRefused(refusal(response).await),
            Err(error) => error,
        };
        sent.take_back();
        // A file that was cut short looks like a broken connection, one that was rewritten like a wrong checksum.
        self.content.check_unchanged().await?;
        Err(Failure::at_store(error))
    }

    /// Asks for this one request again.
    async fn sign(&self) -> Result<PresignedRequest> {
        let parts = self.part.map(|part| PartRange { first: part.number, last: part.number });
        let signed = match self.session.presign(&PresignTerms { parts, ..*self.terms }).await? {
            PresignedUpload::Put(put) if self.part.is_none() => Some(PresignedRequest::put(put)),
            PresignedUpload::Multipart(multipart) => {
                let number = self.part.map(|part| part.number);
                let part = multipart.parts.into_iter().find(|part| Some(part.part_number) == number);
                part.map(|part| PresignedRequest::part(part, multipart.expires_at))
            }
            PresignedUpload::Put(_) => None,
        };
        signed.ok_or_else(|| self.session.repository().registry.unexpected("another part than was asked for"))
    }

    /// Whether another process has finished the upload meanwhile, which is why a URL leads nowhere. An error if the upload has
    /// ended.
    async fn needs_no_more(&self) -> Result<bool> {
        let state = self.session.state().await?;
        match state.status {
            Status::Finalizing | Status::Completed => Ok(true),
            Status::Pending | Status::Uploading => Ok(false),
            Status::Failed | Status::Aborted | Status::Expired => Err(self.session.ended(state)),
        }
    }
}

/// Headers that an upload to a store may need: what describes the bytes, binds them, or has them encrypted.
///
/// Any other would be a registry's way to have this machine say something for it: cloud metadata services ask for a
/// header that no page can set, proxies and other services trust `Forwarded`, `Cookie` or `Authorization`.
const UPLOAD_HEADERS: [&str; 8] = [
    "content-length",
    "content-md5",
    "content-type",
    "if-none-match",
    "x-amz-content-sha256",
    "x-amz-copy-source-if-match",
    "x-amz-sdk-checksum-algorithm",
    "x-ms-blob-type",
];
/// Such headers that come in families.
const UPLOAD_HEADER_FAMILIES: [&str; 2] = ["x-amz-checksum-", "x-amz-server-side-encryption"];

/// The headers as signed, and the length: with it the body goes out whole, without it chunked, which stores refuse.
fn signed_headers(signed: &BTreeMap<String, String>, size: u64) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(signed.len() + 1);
    for (name, value) in signed {
        let parsed = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
        let (parsed, value) = parsed.ok_or_else(|| "headers that cannot be sent".to_owned())?;
        let is_needed = UPLOAD_HEADERS.contains(&parsed.as_str())
            || UPLOAD_HEADER_FAMILIES.iter().any(|family| parsed.as_str().starts_with(family));
        if !is_needed {
            return Err(format!(
                "a header for the store, {}, that no upload needs",
                shortened(name, MAX_NAME)
            ));
        }
        headers.insert(parsed, value);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    Ok(headers)
}

/// The answer to a request that sends `size` bytes, unless for too long none of them moved.
pub(crate) async fn unless_stalled(
    peer: &str,
    request: impl Future<Output = Result<Response>>,
    sent: &SentBytes,
    size: u64,
) -> Result<Response> {
    let mut request = pin!(request);
    loop {
        let before = sent.bytes();
        let after = if before < size { STALL_TIMEOUT } else { ANSWER_TIMEOUT };
        match tokio::time::timeout(after, &mut request).await {
            Ok(answered) => return answered,
            Err(_) if sent.bytes() == before => return Err(Error::Stalled { peer: peer.to_owned(), after }),
            Err(_) => {}
        }
    }
}
