//! One signed PUT to the store, repeated until the store has the bytes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use overside_protocol::part::{Part, PartPlan, PartRange};
use overside_protocol::upload::{Status, TransferMode};
use overside_protocol::wire::{CompletedPart, PresignedPart, PresignedPut, PresignedUpload};
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::content::Content;
use super::session::PresignTerms;
use crate::progress::{Event, Progress, Sent};
use crate::transport::STALL_TIMEOUT;
use crate::transport::address::peer;
use crate::transport::answer::refusal;
use crate::transport::call::may_pass;
use crate::transport::retry::{Backoff, is_passing_at_store};
use crate::{Error, Refusal, Result, Session, shortened};

/// Parts in flight where nothing else is asked for: fills most lines, and four parts of 8 MiB fit any store's limits.
pub(crate) const DEFAULT_JOBS: usize = 4;
/// After the last byte the store may still have to move a part of 5 GiB into place before it answers.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);
/// Of a header's name so many characters are shown.
const MAX_NAME: usize = 60;
/// New signatures in a row that the store may refuse: one expires while it waits, a third one shows a wrong clock.
const MAX_REFUSED_SIGNATURES: u32 = 3;

/// How many bodies are under way at a time, whatever blobs they are of.
#[derive(Debug, Clone)]
pub struct Lanes {
    count: usize,
    free: Arc<Semaphore>,
}

impl Lanes {
    /// At least one.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self { count, free: Arc::new(Semaphore::new(count)) }
    }

    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Waits for one that is free, which it is again when this is dropped.
    pub(crate) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.free.acquire().await.ok()
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(DEFAULT_JOBS)
    }
}

/// How the bytes go to the store.
#[derive(Debug, Clone, Default)]
pub struct TransferOptions {
    pub lanes: Lanes,
    /// The server decides by the size if this is not given.
    pub mode: Option<TransferMode>,
}

/// What a transfer left in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    pub mode: TransferMode,
    /// How the file was cut, where it went in parts.
    pub plan: Option<PartPlan>,
    /// Every part with its `ETag`, in order, where this transfer sent them all.
    pub parts: Option<Vec<CompletedPart>>,
}

/// A signed request, as the server gave it.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    url: String,
    headers: BTreeMap<String, String>,
    expires_at: DateTime<Utc>,
}

/// How one signed PUT ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The store has it, and named it so.
    Stored(Option<String>),
    /// Nothing is awaited any more: the session is being finalized or is complete.
    Settled,
}

/// A stretch of the file on its way to one signed URL.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub session: &'a Session,
    pub content: &'a Content,
    pub lanes: &'a Lanes,
    /// What the URL was asked for with, without the parts.
    pub terms: &'a PresignTerms,
    /// The part; none for the whole file in one PUT.
    pub part: Option<Part>,
    pub progress: &'a Progress,
}

/// How one try failed.
enum Failure {
    /// The same request may succeed later.
    Passing(Error, Option<Duration>),
    /// So may a newly signed one.
    Broken(Error),
    /// The signature is refused: expired, as a rule.
    Signature(Error),
    /// What the URL leads to is not there any more.
    Gone(Error),
    Final(Error),
}

impl Signed {
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

impl Delivery<'_> {
    /// Sends until it is stored: waits out what passes, signs anew what was refused or broke.
    pub(crate) async fn run(&self, mut signed: Signed) -> Result<Delivered> {
        let mut backoff = Backoff::new(self.session.client().policy);
        let mut refused_signatures = 0;
        let mut sign = false;
        loop {
            let lane = self.lanes.enter().await;
            if sign || signed.has_expired() {
                signed = match self.sign().await {
                    // What another process completed meanwhile gives no more signatures.
                    Err(Error::UploadUnknown(_) | Error::Refused(_)) if self.is_settled().await? => {
                        return Ok(Delivered::Settled);
                    }
                    signed => signed?,
                };
            }
            let attempted = self.attempt(&signed).await;
            drop(lane);
            let (error, asked, anew) = match attempted {
                Ok(etag) => return Ok(Delivered::Stored(etag)),
                Err(Failure::Passing(error, asked)) => (error, asked, false),
                // Signed anew because a store that refuses early may close before its 403 can be read.
                Err(Failure::Broken(error)) => (error, None, true),
                Err(Failure::Signature(error)) => {
                    refused_signatures += 1;
                    if refused_signatures > MAX_REFUSED_SIGNATURES {
                        return Err(error);
                    }
                    (error, None, true)
                }
                Err(Failure::Gone(error)) => {
                    if self.is_settled().await? {
                        return Ok(Delivered::Settled);
                    }
                    (error, None, true)
                }
                Err(Failure::Final(error)) => return Err(error),
            };
            let Some(after) = backoff.next(asked) else { return Err(error) };
            self.progress.report(Event::Retrying { error: &error, after });
            tokio::time::sleep(after).await;
            sign = anew;
        }
    }

    fn extent(&self) -> (u64, u64) {
        match self.part {
            Some(part) => (part.offset, part.size),
            None => (0, self.content.size()),
        }
    }

    async fn attempt(&self, signed: &Signed) -> Result<Option<String>, Failure> {
        let (offset, size) = self.extent();
        let client = self.session.client();
        let url = Url::parse(&signed.url)
            .map_err(|_| Failure::Final(Error::protocol(&client.peer(), "a signed URL that is none")))?;
        let (store, sent) = (peer(&url), Sent::new(self.progress));
        let headers = signed_headers(&signed.headers, size)
            .map_err(|what| Failure::Final(Error::protocol(&client.peer(), what)))?;
        let counter = sent.clone();
        let stream = self.content.stream(offset, size).await.map_err(passing_or_final)?;
        let stream = client.paced(stream).inspect_ok(move |bytes: &Bytes| counter.add(bytes.len()));
        let body = Body::wrap_stream(stream);
        let connections = client.destinations.to(&url).map_err(Failure::Final)?;
        let request = connections.put(url).headers(headers).body(body).send();
        let failure = match unless_stalled(request, &sent, size).await {
            Ok(Ok(response)) if response.status().is_success() => {
                let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
                return Ok(etag.map(str::to_owned));
            }
            Ok(Ok(response)) => classify(refusal(response).await),
            Ok(Err(error)) => match Error::transport(&store, error) {
                error if may_pass(&error) => Failure::Broken(error),
                error => Failure::Final(error),
            },
            Err(after) => Failure::Broken(Error::Stalled { peer: store, after }),
        };
        sent.take_back();
        // A file that was cut short looks like a broken connection, one that was rewritten like a wrong checksum.
        self.content.check_unchanged().await.map_err(Failure::Final)?;
        Err(failure)
    }

    /// Asks for this one request again.
    async fn sign(&self) -> Result<Signed> {
        let parts = self.part.map(|part| PartRange { first: part.number, last: part.number });
        let signed = match self.session.presign(&PresignTerms { parts, ..*self.terms }).await? {
            PresignedUpload::Put(put) if self.part.is_none() => Some(Signed::put(put)),
            PresignedUpload::Multipart(multipart) => {
                let number = self.part.map(|part| part.number);
                let part = multipart.parts.into_iter().find(|part| Some(part.part_number) == number);
                part.map(|part| Signed::part(part, multipart.expires_at))
            }
            PresignedUpload::Put(_) => None,
        };
        signed
            .ok_or_else(|| Error::protocol(&self.session.client().peer(), "another part than was asked for"))
    }

    /// Why a URL leads nowhere: another process may have finished the upload, or it has ended.
    async fn is_settled(&self) -> Result<bool> {
        let state = self.session.state().await?;
        match state.status {
            Status::Finalizing | Status::Completed => Ok(true),
            Status::Pending | Status::Uploading => Ok(false),
            Status::Failed | Status::Aborted | Status::Expired => Err(self.session.ended(state)),
        }
    }
}

/// Of another registry, where that is where the bytes come from.
fn passing_or_final(error: Error) -> Failure {
    let asked = error.asked_wait();
    if may_pass(&error) { Failure::Passing(error, asked) } else { Failure::Final(error) }
}

/// What the store's refusal leaves to try.
fn classify(refusal: Refusal) -> Failure {
    let (status, code, asked) = (refusal.status, refusal.code.clone(), refusal.retry_after);
    let error = Error::StoreRefused(refusal);
    match (status, code.as_str()) {
        // S3 uses 400 for a body that came too slowly and for credentials that ran out under the signature.
        (StatusCode::BAD_REQUEST, "RequestTimeout") => Failure::Passing(error, asked),
        (StatusCode::BAD_REQUEST, "ExpiredToken") | (StatusCode::FORBIDDEN, _) => Failure::Signature(error),
        (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Failure::Gone(error),
        _ if is_passing_at_store(status) => Failure::Passing(error, asked),
        _ => Failure::Final(error),
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

/// The request's outcome, or how long it was waited for without a byte moving.
pub(crate) async fn unless_stalled<F: Future>(
    request: F,
    sent: &Sent,
    size: u64,
) -> Result<F::Output, Duration> {
    let mut request = pin!(request);
    loop {
        let before = sent.bytes();
        let patience = if before < size { STALL_TIMEOUT } else { ANSWER_TIMEOUT };
        match tokio::time::timeout(patience, &mut request).await {
            Ok(output) => return Ok(output),
            Err(_) if sent.bytes() == before => return Err(patience),
            Err(_) => {}
        }
    }
}
