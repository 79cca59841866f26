//! `…/locks`: who keeps others from changing a file. Refs are not told apart: a lock holds on every branch.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use uuid::Uuid;

use super::wire::{
    Lock, LockAnswer, LockPage, LockRequest, OwnedLockPage, UnlockRequest, VerifyLocksRequest,
};
use super::{Answer, body, json};
use crate::domain::access::Caller;
use crate::domain::file_lock::{FileLock, MAX_LOCKED_PATH};
use crate::domain::name::RepositoryName;
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::service::{Locking, Service};

/// Locks on a page: as many as git-lfs shows by default, and what a client may ask for.
const PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;

pub(super) async fn create(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    request: Request,
) -> Answer {
    let asked: LockRequest = body(request).await?;
    match service.lock_file(caller, name, &asked.path).await? {
        Locking::Locked(lock) => json(StatusCode::CREATED, &LockAnswer { lock: lock.into(), message: None }),
        Locking::Held(lock) => {
            let message = Some("the file is locked already");
            json(StatusCode::CONFLICT, &LockAnswer { lock: lock.into(), message })
        }
    }
}

pub(super) async fn list(service: &Arc<Service>, name: &RepositoryName, uri: &Uri) -> Answer {
    let parameters = Parameters::of(uri);
    let limit = parameters.number("limit")?.and_then(|limit| i64::try_from(limit).ok());
    let (path, id) = (parameters.text("path")?, parameters.text("id")?);
    let (locks, next_cursor) = if path.is_some() || id.is_some() {
        let by_path = match path {
            // One that cannot be locked is not.
            Some(path) if FileLock::new(path, None, service.now()).is_ok() => {
                service.file_lock_of(name, path).await?
            }
            _ => None,
        };
        let found = match id.map(Uuid::try_parse) {
            None => by_path,
            Some(Ok(id)) if path.is_none() => service.file_lock(name, id).await?,
            Some(id) => by_path.filter(|lock| id.is_ok_and(|id| id == lock.id)),
        };
        (Vec::from_iter(found), None)
    } else {
        page(service, name, parameters.text("cursor")?, limit).await?
    };
    json(StatusCode::OK, &LockPage { locks: locks.into_iter().map(Lock::from).collect(), next_cursor })
}

/// What a client asks before it pushes.
pub(super) async fn verify(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    request: Request,
) -> Answer {
    let asked: VerifyLocksRequest = body(request).await?;
    let cursor = asked.cursor.filter(|cursor| !cursor.is_empty());
    let (locks, next_cursor) = page(service, name, cursor.as_deref(), asked.limit).await?;
    let (ours, theirs): (Vec<_>, Vec<_>) =
        locks.into_iter().partition(|lock| lock.owner.as_deref() == caller.name());
    let page = OwnedLockPage {
        ours: ours.into_iter().map(Lock::from).collect(),
        theirs: theirs.into_iter().map(Lock::from).collect(),
        next_cursor,
    };
    json(StatusCode::OK, &page)
}

pub(super) async fn unlock(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    id: Uuid,
    request: Request,
) -> Answer {
    let asked: UnlockRequest = body(request).await?;
    let lock = service.unlock_file(caller, name, id, asked.force).await?;
    json(StatusCode::OK, &LockAnswer { lock: lock.into(), message: None })
}

/// The page that begins after the path `cursor`, and where the next one does.
async fn page(
    service: &Arc<Service>,
    name: &RepositoryName,
    cursor: Option<&str>,
    limit: Option<i64>,
) -> Result<(Vec<FileLock>, Option<String>), HttpError> {
    let cursor = cursor.unwrap_or_default();
    if cursor.len() > MAX_LOCKED_PATH || cursor.contains('\0') {
        return Err(HttpError::invalid("cursor= is the next_cursor of an earlier page"));
    }
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
    let (locks, more) = service.file_locks(name, cursor, limit.unwrap_or(PAGE).min(MAX_PAGE)).await?;
    let next = locks.last().filter(|_| more).map(|lock| lock.path.clone());
    Ok((locks, next))
}
