//! Requests that a URL of ours permits by itself: see [`crate::storage::signed_call`].

use axum::http::Uri;

use super::error::HttpError;
use super::extract::Parameters;
use super::gate::Visitor;
use crate::domain::access::{Action, Caller};
use crate::domain::name::RepositoryName;
use crate::service::{Service, ServiceError};
use crate::storage::signed_call::{CallGrant, CallPurpose};
use crate::storage::signed_url::SignatureError;

/// Whoever the URL was signed for, if it was signed for this purpose and about this subject. Whatever the request signs in
/// with is not looked at.
pub(super) fn admit(
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
    let caller = service.caller_of_call(&grant, signature, right, visitor.address())?;
    visitor.identify_as(service, &caller)?;
    Ok(caller)
}
