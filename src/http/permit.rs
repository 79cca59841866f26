//! The slot that a request takes while a blob's bytes move: held by the body that they move in, however that ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::endpoint::Endpoint;
use crate::memory::MemoryShare;
use crate::service::{Load, Service, ServiceError, Slot};

/// What a request may use until it has been answered.
#[derive(Debug)]
pub(super) struct Permit {
    upload: Option<Slot>,
    download: Option<Slot>,
}

impl Permit {
    /// Of a finalizing PUT only the session tells whether its body is a blob's bytes: `oci::finalize` asks for itself.
    pub async fn take(service: &Service, endpoint: Endpoint, has_body: bool) -> Result<Self, ServiceError> {
        let (mut upload, mut download) = (None, None);
        match endpoint {
            Endpoint::Append
            | Endpoint::TusAppend
            | Endpoint::PutArtifact
            | Endpoint::HubCommit
            | Endpoint::ReceivePut
            | Endpoint::ReceivePart => {
                upload = Some(service.admit_load(Load::Upload).await?);
            }
            Endpoint::BeginUpload | Endpoint::TusCreate if has_body => {
                upload = Some(service.admit_load(Load::Upload).await?);
            }
            Endpoint::ReadBlob | Endpoint::LfsReadObject | Endpoint::ReadArtifact | Endpoint::HubResolve => {
                download = Some(service.admit_load(Load::Download).await?);
            }
            _ => {}
        }
        Ok(Self { upload, download })
    }

    /// The request, with its slot in the body: whoever reads that may outlive the request.
    pub fn around(&self, request: Request) -> Request {
        match &self.upload {
            Some(slot) => holding(request, slot.clone()),
            None => request,
        }
    }

    /// The answer, with its slot in the body: a client reads that long after the handler is done.
    pub fn into(self, response: Response) -> Response {
        match self.download {
            Some(slot) => response.map(|body| Body::new(Holding { body, _held: slot })),
            None => response,
        }
    }
}

/// A body that keeps memory until it is sent.
pub(super) fn keeping(body: Body, memory: Option<MemoryShare>) -> Body {
    match memory {
        Some(memory) => Body::new(Holding { body, _held: memory }),
        None => body,
    }
}

/// The request, with a slot in its body.
pub(super) fn holding(request: Request, slot: Slot) -> Request {
    request.map(|body| Body::new(Holding { body, _held: slot }))
}

/// A body that holds something until it is dropped.
#[derive(Debug)]
struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
