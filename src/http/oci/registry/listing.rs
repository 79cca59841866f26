//! `/v2/{name}/tags/list`, `/v2/{name}/blobs/`, `/v2/_catalog` and `/v2/{name}/referrers/{digest}`, a page at a time: `n`
//! and `last` as in OCI distribution 1.1.1, "Listing Tags"; `Link` leads to the next page (RFC 8288).

use std::fmt::Display;
use std::sync::Arc;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use overside_protocol::wire;
use url::form_urlencoded;

use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::manifest::INDEX;
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::http::oci::{Answer, location};
use crate::service::{MAX_PAGE, Service};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const ARTIFACT_TYPE: &str = "artifactType";

pub(in crate::http::oci) async fn tags(service: &Arc<Service>, name: &RepositoryName, uri: &Uri) -> Answer {
    let parameters = Parameters::of(uri);
    let limit = limit(&parameters)?;
    let page = service.tags(name, last(&parameters)?, limit).await?;
    let next = page.entries.last().filter(|_| page.has_more);
    let link = next.map(|last| next_page(uri, limit, last, None));
    Ok(linked(Json(wire::TagList { name: name.to_string(), tags: page.entries }), link))
}

/// What a repository has, whether a manifest names it or not: OCI has no listing of blobs.
pub(in crate::http::oci) async fn blobs(service: &Arc<Service>, name: &RepositoryName, uri: &Uri) -> Answer {
    let parameters = Parameters::of(uri);
    let limit = limit(&parameters)?;
    let last = once(&parameters, "last")?.map(str::parse).transpose();
    let last = last.map_err(|_| unusable("last= is the number in the Link of the page before"))?;
    let page = service.blobs(name, last.unwrap_or_default(), limit).await?;
    let next = page.entries.last().filter(|_| page.has_more);
    let link = next.map(|(last, _)| next_page(uri, limit, last, None));
    let blobs = page.entries.into_iter().map(|(_, blob)| blob).collect();
    Ok(linked(Json(wire::BlobList { name: name.to_string(), blobs }), link))
}

pub(in crate::http::oci) async fn catalog(service: &Arc<Service>, caller: &Caller, uri: &Uri) -> Answer {
    let parameters = Parameters::of(uri);
    let limit = limit(&parameters)?;
    let page = service.repositories(caller, last(&parameters)?, limit).await?;
    let next = page.entries.last().filter(|_| page.has_more);
    let link = next.map(|last| next_page(uri, limit, last, None));
    Ok(linked(Json(wire::Catalog { repositories: page.entries }), link))
}

/// An image index of what refers to a manifest, be it there or not.
pub(in crate::http::oci) async fn referrers(
    service: &Arc<Service>,
    name: &RepositoryName,
    subject: &Digest,
    uri: &Uri,
) -> Answer {
    let parameters = Parameters::of(uri);
    let limit = limit(&parameters)?;
    let artifact_type: Option<MediaType> = match once(&parameters, ARTIFACT_TYPE)? {
        // What many clients send to say that any will do.
        None | Some("") => None,
        // A plus that was not escaped arrives as a space, which no type has.
        Some(text) => Some(
            text.replace(' ', "+").parse().map_err(|error| unusable(format!("{ARTIFACT_TYPE}=: {error}")))?,
        ),
    };
    let last = once(&parameters, "last")?.map(str::parse::<Digest>).transpose()?;
    let page = service.referrers(name, subject, artifact_type.as_ref(), last.as_ref(), limit).await?;
    let next = page.entries.last().filter(|_| page.has_more);
    let link = next.map(|last| next_page(uri, limit, &last.digest, artifact_type.as_ref()));
    let manifests = page.entries.into_iter().map(|referrer| wire::Descriptor {
        media_type: referrer.media_type,
        digest: referrer.digest,
        size: referrer.size,
        artifact_type: referrer.artifact_type,
        annotations: referrer.annotations,
        platform: None,
    });
    let index =
        wire::Index { schema_version: 2, media_type: INDEX.to_owned(), manifests: manifests.collect() };
    let mut response = linked(Json(index), link);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(INDEX));
    if artifact_type.is_some() {
        response.headers_mut().insert(FILTERS_APPLIED, HeaderValue::from_static(ARTIFACT_TYPE));
    }
    Ok(response)
}

/// `n=`, or as much as goes on a page. A page may be shorter than what was asked for, with a `Link`.
fn limit(parameters: &Parameters) -> Result<u32, HttpError> {
    let Some(text) = once(parameters, "n")? else { return Ok(MAX_PAGE) };
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
        return Err(unusable("n= is a whole number, in digits"));
    }
    Ok(text.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE))
}

fn last(parameters: &Parameters) -> Result<&str, HttpError> {
    let last = once(parameters, "last")?.unwrap_or_default();
    // PostgreSQL refuses a text with one, and no name has one.
    if last.contains('\0') { Err(unusable("last= is a name, without a NUL")) } else { Ok(last) }
}

fn once<'a>(parameters: &'a Parameters, name: &str) -> Result<Option<&'a str>, HttpError> {
    parameters.short(name).map_err(unusable)
}

/// The code is Docker's; OCI has none for it.
fn unusable(message: impl Into<String>) -> HttpError {
    HttpError::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
}

fn next_page(uri: &Uri, limit: u32, last: &impl Display, artifact_type: Option<&MediaType>) -> HeaderValue {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(artifact_type) = artifact_type {
        query.append_pair(ARTIFACT_TYPE, artifact_type.as_str());
    }
    query.append_pair("n", &limit.to_string()).append_pair("last", &last.to_string());
    location(format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish()))
}

fn linked(body: impl IntoResponse, link: Option<HeaderValue>) -> Response {
    let mut response = body.into_response();
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    response
}
