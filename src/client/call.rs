//! One request to the server: repeated where that can help, refused in the server's own words.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use url::Url;

use super::auth::Scope;
use super::retry::{Backoff, is_passing, is_passing_at_store, retry_after};
use super::{Client, Error, Refusal, Result, STALL_TIMEOUT, peer, shortened};
use crate::http::wire::{ErrorEnvelope, PRESIGNS};
use crate::telemetry::plain;

/// Tries to connect before the server has ever answered: enough for one that is starting, short for a typing error.
const FIRST_CONTACT_ATTEMPTS: u32 = 3;
/// Of a store's error so much is read: more than any of them needs.
const MAX_ERROR_BODY: usize = 16 * 1024;
/// Of a registry's error: one names every blob that a manifest lacks, and a manifest has at most some thousands.
const MAX_ERROR_ANSWER: usize = 1024 * 1024;
/// Of any other answer so much is taken: ten thousand signed URLs are a third of it.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// Of an error that is no envelope, or that tells what did not fit, so many characters are shown.
pub(super) const MAX_SHOWN: usize = 200;
/// Of an error's message: the longest of ours name a few digests.
pub(super) const MAX_MESSAGE: usize = 1000;
/// Of an error's code: the longest known have 30 characters.
const MAX_CODE: usize = 100;

/// A server's whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    peer: String,
    request: Option<Asked>,
}

/// What an answer is to: method and URL, without the query. Travels with the response.
#[derive(Debug, Clone)]
struct Asked(String);

impl Client {
    /// Sends what `build` makes until the answer is not a passing failure. `limit` is for one try.
    pub(super) async fn call(
        &self,
        limit: Option<Duration>,
        scope: &Scope,
        build: impl Fn() -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        self.call_at(&self.base, limit, scope, build).await
    }

    /// As [`Self::call`], at a place that an answer named.
    pub(super) async fn call_at(
        &self,
        url: &Url,
        limit: Option<Duration>,
        scope: &Scope,
        build: impl Fn() -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        let mut backoff = Backoff::new(self.policy);
        loop {
            let tried =
                self.attempt(url, scope, || limit.map_or_else(&build, |limit| build().timeout(limit)));
            let (error, asked) = match tried.await {
                Ok(answer) if !is_passing(answer.status) => return Ok(answer),
                Ok(answer) => {
                    let refusal = answer.refusal();
                    let asked = refusal.retry_after;
                    (Error::Refused(refusal), asked)
                }
                Err(error) if !may_pass(&error) => return Err(error),
                Err(error) => {
                    let asked = error.asked_wait();
                    (error, asked)
                }
            };
            let wait = backoff.next(asked).filter(|_| {
                self.answered.load(Ordering::Relaxed) || backoff.failures() < FIRST_CONTACT_ATTEMPTS
            });
            let Some(wait) = wait else { return Err(error) };
            tracing::debug!(%error, ?wait, "trying again");
            if let Some(retrying) = self.retrying {
                retrying(&error, wait);
            }
            tokio::time::sleep(wait).await;
        }
    }

    pub(super) async fn attempt(
        &self,
        url: &Url,
        scope: &Scope,
        build: impl Fn() -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        let response = self.send_at(url, scope, || async { Ok(build()) }).await?;
        let (status, headers, peer) = (response.status(), response.headers().clone(), peer(url));
        let request = response.extensions().get().cloned();
        let body = if status.is_client_error() || status.is_server_error() {
            read_start(response, MAX_ERROR_ANSWER).await
        } else {
            read_limited(response, MAX_ANSWER, &peer).await?
        };
        Ok(Answer { status, headers, body, peer, request })
    }

    /// Sends a request once, and again with what a 401 asks for. Any answer but 401 is the caller's to judge.
    pub(super) async fn send_at<F>(
        &self,
        url: &Url,
        scope: &Scope,
        build: impl Fn() -> F + Send + Sync,
    ) -> Result<Response>
    where
        F: Future<Output = Result<RequestBuilder>> + Send,
    {
        if url.origin() != self.base.origin() {
            // Elsewhere nobody is told who we are: a signed URL says all that is needed.
            return self.execute(build().await?, url).await;
        }
        let mut is_second = false;
        loop {
            let (request, token) =
                self.authenticator.apply(&self.destinations, build().await?, scope).await?;
            let response = self.execute(request, url).await?;
            self.answered.store(true, Ordering::Relaxed);
            if response.headers().contains_key(PRESIGNS) {
                self.presigns.store(true, Ordering::Relaxed);
            }
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let can_answer =
                self.authenticator.learn(&self.base, response.headers(), scope, token.as_deref()).await?;
            if is_second || !can_answer {
                let (peer, signed_in) = (self.peer(), self.authenticator.has_credential());
                return Err(Error::Unauthorized { peer, signed_in, refusal: refusal(response).await });
            }
            is_second = true;
        }
    }

    async fn execute(&self, request: RequestBuilder, url: &Url) -> Result<Response> {
        let failed = |error| Error::transport(&peer(url), error);
        let request = request.build().map_err(failed)?;
        let asked = Asked(format!("{} {}{}", request.method(), peer(request.url()), request.url().path()));
        let begun = Instant::now();
        let mut response = self.destinations.to(url)?.execute(request).await.map_err(failed)?;
        let (status, milliseconds) = (response.status().as_u16(), begun.elapsed().as_millis());
        tracing::debug!(request = %plain(&asked.0), status, milliseconds, "answered");
        response.extensions_mut().insert(asked);
        Ok(response)
    }
}

/// Whether the same request may succeed later, where there was no answer to it.
pub(super) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. }
        | Error::Broken { .. }
        | Error::Stalled { .. }
        | Error::Truncated { .. } => true,
        // Of a token service.
        Error::Refused(refusal) => is_passing(refusal.status),
        // Of the store that another registry's blob comes from: a new try gets a new signature.
        Error::StoreRefused(refusal) => {
            is_passing_at_store(refusal.status) || matches!(refusal.status, StatusCode::FORBIDDEN)
        }
        _ => false,
    }
}

impl Answer {
    /// The answer if it has this status, else what the server said instead.
    pub(super) fn expect(self, expected: StatusCode) -> Result<Self> {
        if self.status == expected {
            Ok(self)
        } else if self.status.is_client_error() || self.status.is_server_error() {
            Err(Error::Refused(self.refusal()))
        } else {
            Err(self.unexpected(format!("{} where {expected} was expected", self.status)))
        }
    }

    /// The answer if the server did what it was asked for: which of the 2xx it says differs from one to the other.
    pub(super) fn expect_done(self) -> Result<Self> {
        if self.status.is_success() { Ok(self) } else { self.expect(StatusCode::OK) }
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // It quotes what it does not know.
            let error = shortened(&error.to_string(), MAX_SHOWN);
            self.unexpected(format!("JSON that does not fit ({error})"))
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::protocol(&self.peer, what)
    }

    fn refusal(&self) -> Refusal {
        let request = self.request.clone().map(|asked| asked.0);
        Refusal { request, ..read_refusal(self.status, &self.headers, &self.body) }
    }
}

/// A whole body, unless it is longer than any answer has to be.
pub(super) async fn read_limited(mut response: Response, limit: usize, peer: &str) -> Result<Bytes> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::transport(peer, error))? {
        if body.len() + chunk.len() > limit {
            return Err(Error::protocol(peer, format!("more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// Reads a store's refusal.
pub(super) async fn refusal(response: Response) -> Refusal {
    let request = response.extensions().get::<Asked>().map(|asked| asked.0.clone());
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_start(response, MAX_ERROR_BODY).await;
    Refusal { request, ..read_refusal(status, &headers, &body) }
}

/// As much of a body as comes, in little time and up to `limit`: what an error says is a hint.
async fn read_start(mut response: Response, limit: usize) -> Bytes {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
            if body.len() == limit {
                break;
            }
        }
    };
    // What has come by then says enough.
    let _ = timeout(STALL_TIMEOUT, reading).await;
    body.into()
}

/// Reads an error as OCI or S3 writes it, or as much of the text as helps.
pub(super) fn read_refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let (code, message) = if let Ok(ErrorEnvelope { errors }) = serde_json::from_slice(body) {
        let error = errors.into_iter().next();
        error.map_or_else(Default::default, |error| (error.code, error.message))
    } else {
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_ERROR_BODY)]);
        match element(&text, "Code") {
            Some(code) => (code, element(&text, "Message").unwrap_or_default()),
            None => {
                (String::new(), text.lines().next().unwrap_or_default().chars().take(MAX_SHOWN).collect())
            }
        }
    };
    // A stranger's words, which end up on terminals.
    let (code, message) = (shortened(&code, MAX_CODE), shortened(&message, MAX_MESSAGE));
    Refusal { status, code, message, retry_after: retry_after(headers), request: None }
}

/// The text of the first element of this name: S3's errors are flat, and a hint is all that is made of it.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.chars().take(MAX_SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::element;

    #[test]
    fn an_s3_error_names_its_code() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>BadDigest</Code><Message>no match</Message></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("BadDigest"));
        assert_eq!(element(xml, "Message").as_deref(), Some("no match"));
        assert_eq!(element("<Code>unfinished", "Code"), None);
    }
}
