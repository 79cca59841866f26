//! What the audit log says of a request that succeeded: read off the request and its answer, for every endpoint here but
//! those that finalize an upload, whose entry is committed with the blob.

use std::future::Future;
use std::sync::Arc;

use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::registry::manifest::TAG;
use super::route::Route;
use super::{Answer, CONTENT_DIGEST};
use crate::domain::access::Caller;
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::reference::Reference;
use crate::http::endpoint::Endpoint;
use crate::http::extract::Parameters;
use crate::http::ollama;
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
    Blob(Digest),
}

impl Audited {
    pub fn of(endpoint: Endpoint, route: &Route, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let (operation, repository, what) = match (endpoint, route) {
            (Endpoint::BeginUpload, Route::Uploads(name)) => {
                // Ollama's has the blob mounted as well if it can be.
                let parameter = if ollama::sends_directly(headers) { "digest" } else { "mount" };
                let digest = Parameters::of(uri).digest(parameter).ok().flatten()?;
                (Operation::Mount, name, What::Blob(digest))
            }
            (Endpoint::DeleteBlob, Route::Blob(name, digest)) => {
                (Operation::Delete, name, What::Blob(*digest))
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
            let actions = self.actions(&response);
            for action in actions {
                match self.pulled(&response) {
                    Some((digest, tag)) => {
                        let repository = self.repository.clone();
                        service.record_pull(&caller, action, repository, digest, tag).await;
                    }
                    None => service.record_soon(&caller, action).await,
                }
            }
            return Ok(response);
        }
        let log = Arc::clone(service);
        let work = async move {
            let response = answer.await?;
            log.record_all(&caller, self.actions(&response)).await;
            Ok(response)
        };
        service.outlive(work).await?
    }

    /// A manifest's digest, and the tag that it was asked for by.
    fn pulled(&self, response: &Response) -> Option<(Digest, Option<String>)> {
        let What::Manifest(reference) = &self.what else { return None };
        Some(match reference {
            Reference::Digest(digest) => (*digest, None),
            Reference::Tag(tag) => {
                let digest = response.headers().get(CONTENT_DIGEST)?.to_str().ok()?;
                (digest.parse().ok()?, Some(tag.to_string()))
            }
        })
    }

    fn actions(&self, response: &Response) -> Vec<AuditedAction> {
        // What could not be mounted is being uploaded. What is not modified was not pulled.
        let is_mounted = response.extensions().get::<Mounted>().is_some();
        if !response.status().is_success() || (self.operation == Operation::Mount && !is_mounted) {
            return Vec::new();
        }
        let repository = &self.repository;
        match &self.what {
            What::Blob(digest) => {
                vec![self.action(self.operation, ResourceType::Blob, format!("{repository}@{digest}"))]
            }
            What::Manifest(Reference::Tag(tag)) => {
                // Deleting a tag leaves the manifest.
                let kind = match self.operation {
                    Operation::Delete => ResourceType::Tag,
                    _ => ResourceType::Artifact,
                };
                vec![self.action(self.operation, kind, format!("{repository}:{tag}"))]
            }
            What::Manifest(Reference::Digest(digest)) => {
                vec![self.action(self.operation, ResourceType::Artifact, format!("{repository}@{digest}"))]
            }
        }
        .into_iter()
        .chain(
            tags(response.headers())
                .map(|tag| self.action(self.operation, ResourceType::Tag, format!("{repository}:{tag}"))),
        )
        .collect()
    }

    fn action(&self, operation: Operation, resource_type: ResourceType, resource: String) -> AuditedAction {
        AuditedAction { operation, resource_type, resource, project: Some(self.repository.project()) }
    }
}

fn tags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(TAG).iter().filter_map(|tag| tag.to_str().ok())
}
