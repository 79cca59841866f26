//! What Ollama asks of a registry beside what OCI says (ollama v0.33, `server/upload.go`, `server/download.go` and
//! `x/transfer/upload.go`): to be sent to the store with what it pushes, to be told where what it pulls
//! is, and to sign in with a key.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::error::HttpError;
use super::extract::{Parameters, header, user_agent};
use super::origin::Origin;
use super::signed_call;
use crate::auth::signed_url::UrlSignature;
use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::part::PartNumber;
use crate::service::{Service, SignedRequest};
use crate::storage::PresignedRequest;

/// It asks for a blob's URL once, and for all of its ranges there: 100 GB take so long at 60 Mbit/s.
const PULL_LIFETIME: Duration = Duration::from_hours(4);

/// How it wants to be sent there: `1` with one part after the other, `2` with the whole blob.
const REDIRECT_UPLOADS: HeaderName = HeaderName::from_static("x-redirect-uploads");
/// Of the blob that it is about to send whole, in bytes.
const BLOB_LENGTH: HeaderName = HeaderName::from_static("x-content-length");
/// Where the next part is asked for, beside a `Location` that takes this one.
pub(super) const UPLOAD_LOCATION: HeaderName = HeaderName::from_static("docker-upload-location");
const DIRECT_URL: HeaderName = HeaderName::from_static("x-direct-upload-url");
/// Before the name of a header that goes with the blob.
const SIGNED_HEADER: &str = "x-signed-header-";

/// Whether it is what asks, by its name; a tool around its libraries has another, and asks for nothing of this.
fn is_asking(headers: &HeaderMap) -> bool {
    user_agent(headers).is_some_and(|agent| agent.starts_with("ollama/"))
}

/// Whether it is the one or its library for models of tensors, which fails where the manifest after its blobs is told to
/// come again, and waits for the answer to each blob.
pub(super) fn takes_no_wait(headers: &HeaderMap) -> bool {
    user_agent(headers).is_some_and(|agent| agent.starts_with("ollama"))
}

/// How long the URL of what it pulls lives at least.
pub(super) fn least_url_lifetime(headers: &HeaderMap) -> Duration {
    if is_asking(headers) { PULL_LIFETIME } else { Duration::ZERO }
}

/// The answer with a blob's bytes and a `Location` of the same: it asks once to learn where the bytes are, and reads their
/// ranges there without signing in. A plain `200` it takes for an error.
pub(super) fn with_location(
    service: &Service,
    caller: &Caller,
    blob: (&RepositoryName, &Digest),
    request: &Parts,
    mut response: Response,
) -> Response {
    if response.status() == StatusCode::OK && is_asking(&request.headers) {
        let signs_in = caller.name().is_some();
        let ends_at = service.now() + PULL_LIFETIME;
        let signed = signs_in.then(|| signed_call::path_to_read(service, caller, blob, ends_at)).flatten();
        let place = signed.unwrap_or_else(|| request.uri.path().to_owned());
        if let Ok(place) = HeaderValue::try_from(Origin::complete(request.extensions.get(), place)) {
            response.headers_mut().insert(LOCATION, place);
        }
    }
    response
}

/// Whether a chunk may be answered by the URL of a part.
pub(super) fn is_redirected_with_parts(headers: &HeaderMap) -> bool {
    header(headers, &REDIRECT_UPLOADS) == Some("1")
}

/// Whether an upload may begin with the URL of the whole blob.
pub(super) fn sends_directly(headers: &HeaderMap) -> bool {
    header(headers, &REDIRECT_UPLOADS) == Some("2")
}

/// How long the blob is that will be sent, in bytes.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, HttpError> {
    let Some(text) = header(headers, &BLOB_LENGTH) else { return Ok(None) };
    let invalid = |_| HttpError::invalid("X-Content-Length is a whole number of bytes, in digits");
    text.parse().map(Some).map_err(invalid)
}

/// Says where the blob goes, and which headers go with it.
pub(super) fn send_to(headers: &mut HeaderMap, request: PresignedRequest, origin: Option<&Origin>) {
    // A URL is ASCII.
    let Ok(url) = HeaderValue::try_from(Origin::complete(origin, request.url)) else { return };
    headers.insert(DIRECT_URL, url);
    for (name, value) in request.headers {
        // Its HTTP library sends that by itself.
        if name == CONTENT_LENGTH.as_str() {
            continue;
        }
        let name = HeaderName::try_from(format!("{SIGNED_HEADER}{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// A request for a token that is signed with a key: `Authorization` has no scheme then.
pub(super) fn signed_request(
    request: &Request,
    parameters: &Parameters,
) -> Result<Option<SignedRequest>, HttpError> {
    let header = header(request.headers(), &AUTHORIZATION).filter(|value| !value.contains(' '));
    let Some(signature) = header.and_then(UrlSignature::parse) else { return Ok(None) };
    let missing = |name: &str| HttpError::invalid(format!("a signed request for a token has {name}="));
    let path = request.uri().path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
    let origin = request.extensions().get::<Origin>().filter(|origin| origin.is_certain());
    Ok(Some(SignedRequest {
        signature,
        url: origin.map(|origin| origin.url(path)),
        signed_at: parameters.parse("ts")?.ok_or_else(|| missing("ts"))?,
        nonce: parameters.text("nonce")?.ok_or_else(|| missing("nonce"))?.to_owned(),
    }))
}

/// How many parts were sent: `etag=` is what S3 would say of the blob, the MD5 of its parts' MD5s and their number.
pub(super) fn part_count(parameters: &Parameters) -> Result<Option<PartNumber>, HttpError> {
    let Some(etag) = parameters.text("etag")? else { return Ok(None) };
    let count = etag.rsplit_once('-').and_then(|(_, count)| count.parse().ok());
    count.map(Some).ok_or_else(|| HttpError::invalid("etag= ends in a hyphen and the number of parts"))
}
