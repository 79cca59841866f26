//! The JSON of MLflow's artifact server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error. Clients show its message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArtifactError)]
pub(in crate::http) struct Refused {
    pub error_code: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MlflowServerInfo)]
pub(super) struct ServerInfo {
    /// No store of runs is here.
    #[schema(required = true)]
    pub store_type: Option<String>,
    pub workspaces_enabled: bool,
    /// Whether large files go straight to the bucket, and come from there.
    pub multipart_uploads_enabled: bool,
    pub multipart_downloads_enabled: bool,
}

/// A page is never cut: MLflow has no way to ask for the next one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArtifactList)]
pub(super) struct List {
    pub files: Vec<Entry>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Artifact)]
pub(super) struct Entry {
    /// Its name in the directory that was asked for.
    pub path: String,
    pub is_dir: bool,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArtifactUploadRequest)]
pub(super) struct Create {
    /// The file as its client has it; its last segment is the name here.
    pub path: String,
    pub num_parts: u64,
}

/// As it is written; see [`super::parts`].
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArtifactUpload)]
pub(super) struct Created {
    pub upload_id: String,
    /// In the order of the file's bytes.
    pub credentials: Vec<Credential>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArtifactPart)]
pub(super) struct Credential {
    pub url: String,
    pub part_number: u16,
    /// To be sent with the part.
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ArtifactCompletion)]
pub(super) struct Complete {
    pub path: String,
    pub upload_id: String,
    #[serde(default)]
    pub parts: Vec<SentPart>,
}

/// Clients send its URL as well, which says nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SentArtifactPart)]
pub(super) struct SentPart {
    pub part_number: u64,
    pub etag: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArtifactAbortion)]
pub(super) struct Abort {
    pub upload_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PresignedArtifact)]
pub(super) struct PresignedFile {
    pub url: String,
    pub headers: NoHeaders,
    /// In bytes; none where the bytes are to be asked for here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

/// A presigned download needs none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoHeaders {}
