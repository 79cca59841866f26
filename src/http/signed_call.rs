//! Requests that a URL of ours permits by itself: see [`crate::storage::signed_call`].

use axum::http::Uri;
use chrono::{DateTime, Utc};

use super::endpoint::LFS;
use super::error::HttpError;
use super::extract::Parameters;
use super::gate::Visitor;
use crate::domain::access::{Action, Caller};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::service::{Service, ServiceError};
use crate::storage::signed_call::{CallGrant, CallPurpose};
use crate::storage::signed_url::SignatureError;

/// What a URL that reads a blob is signed for.
pub(super) fn blob(name: &RepositoryName, digest: &Digest) -> String {
    format!("{name}@{digest}")
}

/// The path with the query that lets its bearer read a blob until then, as whoever is let in now: one of Git LFS, which has
/// such URLs. None of a blob that no object's id names, and where this process signs no URLs.
pub(super) fn path_to_read(
    service: &Service,
    caller: &Caller,
    (name, digest): (&RepositoryName, &Digest),
    ends_at: DateTime<Utc>,
) -> Option<String> {
    if digest.algorithm() != Algorithm::Sha256 {
        return None;
    }
    let grant = CallGrant {
        purpose: CallPurpose::ReadBlob,
        subject: blob(name, digest),
        user: caller.name().map(str::to_owned),
        expires: ends_at.timestamp(),
    };
    service.sign_call(&lfs_path(name, &format!("objects/{}", digest.hex())), &grant).ok()
}

/// A path of Git LFS about a repository. What a name ends with as that of a Git host's does is taken off there.
pub(super) fn lfs_path(name: &RepositoryName, rest: &str) -> String {
    let suffix = name.as_str().strip_suffix(".git").map_or("", |_| ".git");
    format!("/{name}{suffix}{LFS}{rest}")
}

/// Whoever the URL was signed for, if it was signed for this purpose and about this subject. Whatever the request signs in
/// with is not looked at.
pub(super) async fn admit(
    service: &Service,
    visitor: &Visitor,
    uri: &Uri,
    (purpose, subject): (CallPurpose, String),
    right: (&RepositoryName, Action),
) -> Result<Caller, HttpError> {
    let parameters = Parameters::of(uri);
    let mismatch = || HttpError::from(ServiceError::Signature(SignatureError::Mismatch));
    let expires = parameters.number("expires")?.and_then(|expires| i64::try_from(expires).ok());
    let user = parameters.once("user").map_err(|_| mismatch())?.map(str::to_owned);
    let signature = parameters.text("signature")?.ok_or_else(mismatch)?;
    let grant = CallGrant { purpose, subject, user, expires: expires.ok_or_else(mismatch)? };
    let caller = service.caller_of_call(&grant, signature, right, visitor.address()).await?;
    visitor.identify_as(service, &caller)?;
    Ok(caller)
}
