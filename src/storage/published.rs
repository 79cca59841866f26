//! What a listing of everything published tells, for the collector to hold against the rows.

use chrono::{DateTime, Utc};

use crate::domain::digest::Digest;

/// An object at a blob's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobEntry {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Last written, by the store's clock.
    pub modified: DateTime<Utc>,
}

/// One page of `Storage::blob_entries`, and where the next one begins.
#[derive(Debug)]
pub struct BlobPage {
    pub entries: Vec<BlobEntry>,
    pub next: Option<BlobCursor>,
}

/// Where a listing goes on; made by the backend that reads it.
#[derive(Debug, Clone)]
pub struct BlobCursor(pub(super) String);
