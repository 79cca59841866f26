//! Parsing at the edge: query, headers and bodies become domain types or a clear refusal.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

use super::error::HttpError;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::range::parse_content_range;
use crate::service::Chunk;

/// JSON bodies: ten thousand parts of 128 bytes each (number, ETag, punctuation) with a midstate of 68 each, and
/// room to spare.
const MAX_JSON_SIZE: usize = 3 * 1024 * 1024;
/// A small body must be here within this.
const SMALL_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest value of a parameter, in bytes: no name, digest or media type has more than a few hundred.
const MAX_VALUE: usize = 1024;

/// The query, each parameter at most once. Unknown ones are left to whoever sent them.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Of a body of `application/x-www-form-urlencoded`.
    pub fn of_form(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, HttpError> {
        self.short(name).map_err(HttpError::invalid)
    }

    /// As [`Self::once`], of what goes into a statement or is compared with something: databases refuse what is far
    /// longer than anything that they have.
    pub fn short(&self, name: &str) -> Result<Option<&str>, String> {
        match self.once(name)? {
            Some(value) if value.len() > MAX_VALUE => Err(format!("{name}= has at most {MAX_VALUE} bytes")),
            value => Ok(value),
        }
    }

    /// The error is a sentence; which code goes with it is the endpoint's to say.
    pub fn once(&self, name: &str) -> Result<Option<&str>, String> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(format!("{name}= may be given once")),
            (value, None) => Ok(value),
        }
    }

    /// Every value of a parameter that may be given more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn parse<T>(&self, name: &str) -> Result<Option<T>, HttpError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let parse =
            |text: &str| text.parse().map_err(|error| HttpError::invalid(format!("{name}=: {error}")));
        self.text(name)?.map(parse).transpose()
    }

    pub fn digest(&self, name: &str) -> Result<Option<Digest>, HttpError> {
        Ok(self.once(name).map_err(HttpError::invalid)?.map(str::parse).transpose()?)
    }

    pub fn algorithm(&self, name: &str) -> Result<Option<Algorithm>, HttpError> {
        Ok(self.once(name).map_err(HttpError::invalid)?.map(str::parse).transpose()?)
    }

    /// A whole number of bytes or seconds.
    pub fn number(&self, name: &str) -> Result<Option<u64>, HttpError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let number = text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        number.map(Some).ok_or_else(|| HttpError::invalid(format!("{name}= is a whole number, in digits")))
    }

    pub fn is_true(&self, name: &str) -> Result<bool, HttpError> {
        match self.text(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(HttpError::invalid(format!("{name}= is true or false"))),
        }
    }
}

/// A header as text; one with other bytes counts as absent.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a list header (`Prefer`, `Accept`) names `item`, whatever parameters it carries.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value
            .split(',')
            .any(|entry| entry.split(';').next().is_some_and(|entry| entry.trim().eq_ignore_ascii_case(item)))
    })
}

pub(super) fn user_agent(headers: &HeaderMap) -> Option<&str> {
    header(headers, &USER_AGENT)
}

/// `Content-Length` in bytes; hyper has refused malformed ones.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// Where the body of an append goes. A range that cannot be read gets the answer of one that does not fit.
pub(super) fn chunk(headers: &HeaderMap) -> Result<Chunk, HttpError> {
    let range = match headers.get(CONTENT_RANGE) {
        None => None,
        Some(value) => Some(value.to_str().ok().and_then(parse_content_range).ok_or_else(|| {
            let message = "Content-Range is written <first byte>-<last byte>";
            HttpError::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message)
        })?),
    };
    Ok(Chunk { range, length: content_length(headers), whole: None })
}

/// The body's bytes as they come, broken off when the sender makes no progress (`connections::Lingering`).
pub(super) fn bytes(body: Body) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin + 'static {
    TryStreamExt::map_err(body.into_data_stream(), std::io::Error::other)
}

/// A small body, all of it. The error says how it broke off; nothing when it has more than `most` bytes.
pub(super) async fn whole(body: Body, most: usize) -> Result<Bytes, Option<&'static str>> {
    match tokio::time::timeout(SMALL_BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(None),
        _ => Err(Some("the body ended before it was complete")),
    }
}

/// An optional JSON body of bounded size.
pub(super) async fn json<T: DeserializeOwned + Default>(body: Body) -> Result<T, HttpError> {
    let bytes = whole(body, MAX_JSON_SIZE).await.map_err(|broken| {
        broken.map_or_else(
            || {
                let message = format!("a JSON body has at most {MAX_JSON_SIZE} bytes");
                HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
            },
            HttpError::invalid,
        )
    })?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    // serde would take an array for the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(HttpError::invalid("the JSON body: it is no object"));
    }
    serde_json::from_slice(&bytes).map_err(|error| HttpError::invalid(format!("the JSON body: {error}")))
}
