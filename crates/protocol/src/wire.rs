//! The JSON on the wire: shared by the server and the client library.

use chrono::{DateTime, Utc};
use http::HeaderName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::media_type::MediaType;
use crate::midstate::Midstate;
use crate::part::PartNumber;
use crate::upload::{Status, TransferMode, UploadId};

/// The header with which a registry says that it gives presigned URLs for uploads. Other registries take
/// `presigned=true` for something to ignore, or to refuse.
pub const PRESIGNS: &str = "overside-presigned-uploads";

/// What all paths of the management API begin with.
pub const MANAGEMENT_PATH: &str = "/api/v2.0/";
/// How many entries a list of that API has in all pages (Harbor).
pub const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
/// Says to that API that a reference made of digits is a name (Harbor).
pub const IS_NAME: HeaderName = HeaderName::from_static("x-is-resource-name");

/// Where the bytes go: `GET …/uploads/{uuid}?presigned=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum PresignedUpload {
    Put(PresignedPut),
    Multipart(PresignedMultipart),
}

/// One PUT for the whole blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresignedPut {
    /// Always `PUT`.
    pub method: String,
    /// Where the bytes go; a secret while it lives.
    pub presigned_url: String,
    /// Exactly what the client must send, by name.
    pub headers: BTreeMap<String, String>,
    /// When the URL ends; another one is to be had by asking again.
    pub expires_at: DateTime<Utc>,
    /// Declared size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// One PUT for each part, in any order, in parallel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresignedMultipart {
    /// Size in bytes of every part but the last.
    pub part_size: u64,
    /// Parts of the whole blob, at most 10,000.
    pub part_count: u16,
    /// Those that were asked for; without `parts=` the next that have not arrived.
    pub parts: Vec<PresignedPart>,
    /// What has arrived already; its bytes need not be sent again.
    pub received: Vec<ReceivedPart>,
    /// When the URLs end; others are to be had by asking again.
    pub expires_at: DateTime<Utc>,
}

/// Where one part goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresignedPart {
    pub part_number: PartNumber,
    /// First byte of the part in the blob.
    pub offset: u64,
    /// In bytes.
    pub size: u64,
    /// Where the part's bytes go; a secret while it lives.
    pub presigned_url: String,
    /// Exactly what the client must send, by name.
    pub headers: BTreeMap<String, String>,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceivedPart {
    pub part_number: PartNumber,
    /// In bytes.
    pub size: u64,
    /// What the store calls these bytes: their MD5 on many stores, opaque on others. None from an older server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// Optional body of the finalizing `PUT`: what the client knows and the server would otherwise have to find out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FinalizeBody {
    /// What the store answered to each part, all of them. Without it the service lists the parts itself.
    #[serde(default)]
    pub parts: Vec<CompletedPart>,
    /// SHA-256's intermediate hash value (FIPS 180-4 §6.2.2) after the first part, after the second, and so on up
    /// to the last but one. Where the proof is reading the blob back, its parts are then hashed in parallel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sha256_midstates: Vec<Midstate>,
}

/// A part that the client has sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CompletedPart {
    pub part_number: PartNumber,
    /// The `ETag` of the store's answer, as it is.
    pub etag: String,
}

/// Where a session stands: `GET …/uploads/{uuid}` with `Accept: application/json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadState {
    pub upload_uuid: UploadId,
    pub repository_name: String,
    pub status: Status,
    /// How the bytes come, once that is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<TransferMode>,
    /// Size in bytes: declared, or found once completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Bytes received by a proxied upload: where the next chunk begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_offset: Option<u64>,
    /// The blob's digest once completed; before that what was declared or claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Only of a session that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureState>,
    /// What a finalize is at; told every some seconds, so a short one has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<FinalizeProgress>,
    pub created_at: DateTime<Utc>,
    /// When the session ends unless it gives a sign of life.
    pub expires_at: DateTime<Utc>,
}

/// How far a finalize is: so many bytes of its phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FinalizeProgress {
    /// `assembling`, `copying`, `reading-back`, `placing`; a client takes any other as well.
    pub phase: String,
    /// In bytes.
    pub done: u64,
    /// In bytes.
    pub total: u64,
}

/// Why a session failed: an OCI error code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureState {
    pub code: String,
    pub message: String,
}

/// A page of a repository's tags: `GET /v2/{name}/tags/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TagList {
    /// The repository's.
    pub name: String,
    /// In the order of their bytes.
    pub tags: Vec<String>,
}

/// A page of a repository's blobs: `GET /v2/{name}/blobs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlobList {
    /// The repository's.
    pub name: String,
    /// Those first that the repository got first.
    pub blobs: Vec<ListedBlob>,
}

/// A blob as one repository has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListedBlob {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// When the repository got it.
    pub created_at: DateTime<Utc>,
    /// Whether a manifest of the repository names it.
    pub in_manifest: bool,
}

/// A page of repositories: `GET /v2/_catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Catalog {
    /// Names, in the order of their bytes.
    pub repositories: Vec<String>,
}

/// An image index, as a list of referrers and `index.json` of an image layout are (OCI image-spec, image-index.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u8,
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
}

/// What refers to some content (OCI image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: MediaType,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// Texts by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<serde_json::Value>,
    /// In an index: what the image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on, in Go's words (OCI image-spec, image-index.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Platform {
    /// `amd64`, `arm64`
    pub architecture: String,
    /// `linux`
    pub os: String,
    /// `v7`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A text that is no platform.
#[derive(Debug, thiserror::Error)]
#[error("a platform is written os/architecture or os/architecture/variant, such as linux/arm64")]
pub struct InvalidPlatform;

/// `linux/amd64`, `linux/arm/v7`
impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl std::str::FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let words: Vec<_> = text.split('/').collect();
        if words.iter().any(|word| word.is_empty()) {
            return Err(InvalidPlatform);
        }
        let (os, architecture, variant) = match words[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(InvalidPlatform),
        };
        Ok(Self { architecture: architecture.to_owned(), os: os.to_owned(), variant })
    }
}

impl Descriptor {
    #[must_use]
    pub const fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self { media_type, digest, size, artifact_type: None, annotations: None, platform: None }
    }

    /// An annotation's text.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_str()
    }
}

/// The OCI error envelope (distribution 1.1.1, "Error Codes").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorEnvelope {
    /// At least one.
    pub errors: Vec<ErrorEntry>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorEntry {
    /// For programs: it stays what it is from version to version.
    pub code: String,
    /// For people: what happened, to what, and what to do.
    pub message: String,
    /// Which digest a manifest refers to in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

/// An entry of the audit log: `GET /api/v2.0/projects/{name_or_id}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditLog {
    /// Grows: `before=` takes it.
    pub id: i64,
    /// Empty for whoever did not sign in.
    pub username: String,
    /// What it was done to, by its name.
    pub resource: String,
    /// `artifact`, `blob`, `tag`, `project`, `member`, `robot`, …
    pub resource_type: String,
    /// `push`, `pull`, `mount`, `create`, `update`, `delete`, …
    pub operation: String,
    pub op_time: DateTime<Utc>,
    /// None for what was done from the command line.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub client_address: Option<String>,
}

/// An access token, under the names that Docker's specification and `OAuth2` have for it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    pub token: String,
    /// The token again.
    pub access_token: String,
    /// In seconds.
    pub expires_in: u64,
    pub issued_at: DateTime<Utc>,
}
