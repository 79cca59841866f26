//! Parsing at the edge: query, headers and bodies become domain types or a clear refusal.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::error::HttpError;
use crate::domain::access::Caller;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::range::parse_content_range;
use crate::memory::MemoryShare;
use crate::service::{Chunk, Service, ServiceError, UNCOUNTED_BODY};

/// A large body that others wait for the memory of, in bytes a millisecond: 512 kbit/s bring the largest manifest in
/// a minute.
const HELD_PACE: u64 = 64;
/// How far behind that its sender may fall: two round trips to the other side of the world, and a lost packet.
const HELD_GRACE: Duration = Duration::from_secs(1);
/// Of a body that broke off.
pub(super) const INCOMPLETE: &str = "the body ended before it was complete";
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

    /// One without a value, as templates leave it (`?n=&last=`), is not given. The error is a sentence; which code goes
    /// with it is the endpoint's to say.
    pub fn once(&self, name: &str) -> Result<Option<&str>, String> {
        let named = self.0.iter().filter(|(key, value)| key == name && !value.is_empty());
        let mut values = named.map(|(_, value)| value.as_str());
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
    Ok(Chunk { range, length: content_length(headers), ..Chunk::default() })
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
        _ => Err(Some(INCOMPLETE)),
    }
}

/// A body that is held whole, with the memory that it takes.
pub(super) struct HeldBody {
    pub bytes: Bytes,
    pub memory: Option<MemoryShare>,
}

/// Why a body is not held.
#[derive(Debug, Clone, Copy)]
pub(super) enum NotHeld {
    TooLong,
    Incomplete,
    /// Others wait for the memory that its sender does not fill.
    Slow,
}

impl NotHeld {
    /// With the endpoint's own code for the first two.
    pub fn into_error(self, too_long: HttpError, incomplete: HttpError) -> HttpError {
        match self {
            Self::TooLong => too_long,
            Self::Incomplete => incomplete,
            Self::Slow => ServiceError::TooManyRequests {
                what: "large bodies at once to wait for a slow one",
                retry_after: Duration::from_secs(1),
            }
            .into(),
        }
    }
}

/// Reads a body of at most so many bytes. The beginning is read at once; for the rest there has to be memory. Whoever
/// has that and does not fill it gives it back when others wait.
pub(super) async fn held(
    service: &Service,
    caller: &Caller,
    length: Option<u64>,
    body: Body,
    most: usize,
) -> Result<HeldBody, NotHeld> {
    let announced = length.map_or(Ok(most), usize::try_from).map_err(|_| NotHeld::TooLong)?;
    if announced > most {
        return Err(NotHeld::TooLong);
    }
    let mut body = bytes(body);
    let mut collected = Vec::with_capacity(announced.min(UNCOUNTED_BODY));
    let (mut memory, mut begun): (Option<MemoryShare>, _) = (None, Instant::now());
    loop {
        let due = begun + HELD_GRACE + Duration::from_millis(collected.len() as u64 / HELD_PACE);
        let late = async {
            let Some(memory) = &memory else { return std::future::pending().await };
            tokio::time::sleep_until(due).await;
            memory.wanted().await;
        };
        let piece = tokio::select! {
            biased;
            piece = body.next() => piece,
            () = late => return Err(NotHeld::Slow),
        };
        let Some(piece) = piece else { return Ok(HeldBody { bytes: collected.into(), memory }) };
        let piece = piece.map_err(|_| NotHeld::Incomplete)?;
        let length = collected.len() + piece.len();
        if length > most {
            return Err(NotHeld::TooLong);
        }
        if memory.is_none() && length > UNCOUNTED_BODY {
            memory = Some(service.memory_for_body(caller, announced).await);
            collected.reserve_exact(announced.saturating_sub(collected.len()));
            begun = Instant::now();
        }
        collected.extend_from_slice(&piece);
    }
}

/// An optional JSON object.
pub(super) fn json<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, HttpError> {
    if bytes.is_empty() { Ok(T::default()) } else { object(bytes) }
}

/// Fails unless a request says that its body is JSON: a form on somebody's page could send anything else with the password
/// that a browser remembers.
pub(super) fn says_json(headers: &HeaderMap) -> Result<(), HttpError> {
    let kind = header(headers, &CONTENT_TYPE).and_then(|kind| kind.split(';').next());
    if kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let message = "send the body with Content-Type: application/json";
    Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "", message))
}

/// A JSON object.
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    // serde would take an array for the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(HttpError::invalid("the JSON body: it is no object"));
    }
    serde_json::from_slice(bytes).map_err(|error| HttpError::invalid(format!("the JSON body: {error}")))
}
