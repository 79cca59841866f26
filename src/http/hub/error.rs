//! Errors as clients of the Hub read them: a code and a text in headers decide what they do and show.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::wire::HubError;
use crate::domain::hub::git::GitOid;
use crate::http::error::HttpError;

const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
pub(super) const REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
/// The codes that clients know (`huggingface_hub/utils/_http.py`).
const REPOSITORY: &str = "RepoNotFound";
const REVISION: &str = "RevisionNotFound";
const ENTRY: &str = "EntryNotFound";
/// Longest text in a header: beyond a few kilobytes clients refuse the whole answer.
const MAX_HEADER: usize = 1_000;

pub(super) fn repository_not_found() -> HttpError {
    let message = "there is no such repository: it is named NAMESPACE/NAME, where the namespace is a project; make it with \
                   `hf repos create`";
    HttpError::new(StatusCode::NOT_FOUND, REPOSITORY, message)
}

pub(super) fn revision_not_found(revision: &str) -> HttpError {
    let message = format!("there is no branch, tag or commit {revision:.200} in this repository");
    HttpError::new(StatusCode::NOT_FOUND, REVISION, message)
}

/// Clients remember that a file is not there, for this commit.
pub(super) fn entry_not_found(path: &str, commit: &GitOid) -> HttpError {
    let message = format!("there is no {path:.200} at this revision");
    HttpError::new(StatusCode::NOT_FOUND, ENTRY, message).with_header(REPO_COMMIT, text(&commit.to_string()))
}

/// Whoever has not signed in is told what they would be told of what is not there.
pub(in crate::http) fn refused(error: HttpError) -> Response {
    let (status, code, message, headers) = error.into_parts();
    let code = if status == StatusCode::UNAUTHORIZED { REPOSITORY } else { &code };
    let mut response = (status, Json(HubError { error: message.clone() })).into_response();
    if [REPOSITORY, REVISION, ENTRY].contains(&code) {
        response.headers_mut().insert(ERROR_CODE, text(code));
    }
    response.headers_mut().insert(ERROR_MESSAGE, text(&message));
    response.headers_mut().extend(headers);
    response
}

/// What a header can carry of a text.
pub(super) fn text(text: &str) -> HeaderValue {
    let shown = text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' });
    HeaderValue::try_from(shown.take(MAX_HEADER).collect::<String>()).unwrap_or(HeaderValue::from_static(""))
}
