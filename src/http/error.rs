//! Service errors in the OCI envelope (distribution 1.1.1, "Error Codes"). The client gets a stable code and
//! a sentence; the log gets the cause, once, here.

use axum::Json;
use axum::http::header::{ALLOW, LOCATION, RANGE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use overside_protocol::wire::{ErrorEntry, ErrorEnvelope};

use crate::auth::password::PasswordError;
use crate::domain::digest::{Digest, DigestError};
use crate::domain::name::NameError;
use crate::domain::upload::{Failure, FailureCode, Refusal};
use crate::log_text::chain;
use crate::service::ServiceError;
use crate::telemetry::line_of_many;

/// When a client may try again what failed for a passing reason.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Missing references that one answer names; whoever lacks more than these lacks everything.
const MAX_ENTRIES: usize = 100;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct HttpError {
    status: StatusCode,
    /// At least one.
    entries: Vec<ErrorEntry>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the project has no room for what was sent: webhooks tell of it.
    is_of_quota: bool,
}

impl HttpError {
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let entry = ErrorEntry { code: code.to_owned(), message: message.into(), detail: None };
        Self { status, entries: vec![entry], headers: Vec::new(), is_of_quota: false }
    }

    /// A request that makes no sense for an upload.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    /// No such endpoint.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is no such endpoint")
    }

    /// The same in Harbor's words, which its clients look at (Harbor, `src/lib/errors/const.go`).
    #[must_use]
    pub fn with_harbors_code(mut self) -> Self {
        let code = match self.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                "BAD_REQUEST"
            }
            StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
            StatusCode::FORBIDDEN => "FORBIDDEN",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
            StatusCode::CONFLICT => "CONFLICT",
            StatusCode::PRECONDITION_FAILED => "PRECONDITION",
            StatusCode::TOO_MANY_REQUESTS => "TOO_MANY_REQUEST",
            _ => "UNKNOWN",
        };
        for entry in &mut self.entries {
            code.clone_into(&mut entry.code);
        }
        self
    }

    /// Status, code, message and headers, for a front door with a shape of its own.
    #[must_use]
    pub fn into_parts(self) -> (StatusCode, String, String, Vec<(HeaderName, HeaderValue)>) {
        let entry = self.entries.into_iter().next();
        let (code, message) = entry.map(|entry| (entry.code, entry.message)).unwrap_or_default();
        (self.status, code, message, self.headers)
    }

    /// What a refusal for want of room in the project says; none for other errors.
    #[must_use]
    pub fn exceeded_quota(&self) -> Option<&str> {
        let entry = self.entries.first().filter(|_| self.is_of_quota)?;
        Some(&entry.message)
    }

    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The same in another status, for a front door whose clients act on that.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With where the upload stands, if this says that a chunk does not fit there: whoever does not know goes on from
    /// that (OCI distribution 1.1.1, "Pushing a blob in chunks").
    #[must_use]
    pub fn at(mut self, location: HeaderValue, received: u64) -> Self {
        if self.status == StatusCode::RANGE_NOT_SATISFIABLE {
            self.headers.push((LOCATION, location));
            if !self.headers.iter().any(|(name, _)| name == RANGE) {
                self.headers.push((RANGE, received_range(received)));
            }
        }
        self
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorEnvelope { errors: self.entries })).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<DigestError> for HttpError {
    fn from(error: DigestError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error.to_string())
    }
}

impl From<NameError> for HttpError {
    fn from(error: NameError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", error.to_string())
    }
}

/// The code of a session that failed for good.
#[must_use]
pub const fn failure_code(failure: &Failure) -> &'static str {
    match failure.code {
        FailureCode::DigestMismatch => "DIGEST_INVALID",
        FailureCode::SizeMismatch => "SIZE_INVALID",
        FailureCode::Vanished => "BLOB_UPLOAD_INVALID",
        FailureCode::QuotaExceeded => "DENIED",
    }
}

impl From<ServiceError> for HttpError {
    fn from(error: ServiceError) -> Self {
        let (status, code) = classify(&error);
        log(&error, status);
        let mut http = match &error {
            ServiceError::Refused(Refusal::Failed(failure)) => {
                Self::new(status, code, failure.message.clone())
            }
            _ => Self::new(status, code, error.to_string()),
        };
        http.is_of_quota = matches!(error, ServiceError::QuotaExceeded(_));
        match error {
            ServiceError::ReferencesUnknown { missing, .. } => {
                Self { entries: unknown(&http, &missing), ..http }
            }
            ServiceError::BlobNeeded => http.with_header(ALLOW, HeaderValue::from_static("GET, HEAD")),
            ServiceError::ManifestListed(_) => {
                http.with_header(ALLOW, HeaderValue::from_static("GET, HEAD, PUT"))
            }
            ServiceError::TooManyRequests { retry_after, .. } => {
                http.with_header(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)))
            }
            ServiceError::OffsetMismatch { expected } => http.with_header(RANGE, received_range(expected)),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                http.with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
            }
            _ => http,
        }
    }
}

/// What only an operator can mend is an error, once a second where every request meets it. What clients bring about by
/// themselves, such as two that send one part, is none: they must not be able to fill the log with what looks like one.
fn log(error: &ServiceError, status: StatusCode) {
    match error {
        ServiceError::Busy(_) | ServiceError::Contended | ServiceError::Stopping => {
            tracing::debug!(error = %chain(error), "a client is to come back");
        }
        _ if status.is_server_error() => {
            // Of its own kind: what happens all the time must not keep out of the log what happens once.
            if let Some(others) = line_of_many(&error.to_string()) {
                tracing::error!(error = %chain(error), others, "request failed");
            }
        }
        _ => {}
    }
}

/// One entry for each reference, as far as anybody reads them.
fn unknown(http: &HttpError, missing: &[Digest]) -> Vec<ErrorEntry> {
    let entries = missing.iter().take(MAX_ENTRIES).flat_map(|digest| {
        let detail = Some(serde_json::json!({ "digest": digest }));
        http.entries.iter().map(move |entry| ErrorEntry { detail: detail.clone(), ..entry.clone() })
    });
    entries.collect()
}

fn classify(error: &ServiceError) -> (StatusCode, &'static str) {
    match error {
        ServiceError::UploadUnknown | ServiceError::Refused(Refusal::Aborted | Refusal::Completed(_)) => {
            (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN")
        }
        ServiceError::Refused(Refusal::Expired) => (StatusCode::GONE, "BLOB_UPLOAD_UNKNOWN"),
        ServiceError::Unauthenticated
        | ServiceError::CredentialsInvalid
        | ServiceError::KeyRefused(_)
        | ServiceError::ScopeInsufficient
        | ServiceError::NotPermitted { by_token: true, .. } => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        ServiceError::Exists(_) => (StatusCode::CONFLICT, "DENIED"),
        ServiceError::InUse(_) => (StatusCode::PRECONDITION_FAILED, "DENIED"),
        ServiceError::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
        ServiceError::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
        ServiceError::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        ServiceError::RepositoryUnknown | ServiceError::Unknown(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        ServiceError::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
        ServiceError::ReferencesUnknown { .. } => (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN"),
        ServiceError::BlobNeeded | ServiceError::ManifestListed(_) => {
            (StatusCode::METHOD_NOT_ALLOWED, "DENIED")
        }
        ServiceError::Refused(Refusal::Failed(failure)) => {
            let is_quota = failure.code == FailureCode::QuotaExceeded;
            let status = if is_quota { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
            (status, failure_code(failure))
        }
        ServiceError::Refused(Refusal::Finalizing | Refusal::Appending | Refusal::LeaseLost) => {
            (StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID")
        }
        ServiceError::Refused(Refusal::Redeclared("digest"))
        | ServiceError::DigestMismatch(_)
        | ServiceError::NotTheDigest(_)
        | ServiceError::ManifestMismatch(_)
        | ServiceError::OtherDigest(_)
        | ServiceError::ChunkMismatch
        | ServiceError::ChecksumMismatch => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        ServiceError::Refused(Refusal::Redeclared(_) | Refusal::UnevenPart(_))
        | ServiceError::SizeInvalid(_) => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
        ServiceError::Refused(Refusal::WrongMode(_) | Refusal::NothingUploaded | Refusal::DeclaredLate)
        | ServiceError::Invalid(_)
        | ServiceError::Password(PasswordError::Length)
        | ServiceError::Vanished
        | ServiceError::Encrypted
        | ServiceError::BodyIncomplete => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
        ServiceError::OffsetMismatch { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
        ServiceError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
        ServiceError::Denied
        | ServiceError::NotPermitted { by_token: false, .. }
        | ServiceError::Forbidden(_)
        | ServiceError::Signature(_)
        | ServiceError::QuotaExceeded(_) => (StatusCode::FORBIDDEN, "DENIED"),
        ServiceError::Token(_)
        | ServiceError::Password(PasswordError::Hash(_))
        | ServiceError::StoreRefused(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        ServiceError::Db(error) if error.is_corrupt() => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        ServiceError::NoSpace(_) => (StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE"),
        ServiceError::Busy(_)
        | ServiceError::Contended
        | ServiceError::Stopping
        | ServiceError::Db(_)
        | ServiceError::Storage(_)
        | ServiceError::Interrupted(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    }
}

/// `Range: 0-<last>` of what an upload has received; `0-0` also where that is nothing, as Docker writes it.
pub(super) fn received_range(received: u64) -> HeaderValue {
    HeaderValue::try_from(format!("0-{}", received.saturating_sub(1)))
        .unwrap_or(HeaderValue::from_static("0-0"))
}
