//! What a listing of everything temporary tells.

use std::collections::VecDeque;

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

/// What is temporary is told by listings that can fail one by one: a store may know or allow only one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TempListing {
    #[default]
    Objects,
    Multiparts,
}

impl TempListing {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Objects => Some(Self::Multiparts),
            Self::Multiparts => None,
        }
    }

    /// For the report of a cleaning.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Objects => "sweep temporary objects",
            Self::Multiparts => "sweep incomplete multipart uploads",
        }
    }
}

/// Where the listing of a directory goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameCursor {
    /// Names that were read and are still to be listed, in order.
    pub(super) left: VecDeque<String>,
    /// After them there may be others that were not read yet.
    pub(super) more_after: Option<String>,
}

/// Where a listing goes on; made by the backend that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TempCursor {
    Objects(String),
    /// Key marker and upload id marker.
    Multiparts(String, String),
    Names(NameCursor),
}
