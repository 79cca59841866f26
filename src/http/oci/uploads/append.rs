//! `PATCH /v2/{name}/blobs/uploads/{uuid}`: the next chunk, through this server.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{LOCATION, RANGE};
use axum::response::IntoResponse;

use super::{upload_location, uuid_headers};
use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::http::error::{HttpError, received_range};
use crate::http::extract::{bytes, chunk};
use crate::http::oci::Answer;
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
    let appended = async {
        let chunk = chunk(request.headers())?;
        Ok(service.append(upload, chunk, bytes(request.into_body())).await?)
    };
    let upload = appended.await.map_err(|error: HttpError| error.at(upload_location(name, id), received))?;
    let mut response = StatusCode::ACCEPTED.into_response();
    response.headers_mut().insert(LOCATION, upload_location(name, id));
    response.headers_mut().insert(RANGE, received_range(upload.state.received().unwrap_or_default()));
    uuid_headers(&mut response, id);
    Ok(response)
}
