//! One signed PUT to the store, repeated until the store has the bytes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use overside_protocol::part::{Part, PartPlan, PartRange};
use overside_protocol::upload::{Status, TransferMode};
use overside_protocol::wire::{CompletedPart, PresignedPart, PresignedPut, PresignedUpload};
use reqwest::Response;
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::content::Content;
use super::session::PresignTerms;
use crate::progress::{Progress, Sent};
use crate::transport::STALL_TIMEOUT;
use crate::transport::address::peer;
use crate::transport::answer::refusal;
use crate::transport::retry::{Failure, Remedy};
use crate::{Error, Result, Session, shortened};

/// Parts in flight where nothing else is asked for: fills most lines, and four parts of 8 MiB fit any store's limits.
pub(crate) const DEFAULT_JOBS: usize = 4;
/// After the last byte the store may still have to move a part of 5 GiB into place before it answers.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);
/// Of a header's name so many characters are shown.
const MAX_NAME: usize = 60;

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
#[derive(Debug, Clone, Copy)]
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
        let mut retry = self.session.client().retry(self.progress);
        let mut remedy = Remedy::Again;
        loop {
            let lane = self.lanes.enter().await;
            if remedy == Remedy::SignAnew || signed.has_expired() {
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
            let failure = match attempted {
                Ok(etag) => return Ok(Delivered::Stored(etag)),
                Err(failure) => failure,
            };
            if failure.is_gone() && self.is_settled().await? {
                return Ok(Delivered::Settled);
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

    async fn attempt(&self, signed: &Signed) -> Result<Option<String>, Failure> {
        let (offset, size) = self.extent();
        let client = self.session.client();
        let url = Url::parse(&signed.url).map_err(|_| client.unexpected("a signed URL that is none"))?;
        let (store, sent) = (peer(&url), Sent::new(self.progress));
        let headers = signed_headers(&signed.headers, size).map_err(|what| client.unexpected(what))?;
        // Of another registry, where that is where the bytes come from.
        let stream = self.content.stream(offset, size).await.map_err(Failure::of)?;
        let request =
            client.destinations.to(&url)?.put(url).headers(headers).body(client.body(stream, &sent));
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
        signed.ok_or_else(|| self.session.client().unexpected("another part than was asked for"))
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
    sent: &Sent,
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
