//! `POST …/preupload/{revision}` and `…/commit/{revision}`: how files are to be sent, and the commit that gives them their
//! paths. A commit is lines of JSON, which are read one after the other.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::route::path_of;
use super::wire::{AnsweredFile, Committed, Header, Line, Preupload, PreuploadRequest};
use super::{Answer, Call, json, revision_not_found, shown};
use crate::domain::access::Caller;
use crate::domain::hub::git::{TreeEntry, pointed};
use crate::domain::hub::{RefKind, Revision};
use crate::domain::name::RepositoryName;
use crate::http::error::HttpError;
use crate::http::extract::{INCOMPLETE, Parameters, bytes, user_agent};
use crate::service::{HubChange, HubCommitted, NewHubCommit, Service};

/// Files of one question: clients ask about 256.
const MAX_FILES: usize = 1_000;
/// Larger files come by way of Git LFS: what comes with a commit passes through this service.
const MAX_REGULAR: u64 = 10 * 1024;
/// A file of up to 48 KiB in Base64: a client may not have asked.
const MAX_LINE: usize = 64 * 1024;
/// Changes in one commit, and bytes of all their paths: some megabytes in memory.
const MAX_CHANGES: usize = 10_000;
const MAX_PATHS: usize = 2 * 1024 * 1024;
/// Files of one commit that are stored at the same time.
const STORED_AT_ONCE: usize = 4;
/// Longest message of a commit, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;

pub(super) async fn preupload(call: &Call<'_>, at: &Revision, body: Body) -> Answer {
    without_pull_request(&Parameters::of(&call.request.uri))?;
    let asked: PreuploadRequest = json(call.service, call.caller, &call.request, body).await?;
    if asked.files.len() > MAX_FILES {
        return Err(HttpError::invalid(format!("ask about at most {MAX_FILES} files at a time")));
    }
    let commit = call.commit_at(at).await?;
    let mut files = Vec::with_capacity(asked.files.len());
    for file in asked.files {
        let path = path_of(&file.path)?;
        let oid = match call.service.hub_entry(call.name(), commit.tree, &path).await? {
            Some(TreeEntry::File(found)) if found.is_lfs => Some(found.digest.hex()),
            Some(TreeEntry::File(found)) => Some(found.oid.to_string()),
            _ => None,
        };
        let upload_mode = if file.size > MAX_REGULAR { "lfs" } else { "regular" };
        files.push(AnsweredFile { path: file.path, upload_mode, should_ignore: false, oid });
    }
    Ok(Json(Preupload { files }).into_response())
}

pub(super) async fn commit(call: &Call<'_>, at: &Revision, body: Body) -> Answer {
    let (Revision::Named(branch) | Revision::Ref(RefKind::Branch, branch)) = at else {
        return Err(HttpError::invalid(format!("{} is no branch; commit to a branch", shown(at))));
    };
    without_pull_request(&Parameters::of(&call.request.uri))?;
    // What is sent to a branch that is not there is not stored first.
    let found = Revision::Ref(RefKind::Branch, branch.clone());
    call.commit_at(&found).await?;
    let mut lines = Box::pin(lines(bytes(body)));
    let first = lines.next().await.transpose()?;
    let header = first.as_deref().map(parse).transpose()?;
    let Some(Line::Header(header)) = header else {
        return Err(HttpError::invalid("the first line of a commit is its header"));
    };
    let parent = header.parent_commit.as_deref().map(|oid| oid.parse().map_err(|_| moved(oid, None)));
    let (parent, message) = (parent.transpose()?, message(&header)?);
    let store = Store {
        service: call.service,
        caller: call.caller,
        repository: call.name(),
        agent: user_agent(&call.request.headers),
    };
    let changes = lines.map(|line| store.change(line)).buffered(STORED_AT_ONCE);
    let (changes, _) = changes
        .try_fold((Vec::new(), 0), async |(mut changes, paths), change| {
            let paths = paths + path_in(&change).len();
            if changes.len() >= MAX_CHANGES || paths > MAX_PATHS {
                return Err(too_long(&format!("a commit has at most {MAX_CHANGES} changes here")));
            }
            changes.push(change);
            Ok((changes, paths))
        })
        .await?;
    let new = NewHubCommit { branch: branch.clone(), parent, message, changes };
    match call.service.commit_to_hub(call.caller, call.name(), new).await? {
        HubCommitted::Done(commit) => {
            let committed = Committed {
                success: true,
                commit_oid: commit.oid.to_string(),
                commit_url: call.url(&format!("/commit/{}", commit.oid)),
                hook_output: "",
            };
            Ok(Json(committed).into_response())
        }
        HubCommitted::Moved(head) => {
            Err(moved(header.parent_commit.as_deref().unwrap_or_default(), Some(&head.to_string())))
        }
        HubCommitted::NoBranch => Err(revision_not_found(branch.as_str())),
    }
}

/// Where the files that come with a commit go.
struct Store<'a> {
    service: &'a Arc<Service>,
    caller: &'a Caller,
    repository: &'a RepositoryName,
    agent: Option<&'a str>,
}

impl Store<'_> {
    async fn change(&self, line: Result<Bytes, HttpError>) -> Result<HubChange, HttpError> {
        match parse(&line?)? {
            Line::Header(_) => Err(HttpError::invalid("a commit has one header, in its first line")),
            Line::File(file) => {
                let path = path_of(&file.path)?;
                let content = match file.encoding.as_deref() {
                    Some("base64") => STANDARD
                        .decode(&file.content)
                        .map_err(|_| HttpError::invalid(format!("{path}: its content is no Base64")))?,
                    None | Some("utf-8") => file.content.into_bytes(),
                    Some(other) => {
                        return Err(HttpError::invalid(format!(
                            "{path}: no encoding {other:.20} is known; send base64"
                        )));
                    }
                };
                // In a tree the two would have one name. A checkout without git-lfs has pointers for files.
                if let Some((digest, size)) = pointed(&content) {
                    return Ok(HubChange::PutLfs { path, digest, size: Some(size) });
                }
                let stored = self
                    .service
                    .put_hub_file(self.caller, self.repository, content.into(), self.agent)
                    .await?;
                Ok(HubChange::Put { path, file: stored })
            }
            Line::LfsFile(file) => {
                let path = path_of(&file.path)?;
                let is_sha256 = file.algo.is_none_or(|algorithm| algorithm == "sha256");
                let digest = format!("sha256:{}", file.oid).parse().ok().filter(|_| is_sha256);
                let digest = digest.ok_or_else(|| {
                    HttpError::invalid(format!(
                        "{path}: its oid is a SHA-256: 64 hexadecimal digits in lower case"
                    ))
                })?;
                Ok(HubChange::PutLfs { path, digest, size: file.size })
            }
            Line::DeletedFile(deleted) | Line::DeletedFolder(deleted) => {
                Ok(HubChange::Delete { path: path_of(deleted.path.trim_end_matches('/'))? })
            }
        }
    }
}

fn path_in(change: &HubChange) -> &str {
    let (HubChange::Put { path, .. } | HubChange::PutLfs { path, .. } | HubChange::Delete { path }) = change;
    path.as_str()
}

fn parse(line: &[u8]) -> Result<Line, HttpError> {
    serde_json::from_slice(line).map_err(|error| HttpError::invalid(format!("a line of the commit: {error}")))
}

/// Lines that are not empty, as their bytes come in.
fn lines(
    body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
) -> impl Stream<Item = Result<Bytes, HttpError>> + Send {
    // What was read, how much of that has no end of a line, and whether it is all.
    let state = (body, BytesMut::new(), 0, false);
    stream::try_unfold(state, |(mut body, mut read, mut searched, mut is_done)| async move {
        loop {
            let end = read.get(searched..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
            let end = end.map(|end| searched + end + 1).or(is_done.then_some(read.len()));
            if end.unwrap_or(read.len()) > MAX_LINE {
                return Err(too_long(&format!(
                    "a line of a commit has at most {MAX_LINE} bytes here; send larger files through Git LFS, as the answer \
                     to preupload says"
                )));
            }
            if let Some(end) = end {
                let line = read.split_to(end).freeze();
                searched = 0;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some((line, (body, read, searched, is_done))));
                }
                if is_done && read.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            searched = read.len();
            match body.next().await {
                Some(piece) => read.extend_from_slice(&piece.map_err(|_| HttpError::invalid(INCOMPLETE))?),
                None => is_done = true,
            }
        }
    })
}

fn message(header: &Header) -> Result<String, HttpError> {
    let description = header.description.as_deref().unwrap_or_default().trim_end();
    let message = match description {
        "" => header.summary.clone(),
        description => format!("{}\n\n{description}", header.summary),
    };
    // PostgreSQL takes no text with a NUL, and neither does Git.
    if message.len() > MAX_MESSAGE || message.contains('\0') {
        return Err(HttpError::invalid(format!(
            "a commit's message has at most {MAX_MESSAGE} bytes, and no NUL"
        )));
    }
    Ok(message)
}

fn without_pull_request(parameters: &Parameters) -> Result<(), HttpError> {
    if matches!(parameters.text("create_pr")?, None | Some("0" | "false" | "False")) {
        return Ok(());
    }
    let message = "pull requests are not kept here; commit to a branch";
    Err(HttpError::new(StatusCode::NOT_IMPLEMENTED, "UNSUPPORTED", message))
}

fn moved(parent: &str, head: Option<&str>) -> HttpError {
    let now = head.map_or_else(String::new, |head| format!(", which points to {head}"));
    let message = format!(
        "{parent:.60} is not what the branch points to{now}; look at what has changed, and commit again"
    );
    HttpError::new(StatusCode::PRECONDITION_FAILED, "DENIED", message)
}

fn too_long(message: &str) -> HttpError {
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
}
