//! What a listing of everything temporary tells.

use chrono::{DateTime, Utc};

use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;

/// One temporary thing found in the store.
#[derive(Debug, Clone)]
pub struct TempEntry {
    pub owner: TempOwner,
    pub kind: TempKind,
    /// Last written, by the store's clock.
    pub modified: DateTime<Utc>,
}

/// Whose a temporary thing is, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TempOwner {
    Upload(UploadId),
    /// A multipart copy to this blob's place that is under way or was left.
    Placing(Digest),
    /// Lies below the temporary prefix, but no upload makes such a key.
    Nobody,
}

/// What a temporary thing is.
#[derive(Debug, Clone)]
pub enum TempKind {
    Object { key: String },
    Multipart { key: String, store_upload_id: String },
}

/// One page of `Storage::temp_entries`, and where the next one begins.
#[derive(Debug)]
pub struct TempPage {
    pub entries: Vec<TempEntry>,
    pub next: Option<TempCursor>,
}

/// Where a listing goes on; made by the backend that reads it.
#[derive(Debug, Clone)]
pub enum TempCursor {
    Objects(String),
    /// Index into the prefixes that are listed for multipart uploads, key marker and upload id marker.
    Multiparts(usize, Option<(String, String)>),
}
