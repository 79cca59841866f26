//! `GET …/objects/{oid}`: an object's bytes, where a batch could not send its client to the store.

use std::sync::Arc;

use axum::http::request::Parts;

use super::Answer;
use crate::domain::access::Action;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::http::gate::Visitor;
use crate::http::oci::read_blob;
use crate::http::signed_call;
use crate::service::Service;
use crate::storage::signed_call::CallPurpose;

pub(super) async fn read(
    service: &Arc<Service>,
    visitor: &Visitor,
    name: &RepositoryName,
    digest: Digest,
    request: &Parts,
) -> Answer {
    let call = (CallPurpose::ReadBlob, subject(name, &digest));
    signed_call::admit(service, visitor, &request.uri, call, (name, Action::Pull))?;
    read_blob(service, name, &digest, request).await
}

/// What a URL that reads an object is signed for.
pub(super) fn subject(name: &RepositoryName, digest: &Digest) -> String {
    format!("{name}@{digest}")
}
