//! `POST /v2/{name}/blobs/uploads/`: begin, mount, or the whole blob in one request.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{LOCATION, RANGE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::status::{presigned, sign_request};
use super::{created, upload_location, uuid_headers};
use crate::domain::access::Caller;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::http::error::HttpError;
use crate::http::extract::{Parameters, bytes, chunk, content_length, user_agent};
use crate::http::gate::challenged;
use crate::http::oci::Answer;
use crate::http::oci::audited::Mounted;
use crate::http::ollama;
use crate::http::origin::Origin;
use crate::service::{Service, ServiceError};

/// Chunks shorter than this cost a detour through a tail object.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

pub(in crate::http::oci) async fn begin(
    service: &Arc<Service>,
    caller: &Caller,
    name: RepositoryName,
    request: Request,
) -> Answer {
    let parameters = Parameters::of(request.uri());
    let digest = parameters.digest("digest")?;
    // What cannot be mounted is uploaded, whatever is wrong with its name.
    let mount = parameters.digest("mount").unwrap_or_default();
    let algorithm = algorithm(&parameters, digest.or(mount))?;
    let origin = request.extensions().get();
    if let Some(mount) = mount
        && mounted(service, caller, &name, &mount, parameters.text("from")?, origin).await?
    {
        let mut response = created(&name, &mount);
        response.extensions_mut().insert(Mounted);
        return Ok(response);
    }
    let empty =
        content_length(request.headers()) == Some(0) || axum::body::HttpBody::is_end_stream(request.body());
    // A body is the blob. So is the lack of one for the digest of no bytes, unless a URL to send none to is wanted.
    let is_of_nothing = digest.is_some_and(|digest| digest.is_of_nothing());
    let whole = !empty || (is_of_nothing && !parameters.is_true("presigned")?);
    match digest {
        Some(digest) if whole => monolithic(service, caller, &name, digest, request).await,
        Some(digest) if ollama::sends_directly(request.headers()) => {
            direct(service, caller, name, digest, &request.into_parts().0).await
        }
        digest => begun(service, caller, name, digest, algorithm, &parameters, &request.into_parts().0).await,
    }
}

/// What the blob's digest will be computed with: what the client says (`digest-algorithm=`, OCI distribution, after
/// 1.1), or what computed the digest that it names.
pub(super) fn algorithm(parameters: &Parameters, named: Option<Digest>) -> Result<Algorithm, HttpError> {
    let (said, named) = (parameters.algorithm("digest-algorithm")?, named.map(|digest| digest.algorithm()));
    match (said, named) {
        (Some(said), Some(named)) if said != named => Err(HttpError::new(
            StatusCode::BAD_REQUEST,
            "DIGEST_INVALID",
            format!("digest-algorithm= says {said}, and the digest that is named is a {named}"),
        )),
        _ => Ok(said.or(named).unwrap_or_default()),
    }
}

/// Whether the blob could be had from another repository. One that cannot be read is no error, and neither is a
/// name that no repository has: the client uploads instead.
async fn mounted(
    service: &Arc<Service>,
    caller: &Caller,
    to: &RepositoryName,
    digest: &Digest,
    from: Option<&str>,
    origin: Option<&Origin>,
) -> Result<bool, HttpError> {
    let Ok(from) = from.map(str::parse::<RepositoryName>).transpose() else { return Ok(false) };
    service.mount(caller, to, digest, from.as_ref()).await.map_err(|error| {
        let scopes = from.map(|from| format!("repository:{to}:pull,push repository:{from}:pull"));
        challenged(service, error, scopes.as_deref(), origin)
    })
}

/// 202: here is where the upload goes on, and with `presigned=true` where its bytes go.
async fn begun(
    service: &Arc<Service>,
    caller: &Caller,
    name: RepositoryName,
    digest: Option<Digest>,
    algorithm: Algorithm,
    parameters: &Parameters,
    request: &Parts,
) -> Answer {
    let (chunk_min_length, agent) = (service.limits().part_size, user_agent(&request.headers));
    if parameters.is_true("presigned")? {
        let asked = sign_request(parameters)?;
        let (id, signed) = service.begin_signed(caller, name.clone(), &asked, algorithm, agent).await?;
        return Ok(accepted(presigned(signed, request.extensions.get())?, &name, id, chunk_min_length));
    }
    let upload = service.begin(caller, name, digest, algorithm, None, agent).await?;
    Ok(accepted(().into_response(), &upload.repository, upload.id, chunk_min_length))
}

/// 201 where the caller may read the blob already, else 202 with the URL that Ollama sends it to, as far as there is one.
async fn direct(
    service: &Arc<Service>,
    caller: &Caller,
    name: RepositoryName,
    digest: Digest,
    request: &Parts,
) -> Answer {
    let origin = request.extensions.get();
    if mounted(service, caller, &name, &digest, None, origin).await? {
        let mut response = created(&name, &digest);
        response.extensions_mut().insert(Mounted);
        return Ok(response);
    }
    let (size, agent) = (ollama::length(&request.headers)?, user_agent(&request.headers));
    let begun = service.begin_direct(caller, name.clone(), (digest, size), agent).await?;
    let Some((id, to)) = begun else { return Ok(created(&name, &digest)) };
    let mut response = accepted(().into_response(), &name, id, service.limits().part_size);
    if let Some(to) = to {
        ollama::send_to(response.headers_mut(), to, origin);
    }
    Ok(response)
}

fn accepted(mut response: Response, name: &RepositoryName, id: UploadId, chunk_min_length: u64) -> Response {
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(LOCATION, upload_location(name, id));
    headers.insert(RANGE, HeaderValue::from_static("0-0"));
    headers.insert(CHUNK_MIN_LENGTH, HeaderValue::from(chunk_min_length));
    uuid_headers(&mut response, id);
    response
}

/// Goes on when the client is gone: who does not know the session cannot end it.
async fn monolithic(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    digest: Digest,
    request: Request,
) -> Answer {
    let agent = user_agent(request.headers());
    let whole = chunk(request.headers())?;
    let algorithm = digest.algorithm();
    let upload = service.begin(caller, name.clone(), Some(digest), algorithm, whole.length, agent).await?;
    tracing::Span::current().record("upload", tracing::field::display(upload.id));
    let body = bytes(request.into_body());
    let work = Arc::clone(service).take_whole(caller.clone(), upload, whole, digest.into(), body);
    match service.outlive(work).await? {
        Ok(_) => Ok(created(name, &digest)),
        Err(ServiceError::BodyIncomplete) => Err(HttpError::invalid("the body ended before it was complete")),
        Err(error) => Err(error.into()),
    }
}
