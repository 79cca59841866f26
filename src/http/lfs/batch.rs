//! `POST …/objects/batch`: where the bytes of many objects go, or come from.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use chrono::{DateTime, Utc};

use super::error::of_object;
use super::route::parse_oid;
use super::wire::{
    Actions, AnsweredObject, BatchAnswer, BatchOperation, BatchRequest, ObjectAction, RequestedObject,
};
use super::{Answer, json};
use crate::domain::access::{Action, Caller};
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::blob::Blob;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{BatchDoor, UploadId};
use crate::http::error::HttpError;
use crate::http::extract::{INCOMPLETE, content_length, held, object, user_agent};
use crate::http::gate::{Visitor, challenged};
use crate::http::origin::Origin;
use crate::http::permit::keeping;
use crate::http::redirects::{Asked, Redirects};
use crate::http::signed_call::{self, lfs_path};
use crate::memory::MemoryShare;
use crate::service::{
    BatchOrigin, BatchWay, BatchedUpload, Presigned, Requirement, Service, ServiceError, SignedPart,
    SignedParts, WantedBlob,
};
use crate::storage::PresignedRequest;
use crate::storage::signed_call::{CallGrant, CallPurpose};

/// Objects in one batch: git-lfs sends a hundred, other clients up to this many.
const MAX_OBJECTS: usize = 1_000;
/// Longest body, in bytes: an object is some 100, and twice as much with white space.
const MAX_BATCH_BODY: usize = 8 * 1024 + 256 * MAX_OBJECTS;
/// Bytes of a URL with its headers, more or less: what an answer takes until it is sent.
const LONG_URL: usize = 1024;
/// When to ask again for what is still being proven, in seconds. git-lfs asks eight times, each of which waits here for as
/// long: so an object of 5 GiB has six minutes.
const WHILE_PROVING: HeaderValue = HeaderValue::from_static("20");
const BASIC: &str = "basic";
/// One PUT for each part, named in `header` by its number, as the agent of Hugging Face's client takes it.
const MULTIPART: &str = "multipart";
/// Each object as the registry's presign protocol has it, which `overside lfs-agent` speaks.
const SESSION: &str = "overside";
const SHA256: &str = "sha256";

/// One batch, and what its answer is made of.
struct Batch<'a> {
    service: &'a Arc<Service>,
    caller: &'a Caller,
    name: &'a RepositoryName,
    /// Whether it is a repository of the Hugging Face Hub, whose clients send no header that goes with a URL.
    is_hub: bool,
    request: &'a Parts,
}

pub(super) async fn answer(
    service: &Arc<Service>,
    caller: &Caller,
    visitor: &Visitor,
    (name, is_hub): (&RepositoryName, bool),
    request: Request,
) -> Answer {
    let (request, body) = request.into_parts();
    let length = content_length(&request.headers);
    let held = held(service, caller, length, body, MAX_BATCH_BODY).await;
    let held = held.map_err(|error| error.into_error(too_many(), HttpError::invalid(INCOMPLETE)))?;
    let asked: BatchRequest = object(&held.bytes)?;
    // Not while what is being proven is waited for.
    drop(held);
    if asked.objects.len() > MAX_OBJECTS {
        return Err(too_many());
    }
    if let Some(algorithm) = asked.hash_algo.filter(|algorithm| algorithm != SHA256) {
        let shown: String = algorithm.chars().take(32).collect();
        let message = format!("hash_algo {shown:?} is not supported; objects are named by their sha256");
        return Err(HttpError::new(StatusCode::CONFLICT, "UNSUPPORTED", message));
    }
    let batch = Batch { service, caller, name, is_hub, request: &request };
    let (wanted, refused) = checked(asked.objects);
    let mut transfer = BASIC;
    let (mut objects, memory) = match asked.operation {
        BatchOperation::Upload => {
            let requirement = Requirement::Repository(name.clone(), Action::Push);
            let allowed = service.authorize(caller, &requirement).await;
            allowed.map_err(|error| challenged(service, error, None, visitor.origin().as_ref()))?;
            let (objects, memory, chosen) =
                batch.upload(&wanted, &asked.transfers.unwrap_or_default()).await?;
            transfer = chosen;
            (objects, memory)
        }
        BatchOperation::Download => batch.download(&wanted).await?,
    };
    objects.extend(refused);
    let response = json(StatusCode::OK, &BatchAnswer { transfer, hash_algo: SHA256, objects })?;
    Ok(response.map(|body| keeping(body, memory)))
}

impl Batch<'_> {
    /// The objects, and how all of them are sent.
    async fn upload(
        &self,
        wanted: &[WantedBlob],
        offered: &[String],
    ) -> Result<(Vec<AnsweredObject>, Option<MemoryShare>, &'static str), HttpError> {
        let user_agent = user_agent(&self.request.headers);
        let ways = [(SESSION, BatchWay::Session), (MULTIPART, BatchWay::Parts)].into_iter();
        let ways = ways.filter(|(name, _)| offered.iter().any(|offered| offered == name));
        let ways: Vec<_> = ways.map(|(_, way)| way).collect();
        let door = if self.is_hub { BatchDoor::Hub } else { BatchDoor::Lfs };
        let origin = BatchOrigin { door, user_agent, ways: &ways, is_plain: self.is_hub };
        let begun = self.service.begin_batch(self.caller, self.name, wanted, origin).await;
        let begun = begun.map_err(|error| match error {
            ServiceError::Busy(_) => HttpError::from(error).with_header(RETRY_AFTER, WHILE_PROVING),
            error => error.into(),
        })?;
        let urls = |begun: &BatchedUpload| match begun {
            BatchedUpload::Begun { presigned: Some(Presigned::Multipart { plan, .. }), .. } => {
                usize::from(plan.part_count()) + 2
            }
            BatchedUpload::Begun { .. } => 2,
            BatchedUpload::Present | BatchedUpload::Refused(_) => 0,
        };
        let memory = self.memory_for(begun.iter().map(urls).sum()).await?;
        let (mut objects, mut transfer) = (Vec::with_capacity(wanted.len()), BASIC);
        for (blob, begun) in wanted.iter().zip(begun) {
            objects.push(match begun {
                BatchedUpload::Present => described(blob),
                BatchedUpload::Refused(error) => refused(blob, error),
                BatchedUpload::Begun { id, presigned, ends_at } => {
                    // For as long as the session lives: the bytes may take hours.
                    let verify = Some(self.call((id, ends_at), "/verify", CallPurpose::Finalize)?);
                    let upload = Some(match presigned {
                        Some(Presigned::Put { request, .. }) => self.put(request),
                        Some(Presigned::Multipart { plan, parts, .. }) => {
                            transfer = MULTIPART;
                            self.parts((id, ends_at), plan.part_size(), parts)?
                        }
                        None => {
                            transfer = SESSION;
                            self.call((id, ends_at), "", CallPurpose::Send)?
                        }
                    });
                    let actions = Actions { upload, verify, download: None };
                    AnsweredObject { authenticated: Some(true), actions: Some(actions), ..described(blob) }
                }
            });
        }
        Ok((objects, memory, transfer))
    }

    /// For an answer with so many URLs.
    async fn memory_for(&self, urls: usize) -> Result<Option<MemoryShare>, HttpError> {
        Ok(self.service.memory_for_answer(self.caller, urls.saturating_mul(LONG_URL)).await?)
    }

    async fn download(
        &self,
        wanted: &[WantedBlob],
    ) -> Result<(Vec<AnsweredObject>, Option<MemoryShare>), HttpError> {
        let digests: Vec<_> = wanted.iter().map(|blob| blob.digest).collect();
        let blobs = self.service.blobs_of_batch(self.name, &digests).await?;
        let memory = self.memory_for(blobs.len()).await?;
        let mut objects = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            objects.push(match blobs.get(&wanted.digest) {
                None => refused(wanted, ServiceError::BlobUnknown),
                Some(blob) if blob.size != wanted.size => {
                    let message = format!("the object has {} bytes, not {}", blob.size, wanted.size);
                    refused(wanted, ServiceError::SizeInvalid(message))
                }
                Some(blob) => {
                    let download = Some(self.read(blob).await?);
                    let actions = Actions { download, ..Actions::default() };
                    self.service.record_soon(self.caller, self.pulled(blob)).await;
                    AnsweredObject { authenticated: Some(true), actions: Some(actions), ..described(wanted) }
                }
            });
        }
        Ok((objects, memory))
    }

    /// One PUT with what it is bound to. `Content-Type` is among it, which git-lfs would guess otherwise; the length it
    /// sends by itself.
    fn put(&self, request: PresignedRequest) -> ObjectAction {
        let header = request.headers.into_iter().filter(|(name, _)| name != CONTENT_LENGTH.as_str());
        ObjectAction { header: header.collect(), ..self.action(request.url, request.expires_at) }
    }

    /// One PUT for each part, and where the client says that they are there. Numbers have leading zeros: git-lfs sorts them
    /// as texts, and the agent sends the parts in that order.
    fn parts(
        &self,
        upload: (UploadId, DateTime<Utc>),
        part_size: u64,
        parts: SignedParts,
    ) -> Result<ObjectAction, HttpError> {
        let mut action = self.call(upload, "/complete", CallPurpose::Finalize)?;
        action.expires_in = self.seconds_until(parts.expires_at());
        action.header.insert("chunk_size".to_owned(), part_size.to_string());
        for SignedPart { part, request } in parts {
            action.header.insert(format!("{:05}", part.number.get()), self.complete(request.url));
        }
        Ok(action)
    }

    /// From the store, or else by a URL that leads back here.
    async fn read(&self, blob: &Blob) -> Result<ObjectAction, HttpError> {
        let redirects = self.request.extensions.get::<Arc<Redirects>>();
        let asked = Asked::of(&self.request.headers, &self.request.extensions);
        let stays = |url: &str| redirects.is_some_and(|redirects| redirects.keeps(&asked, url));
        let ends_at = self.service.url_end();
        match self.service.blob_url(blob).await? {
            Some(url) if !stays(&url) => Ok(self.action(url, ends_at)),
            _ => {
                let subject = (self.name, &blob.digest);
                let path = signed_call::path_to_read(self.service, self.caller, subject, ends_at);
                Ok(self.action(path.ok_or(ServiceError::BlobUnknown)?, ends_at))
            }
        }
    }

    /// A request about an upload, below its place here.
    fn call(
        &self,
        (id, ends_at): (UploadId, DateTime<Utc>),
        rest: &str,
        purpose: CallPurpose,
    ) -> Result<ObjectAction, HttpError> {
        let user = self.caller.name().map(str::to_owned);
        let grant = CallGrant { purpose, subject: id.to_string(), user, expires: ends_at.timestamp() };
        let place = lfs_path(self.name, &format!("uploads/{id}{rest}"));
        Ok(self.action(self.service.sign_call(&place, &grant)?, ends_at))
    }

    fn action(&self, url: String, ends_at: DateTime<Utc>) -> ObjectAction {
        let expires_in = self.seconds_until(ends_at);
        ObjectAction { href: self.complete(url), header: BTreeMap::new(), expires_in }
    }

    fn complete(&self, url: String) -> String {
        Origin::complete(self.request.extensions.get(), url)
    }

    fn seconds_until(&self, end: DateTime<Utc>) -> i64 {
        (end - self.service.now()).num_seconds().max(1)
    }

    fn pulled(&self, blob: &Blob) -> AuditedAction {
        AuditedAction {
            operation: Operation::Pull,
            resource_type: ResourceType::Blob,
            resource: signed_call::blob(self.name, &blob.digest),
            project: Some(self.name.project()),
        }
    }
}

/// Each object once, and the answers to those that are none.
fn checked(objects: Vec<RequestedObject>) -> (Vec<WantedBlob>, Vec<AnsweredObject>) {
    let (mut seen, mut blobs, mut refused) = (HashSet::new(), Vec::new(), Vec::new());
    for RequestedObject { oid, size } in objects {
        match wanted(&oid, size) {
            Ok(blob) if seen.insert(blob.digest) => blobs.push(blob),
            Ok(_) => {}
            Err(error) => {
                let error = Some(of_object(error));
                refused.push(AnsweredObject { oid, size, authenticated: None, actions: None, error });
            }
        }
    }
    (blobs, refused)
}

/// An object as it is named on the wire.
pub(super) fn wanted(oid: &str, size: i64) -> Result<WantedBlob, ServiceError> {
    let digest = parse_oid(oid).ok_or_else(|| {
        ServiceError::Invalid("an oid is a SHA-256: 64 hexadecimal digits in lower case".to_owned())
    })?;
    let size = u64::try_from(size)
        .map_err(|_| ServiceError::SizeInvalid("a size is a whole number of bytes".to_owned()))?;
    Ok(WantedBlob { digest, size })
}

/// An object of which nothing is to be done.
fn described(blob: &WantedBlob) -> AnsweredObject {
    AnsweredObject {
        oid: blob.digest.hex(),
        size: i64::try_from(blob.size).unwrap_or(i64::MAX),
        authenticated: None,
        actions: None,
        error: None,
    }
}

fn refused(blob: &WantedBlob, error: ServiceError) -> AnsweredObject {
    AnsweredObject { error: Some(of_object(error)), ..described(blob) }
}

fn too_many() -> HttpError {
    let message = format!("a batch has at most {MAX_OBJECTS} objects here; send several");
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
}
