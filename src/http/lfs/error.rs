//! Errors in the JSON of Git LFS, and in the statuses that its client acts on.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::MEDIA_TYPE;
use super::wire::{LfsError, ObjectError};
use crate::domain::upload::{FailureCode, Refusal};
use crate::http::error::HttpError;
use crate::service::ServiceError;

/// Where git-lfs looks first for how to sign in.
const LFS_AUTHENTICATE: HeaderName = HeaderName::from_static("lfs-authenticate");
/// When a client may try again what failed for a passing reason.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The status that makes git-lfs do the right thing (`lfshttp/errors.go`): it gives an object up at any 5xx, and tries it
/// again at a 429; a 422 is its word for what makes no sense.
fn status(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::GONE => StatusCode::NOT_FOUND,
        status => status,
    }
}

/// An answer to a whole request.
pub(in crate::http) fn rendered(error: HttpError, request_id: Option<String>) -> Response {
    let (found, _, message, headers) = error.into_parts();
    let status = status(found);
    let body = serde_json::to_vec(&LfsError { message, request_id }).unwrap_or_default();
    let mut response = (status, [(CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    for (name, value) in headers {
        if name == WWW_AUTHENTICATE {
            response.headers_mut().insert(LFS_AUTHENTICATE, value.clone());
        }
        response.headers_mut().insert(name, value);
    }
    response
}

/// Why one object of a batch is not transferred. It is final: the client does not ask again by itself.
pub(super) fn of_object(error: ServiceError) -> ObjectError {
    let is_full = is_full(&error);
    let (found, _, message, _) = HttpError::from(error).into_parts();
    let code = match status(found) {
        _ if is_full => StatusCode::INSUFFICIENT_STORAGE,
        StatusCode::PAYLOAD_TOO_LARGE => StatusCode::UNPROCESSABLE_ENTITY,
        status => status,
    };
    ObjectError { code: code.as_u16(), message }
}

/// Of what there is no room for.
pub(super) fn of_upload(error: ServiceError) -> HttpError {
    if is_full(&error) {
        return HttpError::new(StatusCode::INSUFFICIENT_STORAGE, "DENIED", error.to_string());
    }
    error.into()
}

fn is_full(error: &ServiceError) -> bool {
    match error {
        ServiceError::QuotaExceeded(_) => true,
        ServiceError::Refused(Refusal::Failed(failure)) => failure.code == FailureCode::QuotaExceeded,
        _ => false,
    }
}
