//! What the audit log says of a request that succeeded: read off the request and its answer, for every endpoint here.

use std::future::Future;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::manifest::TAG;
use super::route::Route;
use super::{Answer, CONTENT_DIGEST};
use crate::domain::access::Caller;
use crate::domain::audit::{Deed, Operation, ResourceType};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::reference::Reference;
use crate::http::endpoint::Endpoint;
use crate::http::extract::{Parameters, header};
use crate::service::Service;

/// Says in an answer's extensions that the blob was mounted: it looks like one that was pushed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mounted;

/// A request that the log will have an entry of if it succeeds.
#[derive(Debug)]
pub(super) struct Audited {
    operation: Operation,
    repository: RepositoryName,
    what: What,
}

#[derive(Debug)]
enum What {
    Manifest(Reference),
    /// Where the request names it; else the answer does.
    Blob(Option<Digest>),
}

impl Audited {
    pub fn of(endpoint: Endpoint, route: &Route, uri: &Uri) -> Option<Self> {
        let (operation, repository, what) = match (endpoint, route) {
            (Endpoint::BeginUpload, Route::Uploads(name)) => (Operation::Push, name, What::Blob(None)),
            (Endpoint::Finalize, Route::Upload(name, _)) => {
                let digest = Parameters::of(uri).digest("digest").ok().flatten();
                (Operation::Push, name, What::Blob(digest))
            }
            (Endpoint::DeleteBlob, Route::Blob(name, digest)) => {
                (Operation::Delete, name, What::Blob(Some(*digest)))
            }
            (Endpoint::PushManifest, Route::Manifest(name, Ok(reference))) => {
                (Operation::Push, name, What::Manifest(reference.clone()))
            }
            (Endpoint::ReadManifest, Route::Manifest(name, Ok(reference))) => {
                (Operation::Pull, name, What::Manifest(reference.clone()))
            }
            (Endpoint::DeleteManifest, Route::Manifest(name, Ok(reference))) => {
                (Operation::Delete, name, What::Manifest(reference.clone()))
            }
            _ => return None,
        };
        Some(Self { operation, repository: repository.clone(), what })
    }

    /// Carries the request out and writes down that it was. What changes something goes on to the entry when the
    /// client is gone: whoever hangs up at the right moment must not stay out of the log.
    pub async fn carry_out(
        self,
        service: &Arc<Service>,
        caller: Caller,
        answer: impl Future<Output = Answer> + Send + 'static,
    ) -> Answer {
        if self.operation == Operation::Pull {
            let response = answer.await?;
            for deed in self.deeds(&response) {
                service.record_soon(&caller, deed).await;
            }
            return Ok(response);
        }
        let log = Arc::clone(service);
        let work = async move {
            let response = answer.await?;
            log.record_all(&caller, self.deeds(&response)).await;
            Ok(response)
        };
        service.outlive(work).await?
    }

    fn deeds(&self, response: &Response) -> Vec<Deed> {
        // A session that has begun is no blob yet, and neither is one whose client does not wait: the service writes that
        // down when it is. What is not modified was not pulled.
        let is_push = self.operation == Operation::Push && matches!(self.what, What::Blob(_));
        let is_begun = is_push && response.status() != StatusCode::CREATED;
        if !response.status().is_success() || is_begun {
            return Vec::new();
        }
        let repository = &self.repository;
        match &self.what {
            What::Blob(digest) => {
                let Some(digest) = digest.or_else(|| answered(response.headers())) else { return Vec::new() };
                let is_mounted = response.extensions().get::<Mounted>().is_some();
                let operation = if is_mounted { Operation::Mount } else { self.operation };
                vec![self.deed(operation, ResourceType::Blob, format!("{repository}@{digest}"))]
            }
            What::Manifest(Reference::Tag(tag)) => {
                // Deleting a tag leaves the manifest.
                let kind = match self.operation {
                    Operation::Delete => ResourceType::Tag,
                    _ => ResourceType::Artifact,
                };
                vec![self.deed(self.operation, kind, format!("{repository}:{tag}"))]
            }
            What::Manifest(Reference::Digest(digest)) => {
                vec![self.deed(self.operation, ResourceType::Artifact, format!("{repository}@{digest}"))]
            }
        }
        .into_iter()
        .chain(
            tags(response.headers())
                .map(|tag| self.deed(self.operation, ResourceType::Tag, format!("{repository}:{tag}"))),
        )
        .collect()
    }

    fn deed(&self, operation: Operation, resource_type: ResourceType, resource: String) -> Deed {
        Deed { operation, resource_type, resource, project: Some(self.repository.project()) }
    }
}

fn answered(headers: &HeaderMap) -> Option<Digest> {
    header(headers, &CONTENT_DIGEST)?.parse().ok()
}

fn tags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(TAG).iter().filter_map(|tag| tag.to_str().ok())
}
