//! `PATCH /v2/{name}/blobs/uploads/{uuid}`: the next chunk, through this server, or to the store by who asks for that.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{LOCATION, RANGE};
use axum::response::IntoResponse;

use super::finalize::redirect;
use super::{upload_location, upload_path, uuid_headers};
use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::http::error::{HttpError, received_range};
use crate::http::extract::{bytes, chunk};
use crate::http::oci::{Answer, location};
use crate::http::ollama;
use crate::http::origin::Origin;
use crate::service::Service;

pub(in crate::http::oci) async fn append(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    id: UploadId,
    request: Request,
) -> Answer {
    let upload = service.upload(caller, name, id).await?;
    let received = upload.state.received().unwrap_or_default();
    let refused = |error: HttpError| error.at(upload_location(name, id), received);
    let chunk = chunk(request.headers()).map_err(refused)?;
    if ollama::is_redirected_with_parts(request.headers()) {
        let redirected = service.redirect_part(upload.clone(), chunk).await;
        if let Some(to) = redirected.map_err(|error| refused(error.into()))? {
            let mut response = redirect(&request, id, to.url);
            // Without it the client takes the part's URL for where the next part is asked for.
            let next = Origin::complete(request.extensions().get(), upload_path(name, id));
            response.headers_mut().insert(ollama::UPLOAD_LOCATION, location(next));
            return Ok(response);
        }
    }
    let appended = service.append(upload, chunk, bytes(request.into_body())).await;
    let upload = appended.map_err(|error| refused(error.into()))?;
    let mut response = StatusCode::ACCEPTED.into_response();
    response.headers_mut().insert(LOCATION, upload_location(name, id));
    response.headers_mut().insert(RANGE, received_range(upload.state.received().unwrap_or_default()));
    uuid_headers(&mut response, id);
    Ok(response)
}
