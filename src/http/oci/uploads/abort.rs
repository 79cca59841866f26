//! `DELETE /v2/{name}/blobs/uploads/{uuid}`: give up, and leave nothing.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::http::oci::Answer;
use crate::service::Service;

pub(in crate::http::oci) async fn abort(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    id: UploadId,
) -> Answer {
    service.abort(caller, name, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
