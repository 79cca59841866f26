//! `GET …/objects/{oid}`: an object's bytes, where a batch could not send its client to the store.

use axum::http::Uri;

use crate::domain::access::Action;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::http::error::HttpError;
use crate::http::gate::Visitor;
use crate::http::signed_call;
use crate::service::Service;
use crate::storage::signed_call::CallPurpose;

/// The URL is the permission.
pub(super) async fn admit(
    service: &Service,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: Digest,
    uri: &Uri,
) -> Result<(), HttpError> {
    let call = (CallPurpose::ReadBlob, signed_call::blob(name, &digest));
    signed_call::admit(service, visitor, uri, call, (name, Action::Pull)).await.map(drop)
}
