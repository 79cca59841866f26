//! What a revision has: `…/revision/`, `…/tree/`, `…/paths-info/` and `…/commits/`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::{entry_not_found, text};
use super::repositories::{is_private, summary};
use super::route::path_of;
use super::wire::{CommitInfo, Entry, Info, PathsRequest, Sibling};
use super::{Answer, Call, whole};
use crate::domain::hub::Revision;
use crate::domain::hub::git::TreeEntry;
use crate::domain::path::Directory;
use crate::http::error::HttpError;
use crate::http::extract::{Parameters, header, object};
use crate::http::origin::Origin;
use crate::service::{MAX_PAGE, Service, ServiceError, TreeWalk};

/// Commits on a page: each has a message of up to 16 KiB.
const MAX_COMMITS: u32 = 50;
/// Paths of one question.
const MAX_PATHS: usize = 1_000;
/// Files in one piece of an answer that is written while it is read.
const FILES_IN_PIECE: usize = 500;

/// An [`Info`], whose files are written while its client reads it: clients know no pages of them.
pub(super) async fn revision(call: &Call<'_>, at: &Revision) -> Answer {
    let commit = call.commit_at(at).await?;
    let is_private = is_private(call.service, call.name()).await?;
    let info = Info {
        summary: summary(&call.repository, is_private),
        sha: commit.oid.to_string(),
        last_modified: commit.at,
        siblings: Vec::new(),
    };
    let mut head = serde_json::to_vec(&info).unwrap_or_default();
    head.pop();
    head.extend_from_slice(br#","siblings":["#);
    let walk = call.service.hub_walk(call.name(), commit.tree, &Directory::ROOT, true, None).await?;
    let service = Arc::clone(call.service);
    let state = walk.map(|walk| (walk, head, true));
    let pieces = stream::try_unfold(state, move |state| {
        let service = Arc::clone(&service);
        async move {
            let Some((mut walk, mut piece, is_first)) = state else { return Ok(None) };
            let is_done = write_files(&service, &mut walk, &mut piece, is_first)
                .await
                .map_err(std::io::Error::other)?;
            let rest = if is_done { None } else { Some((walk, Vec::new(), false)) };
            Ok::<_, std::io::Error>(Some((Bytes::from(piece), rest)))
        }
    });
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(pieces)).into_response())
}

/// Some more files; true once these were the last.
async fn write_files(
    service: &Service,
    walk: &mut TreeWalk,
    piece: &mut Vec<u8>,
    mut is_first: bool,
) -> Result<bool, ServiceError> {
    for _ in 0..FILES_IN_PIECE {
        let Some((path, entry)) = walk.next(service).await? else {
            piece.extend_from_slice(b"]}");
            return Ok(true);
        };
        if matches!(entry, TreeEntry::File(_)) {
            if !is_first {
                piece.push(b',');
            }
            is_first = false;
            // Text: nothing of it cannot be written.
            let _ = serde_json::to_writer(&mut *piece, &Sibling { rfilename: path });
        }
    }
    Ok(false)
}

/// A page of a directory. The next one is of the same commit, whatever the branch points to by then.
pub(super) async fn tree(call: &Call<'_>, at: &Revision, directory: &Directory) -> Answer {
    let parameters = Parameters::of(&call.request.uri);
    let is_recursive = matches!(parameters.text("recursive")?, Some("true" | "True" | "1"));
    let limit = parameters.number("limit")?.unwrap_or(u64::MAX).clamp(1, u64::from(MAX_PAGE));
    let cursor = parameters.once("cursor").map_err(HttpError::invalid)?.map(path_of).transpose()?;
    let commit = call.commit_at(at).await?;
    let walk =
        call.service.hub_walk(call.name(), commit.tree, directory, is_recursive, cursor.as_ref()).await?;
    let shown = directory.path().map_or("", |path| path.as_str());
    let mut walk = walk.ok_or_else(|| entry_not_found(shown, &commit.oid))?;
    let mut entries = Vec::new();
    while (entries.len() as u64) < limit
        && let Some((path, entry)) = walk.next(call.service).await?
    {
        entries.push(Entry::new(path, &entry));
    }
    let last = entries.last().map(|entry| entry.path.clone()).filter(|_| entries.len() as u64 >= limit);
    let has_more = last.is_some() && walk.next(call.service).await?.is_some();
    let mut response = Json(entries).into_response();
    if let Some(last) = last.filter(|_| has_more) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let name = &call.repository.name;
        let below: Vec<_> = shown.split('/').map(encode).collect();
        let path = format!(
            "/api/{}/{name}/tree/{}/{}?recursive={is_recursive}&limit={limit}&cursor={}",
            name.kind,
            commit.oid,
            below.join("/"),
            encode(&last)
        );
        link_next(call, &mut response, path);
    }
    Ok(response)
}

fn link_next(call: &Call<'_>, response: &mut axum::response::Response, path: String) {
    let url = Origin::complete(call.request.extensions.get(), path);
    // What was encoded, and names of ours: all of it ASCII. A path of a thousand bytes is three times as long.
    if let Ok(link) = axum::http::HeaderValue::try_from(format!("<{url}>; rel=\"next\"")) {
        response.headers_mut().insert(LINK, link);
    }
}

pub(super) async fn paths_info(call: &Call<'_>, at: &Revision, body: Body) -> Answer {
    let kind = header(&call.request.headers, &CONTENT_TYPE).unwrap_or_default();
    let body = whole(call.service, call.caller, &call.request, body).await?;
    let paths = if kind.starts_with("application/json") {
        object::<PathsRequest>(&body)?.paths
    } else {
        Parameters::of_form(&body).all("paths").map(str::to_owned).collect()
    };
    if paths.len() > MAX_PATHS {
        return Err(HttpError::invalid(format!("ask for at most {MAX_PATHS} paths at a time")));
    }
    let commit = call.commit_at(at).await?;
    let mut entries = Vec::new();
    for path in paths {
        let Ok(path) = path_of(path.trim_end_matches('/')) else { continue };
        if let Some(entry) = call.service.hub_entry(call.name(), commit.tree, &path).await? {
            entries.push(Entry::new(path.to_string(), &entry));
        }
    }
    Ok(Json(entries).into_response())
}

pub(super) async fn commits(call: &Call<'_>, at: &Revision) -> Answer {
    let from = call.commit_at(at).await?;
    let found = call.service.hub_history(call.name(), &from.oid, MAX_COMMITS).await?;
    let next = found.last().filter(|_| found.len() >= MAX_COMMITS as usize).and_then(|last| last.parent);
    let commits: Vec<_> = found.into_iter().map(CommitInfo::from).collect();
    let mut response = Json(commits).into_response();
    if let Some(next) = next {
        let name = &call.repository.name;
        link_next(call, &mut response, format!("/api/{}/{name}/commits/{next}", name.kind));
    }
    response.headers_mut().insert(super::error::REPO_COMMIT, text(&from.oid.to_string()));
    Ok(response)
}
