//! One request to the server: repeated where that can help, refused in the server's own words.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::retry::{Backoff, is_passing, retry_after};
use super::{Client, Error, Refusal, Result, STALL_TIMEOUT};
use crate::http::wire::ErrorEnvelope;

/// Tries to connect before the server has ever answered: enough for one that is starting, short for a typing error.
const FIRST_CONTACT_ATTEMPTS: u32 = 3;
/// Of a store's error so much is read: more than any of them needs.
const MAX_ERROR_BODY: usize = 16 * 1024;
/// Of an error that is no envelope so many characters are shown.
const MAX_SHOWN: usize = 200;

/// A server's whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    peer: String,
}

impl Client {
    /// Sends what `build` makes until the answer is not a passing failure. `limit` is for one try.
    pub(super) async fn call(
        &self,
        limit: Option<Duration>,
        build: impl Fn() -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        let mut backoff = Backoff::new(self.policy);
        loop {
            let (error, asked) =
                match self.attempt(limit.map_or_else(&build, |limit| build().timeout(limit))).await {
                    Ok(answer) if !is_passing(answer.status) => return Ok(answer),
                    Ok(answer) => {
                        let refusal = answer.refusal();
                        let asked = refusal.retry_after;
                        (Error::Refused(refusal), asked)
                    }
                    Err(error) => (Error::transport(&self.peer(), error), None),
                };
            let wait = backoff.next(asked).filter(|_| {
                self.answered.load(Ordering::Relaxed) || backoff.failures() < FIRST_CONTACT_ATTEMPTS
            });
            let Some(wait) = wait else { return Err(error) };
            tracing::debug!(%error, ?wait, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        self.answered.store(true, Ordering::Relaxed);
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?, peer: self.peer() })
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

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.unexpected(format!("JSON that does not fit ({error})")))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::protocol(&self.peer, what)
    }

    fn refusal(&self) -> Refusal {
        read_refusal(self.status, &self.headers, &self.body)
    }
}

/// Reads a store's refusal.
pub(super) async fn refusal(mut response: Response) -> Refusal {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = timeout(STALL_TIMEOUT, response.chunk()).await {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BODY - body.len())]);
        if body.len() == MAX_ERROR_BODY {
            break;
        }
    }
    read_refusal(response.status(), response.headers(), &body)
}

/// Reads an error as OCI or S3 writes it, or as much of the text as helps.
fn read_refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
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
    Refusal { status, code, message, retry_after: retry_after(headers) }
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
