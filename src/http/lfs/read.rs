//! `GET …/objects/{oid}`: an object's bytes, where a batch could not send its client to the store.

use axum::http::Uri;
use chrono::{DateTime, Utc};

use crate::domain::access::{Action, Caller};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::http::error::HttpError;
use crate::http::gate::Visitor;
use crate::http::signed_call;
use crate::service::Service;
use crate::storage::signed_call::{CallGrant, CallPurpose};

/// The URL is the permission.
pub(super) fn admit(
    service: &Service,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: Digest,
    uri: &Uri,
) -> Result<(), HttpError> {
    let call = (CallPurpose::ReadBlob, subject(name, &digest));
    signed_call::admit(service, visitor, uri, call, (name, Action::Pull)).map(drop)
}

/// The path with the query that lets its bearer read an object until then, as whoever is let in now. None of a blob that no
/// object's id names, and where this process signs no URLs.
pub(in crate::http) fn signed(
    service: &Service,
    caller: &Caller,
    name: &RepositoryName,
    digest: &Digest,
    ends_at: DateTime<Utc>,
) -> Option<String> {
    if digest.algorithm() != Algorithm::Sha256 {
        return None;
    }
    let grant = CallGrant {
        purpose: CallPurpose::ReadBlob,
        subject: subject(name, digest),
        user: super::user(caller),
        expires: ends_at.timestamp(),
    };
    service.sign_call(&super::path(name, &format!("objects/{}", digest.hex())), &grant).ok()
}

/// What a URL that reads an object is signed for.
pub(super) fn subject(name: &RepositoryName, digest: &Digest) -> String {
    format!("{name}@{digest}")
}
