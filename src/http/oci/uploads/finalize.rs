//! `PUT /v2/{name}/blobs/uploads/{uuid}?digest=`: finalize, with the last chunk or a list of parts as body. Who does not
//! know the digest asks with `?digest-algorithm=`, and is told.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_RANGE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use overside_protocol::wire::FinalizeBody;

use super::begin::algorithm;
use super::{created, upload_location, uuid_headers};
use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Claim, State, Transfer, Upload, UploadId};
use crate::http::connections::Connection;
use crate::http::error::HttpError;
use crate::http::extract::{INCOMPLETE, Parameters, bytes, chunk, content_length, held, json, lists};
use crate::http::oci::{Answer, location};
use crate::http::ollama;
use crate::http::permit::holding;
use crate::http::upload_redirects::{can_sign_in_stay_behind, follows};
use crate::service::{Chunk, ClientHints, Finalized, Load, NamedPart, Service};

/// RFC 7240
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const RESPOND_ASYNC: &str = "respond-async";
/// A JSON body without its parts, in bytes.
const LONGEST_BODY: usize = 4 * 1024;
/// What it says of one part, in bytes: number, ETag and punctuation in 128, a midstate in 68, and white space.
const LONGEST_PART: usize = 256;

pub(in crate::http::oci) async fn finalize(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    id: UploadId,
    request: Request,
) -> Answer {
    let parameters = Parameters::of(request.uri());
    let claim = claim(&parameters)?;
    let wait = !lists(request.headers(), &PREFER, RESPOND_ASYNC);
    let takes_no_wait = ollama::takes_no_wait(request.headers());
    let mut upload = service.upload(caller, name, id).await?;
    if let (Some(size), Some(digest)) = (to_redirect(&upload, request.headers()), claim.digest()) {
        let signs_in = request.headers().contains_key(AUTHORIZATION);
        let origin = request.extensions().get().cloned();
        let goes = |url: &str| !signs_in || can_sign_in_stay_behind(origin.as_ref(), url);
        if let Some(to) = service.redirect(upload.clone(), size, digest, goes).await? {
            return Ok(redirect(&request, id, to.url));
        }
    }
    let (mut told, mut memory) = (ClientHints::default(), None);
    match &upload.state {
        // With nothing sent so far the body is the blob, even an empty one. Where it can be neither, the claim
        // will say so.
        State::Pending { .. }
            if !is_empty(&request) || claim.digest().is_some_and(|digest| digest.is_of_nothing()) =>
        {
            upload = append(service, upload, claim, request).await?;
        }
        // A last chunk that is here already was sent before a crash between its append and the claim.
        State::Uploading { transfer: Transfer::Proxied(_), .. }
            if !is_empty(&request) && !has_received(&upload, claim, &request)? =>
        {
            upload = append(service, upload, claim, request).await?;
        }
        State::Uploading { transfer: transfer @ (Transfer::Put | Transfer::Multipart { .. }), .. } => {
            let most = longest_body(transfer);
            let length = content_length(request.headers());
            let body = held(service, caller, length, request.into_body(), most).await;
            let held =
                body.map_err(|error| error.into_error(too_long(most), HttpError::invalid(INCOMPLETE)))?;
            let body: FinalizeBody = json(&held.bytes)?;
            memory = held.memory;
            let named = body.parts.into_iter();
            told = ClientHints {
                parts: named.map(|part| NamedPart { number: part.part_number, etag: part.etag }).collect(),
                midstates: body.sha256_midstates,
                part_count: ollama::part_count(&parameters)?,
            };
        }
        // Under way or done: a repeated request gets the one answer, whatever its body. That is read first: containerd
        // takes an answer that comes before it has sent it for a failure ("read/write on closed pipe").
        State::Finalizing { .. } | State::Completed { .. } if !is_empty(&request) => {
            let request = holding(request, service.admit_load(Load::Upload).await?);
            let mut body = bytes(request.into_body());
            while let Some(Ok(_)) = body.next().await {}
        }
        _ => {}
    }
    let finalized = service.finalize(upload, claim, told, caller, wait).await?;
    drop(memory);
    match finalized {
        Finalized::Completed(digest) => {
            if takes_no_wait {
                service.wait_until_readable(name, &digest).await?;
            }
            let mut response = created(name, &digest);
            uuid_headers(&mut response, id);
            Ok(response)
        }
        Finalized::Accepted => {
            let mut response = StatusCode::ACCEPTED.into_response();
            response.headers_mut().insert(LOCATION, upload_location(name, id));
            response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
            uuid_headers(&mut response, id);
            Ok(response)
        }
    }
}

/// What the bytes are to be taken for.
fn claim(parameters: &Parameters) -> Result<Claim, HttpError> {
    match (parameters.digest("digest")?, parameters.algorithm("digest-algorithm")?) {
        (Some(digest), _) => algorithm(parameters, Some(digest)).map(|_| digest.into()),
        (None, Some(algorithm)) => Ok(Claim::Computed(algorithm)),
        (None, None) => Err(HttpError::new(
            StatusCode::BAD_REQUEST,
            "DIGEST_INVALID",
            "finalize with ?digest=, what the bytes should be, or with ?digest-algorithm=sha256 to be told what they are",
        )),
    }
}

/// Whether the last chunk is here already. A digest tells; without one the chunk has to say where it goes, or it would be
/// appended twice by who sends it again.
fn has_received(upload: &Upload, claim: Claim, request: &Request) -> Result<bool, HttpError> {
    let received = upload.state.received().unwrap_or_default();
    match (claim, chunk(request.headers())?.range) {
        (Claim::Digest(digest), _) => Ok(upload.has_received(digest)),
        (Claim::Computed(_), Some(range)) => Ok(range.start < received && range.end == received),
        (Claim::Computed(_), None) if received == 0 => Ok(false),
        (Claim::Computed(_), None) => Err(HttpError::invalid(
            "without a digest the last chunk says where it goes: send Content-Range, or append it by PATCH and finalize \
             without a body",
        )),
    }
}

/// The size of a whole blob that its client may send to the store instead.
fn to_redirect(upload: &Upload, headers: &HeaderMap) -> Option<u64> {
    let may_be = match &upload.state {
        State::Pending { .. } => follows(headers),
        // Who sends it again was redirected before.
        State::Uploading { transfer: Transfer::Redirected, .. } => true,
        _ => false,
    };
    content_length(headers).filter(|size| *size > 0 && may_be && !headers.contains_key(CONTENT_RANGE))
}

/// As soon as the headers are here: the connection ends with it, and what is on its way already is not read.
pub(super) fn redirect(request: &Request, id: UploadId, url: String) -> Response {
    if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
        connection.leave_body();
    }
    let headers = [
        (LOCATION, location(url)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONNECTION, HeaderValue::from_static("close")),
    ];
    let mut response = (StatusCode::TEMPORARY_REDIRECT, headers).into_response();
    uuid_headers(&mut response, id);
    response
}

/// What a client has to tell of its upload, in bytes.
fn longest_body(transfer: &Transfer) -> usize {
    let parts = match transfer {
        Transfer::Multipart { plan, .. } => plan.part_count().into(),
        Transfer::Put | Transfer::Redirected | Transfer::OpenMultipart { .. } | Transfer::Proxied(_) => 0,
    };
    LONGEST_BODY + parts * LONGEST_PART
}

fn too_long(most: usize) -> HttpError {
    let message =
        format!("a JSON body has at most {most} bytes here: the parts of this upload, and nothing else");
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
}

async fn append(
    service: &Arc<Service>,
    upload: Upload,
    claim: Claim,
    request: Request,
) -> Result<Upload, HttpError> {
    let (place, received) =
        (upload_location(&upload.repository, upload.id), upload.state.received().unwrap_or_default());
    let appended = async {
        let last = Chunk { whole: claim.digest(), ..chunk(request.headers())? };
        let request = holding(request, service.admit_load(Load::Upload).await?);
        Ok(service.append(upload, last, bytes(request.into_body())).await?)
    };
    appended.await.map_err(|error: HttpError| error.at(place, received))
}

/// Whether no body comes along: some clients say so by a length of 0, others by not giving any.
fn is_empty(request: &Request) -> bool {
    content_length(request.headers()) == Some(0) || axum::body::HttpBody::is_end_stream(request.body())
}
