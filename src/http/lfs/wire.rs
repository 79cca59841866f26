//! The JSON of Git LFS (git-lfs, `docs/api/`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::file_lock::FileLock;

/// Stands for whoever locked a file where nobody signs in.
const NOBODY: &str = "anybody";

/// What a client is about to do with objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BatchOperation {
    Upload,
    Download,
}

/// `POST …/objects/batch`
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct BatchRequest {
    pub operation: BatchOperation,
    /// In no order; `basic` where it is left out.
    #[serde(default)]
    pub transfers: Option<Vec<String>>,
    pub objects: Vec<RequestedObject>,
    /// `sha256`, which is all there is.
    #[serde(default)]
    pub hash_algo: Option<String>,
}

/// An object by its id and its size in bytes.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub(super) struct RequestedObject {
    pub oid: String,
    pub size: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchAnswer {
    /// How all of the objects are transferred.
    pub transfer: &'static str,
    pub hash_algo: &'static str,
    pub objects: Vec<AnsweredObject>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnsweredObject {
    pub oid: String,
    pub size: i64,
    /// `true` where the actions need no credentials of the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    /// None where there is nothing to do: the object is there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<Actions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ObjectError>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Actions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<ObjectAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<ObjectAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<ObjectAction>,
}

/// One request that the client makes next.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ObjectAction {
    /// A secret while it lives.
    pub href: String,
    /// Sent as they are.
    pub header: BTreeMap<String, String>,
    /// Seconds until the URL ends.
    pub expires_in: i64,
}

/// Why nothing is done with one object.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ObjectError {
    /// As an HTTP status.
    pub code: u16,
    pub message: String,
}

/// Any other answer than what was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LfsError {
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// `POST …/verify`
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct VerifyRequest {
    pub oid: String,
    pub size: i64,
}

/// `POST …/complete`: what has become of the parts, as the agent of Hugging Face's client tells it.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CompletionRequest {
    pub oid: String,
    pub parts: Vec<SentPart>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SentPart {
    pub etag: String,
    pub part_number: u64,
}

/// `POST …/locks`
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct LockRequest {
    pub path: String,
}

/// `POST …/locks/verify`
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct VerifyLocksRequest {
    #[serde(default)]
    pub cursor: Option<String>,
    #[serde(default)]
    pub limit: Option<i64>,
}

/// `POST …/locks/{id}/unlock`
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct UnlockRequest {
    /// Also where the lock is somebody else's.
    #[serde(default)]
    pub force: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lock {
    pub id: String,
    pub path: String,
    pub locked_at: DateTime<Utc>,
    pub owner: LockOwner,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LockOwner {
    pub name: String,
}

/// One lock; with a message where it is another than what was wanted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LockAnswer {
    pub lock: Lock,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LockPage {
    pub locks: Vec<Lock>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OwnedLockPage {
    /// The caller's.
    pub ours: Vec<Lock>,
    pub theirs: Vec<Lock>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl From<FileLock> for Lock {
    fn from(FileLock { id, path, owner, locked_at }: FileLock) -> Self {
        let name = owner.unwrap_or_else(|| NOBODY.to_owned());
        Self { id: id.to_string(), path, locked_at, owner: LockOwner { name } }
    }
}
