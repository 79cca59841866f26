//! `HEAD` and `GET …/resolve/{revision}/{path}`: a file's bytes, from the bucket where there is one.

use std::time::Duration;

use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};

use super::error::{REPO_COMMIT, entry_not_found, text};
use super::{Answer, Call};
use crate::domain::hub::Revision;
use crate::domain::hub::git::TreeEntry;
use crate::domain::path::FilePath;
use crate::http::download;

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
/// A client asks once, and goes on with the same URL where the download breaks off.
const URL_LIFETIME: Duration = Duration::from_hours(1);

/// Clients read the three headers of the first answer, and follow it to the bucket without them.
pub(super) async fn file(call: &Call<'_>, at: &Revision, path: &FilePath) -> Answer {
    let commit = call.commit_at(at).await?;
    let entry = call.service.hub_entry(call.name(), commit.tree, path).await?;
    let Some(TreeEntry::File(file)) = entry else { return Err(entry_not_found(path.as_str(), &commit.oid)) };
    let blob = call.service.hub_blob(call.caller, call.name(), path, &file).await?;
    let mut response = download::send_for(call.service, blob, &call.request, URL_LIFETIME).await?;
    if response.headers().contains_key(LOCATION) {
        *response.status_mut() = StatusCode::FOUND;
    }
    let headers = response.headers_mut();
    // What is compared when it is asked again; a redirect has none by itself.
    headers.entry(ETAG).or_insert_with(|| text(&download::quoted(&file.digest)));
    // Becomes a file's name in clients' caches.
    let etag = text(&format!("\"{}\"", file.digest.hex()));
    headers.insert(LINKED_ETAG, etag);
    headers.insert(LINKED_SIZE, HeaderValue::from(file.size));
    headers.insert(REPO_COMMIT, text(&commit.oid.to_string()));
    Ok(response)
}
