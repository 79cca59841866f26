//! What the store's refusals and silences mean.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::storage::StorageError;

/// Sorts an SDK error into the caller's terms, by error code and then by status.
pub(in crate::storage) fn classify<E>(
    action: &'static str,
) -> impl FnOnce(SdkError<E, HttpResponse>) -> StorageError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let message = || error.message().unwrap_or("the store gave no reason").to_owned();
        match (error.code(), status) {
            (Some("NoSuchUpload"), _) => StorageError::UploadNotFound,
            (Some("NoSuchKey" | "NotFound"), _) | (None, Some(404)) => StorageError::NotFound,
            (Some("PreconditionFailed"), _) | (_, Some(412)) => StorageError::Precondition,
            (Some("InvalidPart" | "InvalidPartOrder" | "EntityTooSmall"), _) => {
                StorageError::InvalidPart(message())
            }
            (Some("EntityTooLarge"), _) => StorageError::TooLarge(message()),
            (
                Some(
                    "BadDigest"
                    | "InvalidDigest"
                    | "XAmzContentSHA256Mismatch"
                    | "XAmzContentChecksumMismatch",
                ),
                _,
            ) => StorageError::ChecksumMismatch,
            (Some("SlowDown"), _) => StorageError::Busy("the store asks for patience"),
            (Some("NotImplemented"), _) | (_, Some(501)) => {
                StorageError::unsupported(action)(describe(&error))
            }
            _ if is_unreadable(&error) => StorageError::unsupported(action)(describe(&error)),
            (_, Some(status)) if is_refusal(status) => StorageError::refused(action)(describe(&error)),
            _ => StorageError::unavailable(action)(describe(&error)),
        }
    }
}

/// Whether a status blames the request, and would again. A timeout and too many requests pass.
const fn is_refusal(status: u16) -> bool {
    matches!(status, 400..=407 | 409..=424 | 426..=428 | 430..=499)
}

/// Whether the whole answer came, says that it was done, and is none that S3 has. An answer that broke off is kept
/// by nobody.
fn is_unreadable<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata,
{
    let is_whole = |answer: &HttpResponse| answer.body().bytes().is_some_and(|body| !body.is_empty());
    error.code().is_none()
        && error.raw_response().is_some_and(|answer| answer.status().is_success() && is_whole(answer))
}

/// What caused it all, in its own words.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// One line for the log. Never the request: its headers carry a signature.
pub(super) fn describe<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match (error, error.raw_response().map(|response| response.status().as_u16())) {
        (_, Some(status)) if is_unreadable(error) => {
            format!("its answer (HTTP {status}) is none to this request: {}", innermost(error))
        }
        (SdkError::ServiceError(_), Some(status)) => format!(
            "{} (HTTP {status}): {}",
            error.code().unwrap_or("no error code"),
            error.message().unwrap_or("no message")
        ),
        _ => DisplayErrorContext(error).to_string(),
    }
}
