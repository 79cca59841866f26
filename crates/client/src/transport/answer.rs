//! The answer of a server or a store: read up to a limit, and its refusal in its own words.

use std::str::FromStr;

use bytes::Bytes;
use overside_protocol::wire::ErrorEnvelope;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::STALL_TIMEOUT;
use super::retry::retry_after;
use crate::{Error, Refusal, Result, shortened};

/// The most that is read of a store's error, in bytes: more than any of them needs.
const MAX_ERROR_BODY: usize = 16 * 1024;
/// The most that is read of a registry's error, in bytes: one names every blob that a manifest lacks, and a manifest has
/// at most some thousands.
const MAX_ERROR_ANSWER: usize = 1024 * 1024;
/// The longest other answer that is accepted, in bytes: ten thousand signed URLs are a third of it.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// Characters that are shown of an error that is no envelope, or that quotes what it could not read.
pub(crate) const MAX_SHOWN: usize = 200;
/// Characters that are shown of an error's message: the longest of ours name a few digests.
pub(crate) const MAX_MESSAGE: usize = 1000;
/// Characters that are shown of an error's code: the longest known have 30.
const MAX_CODE: usize = 100;

/// A server's whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    peer: String,
    request: Option<RequestLine>,
}

/// Method and URL of the request that a response answers, without the query, which may hold a signature. Travels with the
/// response.
#[derive(Debug, Clone)]
pub(crate) struct RequestLine(pub String);

impl Answer {
    /// Reads all of a response of `peer`, as far as it is not longer than any has to be.
    pub(crate) async fn read(response: Response, peer: String) -> Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        let request = response.extensions().get().cloned();
        let body = if status.is_client_error() || status.is_server_error() {
            read_start(response, MAX_ERROR_ANSWER).await
        } else {
            read_limited(response, MAX_ANSWER, &peer).await?
        };
        Ok(Self { status, headers, body, peer, request })
    }

    /// The answer if it has this status, else what the server said instead.
    pub(crate) fn expect(self, expected: StatusCode) -> Result<Self> {
        if self.status == expected {
            Ok(self)
        } else if self.status.is_client_error() || self.status.is_server_error() {
            Err(Error::Refused(self.refusal()))
        } else {
            Err(self.unexpected(format!("{} where {expected} was expected", self.status)))
        }
    }

    /// The answer if its status is any 2xx: which of them a server says differs from one to the other.
    pub(crate) fn expect_success(self) -> Result<Self> {
        if self.status.is_success() { Ok(self) } else { self.expect(StatusCode::OK) }
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // It quotes what it does not know.
            let error = shortened(&error.to_string(), MAX_SHOWN);
            self.unexpected(format!("JSON that does not fit ({error})"))
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header's value, where it is there and is what it should be.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.header(name)?.parse().ok()
    }

    pub(crate) fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::protocol(&self.peer, what)
    }

    pub(crate) fn refusal(&self) -> Refusal {
        let request = self.request.clone().map(|line| line.0);
        Refusal { request, ..read_refusal(self.status, &self.headers, &self.body) }
    }
}

/// A whole body, unless it is longer than any answer has to be.
pub(crate) async fn read_limited(mut response: Response, limit: usize, peer: &str) -> Result<Bytes> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::transport(peer, error))? {
        if body.len() + chunk.len() > limit {
            return Err(Error::protocol(peer, format!("more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// The result of a request, or [`Error::Stalled`] if there is none for too long.
pub(crate) async fn unless_silent<T>(peer: &str, request: impl Future<Output = Result<T>>) -> Result<T> {
    let stalled = |_| Error::Stalled { peer: peer.to_owned(), after: STALL_TIMEOUT };
    timeout(STALL_TIMEOUT, request).await.map_err(stalled)?
}

/// Reads the refusal in a response that is an error.
pub(crate) async fn refusal(response: Response) -> Refusal {
    let request = response.extensions().get::<RequestLine>().map(|line| line.0.clone());
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_start(response, MAX_ERROR_BODY).await;
    Refusal { request, ..read_refusal(status, &headers, &body) }
}

/// As much of a body as comes in a short time, up to `limit`: the text of an error is a hint.
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
pub(crate) fn read_refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
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
