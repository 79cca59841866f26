//! A published blob, how its digest was proven and where its bytes stand.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::digest::Digest;
use super::upload::UploadId;
use super::words::words;

pub use overside_protocol::wire::ListedBlob;

/// A blob whose bytes were proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub proof: Proof,
    pub created_at: DateTime<Utc>,
    pub placement: Placement,
}

/// Where a blob's bytes are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
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

impl Placement {
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

words! {
    /// How the digest was proven; kept on the blob's row.
    Proof {
        /// Hashed as the bytes passed through this server.
        Streamed: "streamed",
        /// The store refused any other content and reports the SHA-256 of the whole object.
        StoreChecksum: "store-checksum",
        /// The store computed the SHA-256 of the whole object while it copied it to where no URL writes.
        StoreCopy: "store-copy",
        /// Read back from the store and hashed here.
        ReadBack: "read-back",
    }
}
