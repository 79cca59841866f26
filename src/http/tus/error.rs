//! Errors: tus has no envelope, so it is a status that clients act on and a sentence in plain text.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RANGE};
use axum::response::{IntoResponse, Response};

use super::{RESUMABLE, V1};
use crate::domain::upload::Refusal;
use crate::http::error::HttpError;
use crate::service::ServiceError;

/// A chunk that does not match its checksum (tus 1.0.0, "Checksum").
const CHECKSUM_MISMATCH: u16 = 460;

/// In the statuses of tus: clients ask for the offset at a 409 and a 423, and take every other 4xx for the end.
pub(super) fn refused(error: ServiceError) -> HttpError {
    let status = match &error {
        ServiceError::ChunkMismatch => StatusCode::from_u16(CHECKSUM_MISMATCH).ok(),
        // Also of one that was cut off here: it is to go on from what is kept.
        ServiceError::OffsetMismatch { .. }
        | ServiceError::BodyIncomplete
        | ServiceError::Refused(Refusal::Completed(_)) => Some(StatusCode::CONFLICT),
        ServiceError::Refused(Refusal::Appending | Refusal::LeaseLost | Refusal::Finalizing) => {
            Some(StatusCode::LOCKED)
        }
        ServiceError::Refused(Refusal::Aborted | Refusal::Failed(_)) => Some(StatusCode::GONE),
        _ => None,
    };
    let error = HttpError::from(error);
    match status {
        Some(status) => error.with_status(status),
        None => error,
    }
}

/// Of a `HEAD` that another time may answer: clients take all but a 423 for an upload that is gone, and send everything
/// again (tus-js-client 4.3.1, `lib/upload.js`).
pub(super) fn to_be_asked_again(error: HttpError) -> HttpError {
    if error.status().is_server_error() { error.with_status(StatusCode::LOCKED) } else { error }
}

/// An answer to a whole request. Where there is too much to do clients come again at a 423, and at no 429.
pub(in crate::http) fn rendered(error: HttpError) -> Response {
    let (status, _, message, headers) = error.into_parts();
    let is_passing = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let status = if is_passing { StatusCode::LOCKED } else { status };
    let mut response = (status, format!("{message}\n")).into_response();
    let headers = headers.into_iter().filter(|(name, _)| name != RANGE && name != CONTENT_TYPE);
    response.headers_mut().extend(headers);
    response.headers_mut().insert(RESUMABLE, V1);
    response
}
