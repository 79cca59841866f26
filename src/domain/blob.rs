//! A published blob, how its digest was proven and where its bytes stand.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::digest::Digest;
use super::upload::UploadId;

pub use overside_protocol::wire::ListedBlob;

/// A blob whose bytes were proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub proof: Proof,
    pub created_at: DateTime<Utc>,
    pub standing: Standing,
}

/// Where a blob's bytes are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its content-addressed path.
    Placed,
    /// Where they were proven, under a temporary key that no URL writes to; the copy to the content-addressed path is
    /// under way.
    Sealed(SealedObject),
    /// They were proven under a temporary key that a client's URL may still write to. Nobody reads them there: the copy
    /// to the content-addressed path is under way, and is proven again.
    Exposed(SealedObject),
    /// The object is known to be gone. Whoever uploads the bytes again brings the blob back.
    Lost,
}

impl Standing {
    /// Whether the bytes can be read now, and are the ones that were proven.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        matches!(self, Self::Placed | Self::Sealed(_))
    }

    /// Where they were proven, until they are placed.
    #[must_use]
    pub const fn sealed(&self) -> Option<&SealedObject> {
        match self {
            Self::Sealed(object) | Self::Exposed(object) => Some(object),
            Self::Placed | Self::Lost => None,
        }
    }
}

/// An upload's proven bytes under their temporary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedObject {
    pub upload: UploadId,
    pub path: String,
    /// The version that was proven, where the store binds by `ETag`.
    pub etag: Option<String>,
}

/// The right of one collector to delete an unlinked blob's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    pub id: Uuid,
    /// Nothing that was begun under it has any effect from then on.
    pub until: DateTime<Utc>,
}

/// How the digest was proven; kept on the blob's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Hashed as the bytes passed through this server.
    Streamed,
    /// The store refused any other content and reports the SHA-256 of the whole object.
    StoreChecksum,
    /// The store computed the SHA-256 of the whole object while it copied it to where no URL writes.
    StoreCopy,
    /// Read back from the store and hashed here.
    ReadBack,
}

impl Proof {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Streamed => "streamed",
            Self::StoreChecksum => "store-checksum",
            Self::StoreCopy => "store-copy",
            Self::ReadBack => "read-back",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no proof.
#[derive(Debug, thiserror::Error)]
#[error("no such proof")]
pub struct UnknownProof;

impl FromStr for Proof {
    type Err = UnknownProof;

    fn from_str(text: &str) -> Result<Self, UnknownProof> {
        [Self::Streamed, Self::StoreChecksum, Self::StoreCopy, Self::ReadBack]
            .into_iter()
            .find(|proof| proof.as_str() == text)
            .ok_or(UnknownProof)
    }
}
