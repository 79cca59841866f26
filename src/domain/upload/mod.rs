//! The upload session: one blob on its way in.
//!
//! ```text
//! pending ──> uploading ──> finalizing{lease} ──> completed{digest}
//!    └───────────┴─> aborted | expired      └──> failed{failure}
//! finalizing with an expired lease can be claimed again, by any replica
//! finalizing ──> uploading when something is merely missing: the client sends it and finalizes again
//! ```
//! Transitions live in `transition.rs`, those of an append in `proxied.rs`; they are pure and consume the session.
//! `db::uploads` persists each by compare-and-swap on status and revision, so of two that race one is told to look again.

mod claim;
mod progress;
mod proxied;
mod transition;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::digest::{Algorithm, Digest};
use super::name::RepositoryName;
use super::part::{PartNumber, PartPlan};
use super::words::words;

pub use claim::Claim;
pub use overside_protocol::upload::{Status, TransferMode, UnknownValue, UploadId};
pub use progress::{Phase, Progress};
pub use proxied::Proxied;
pub use transition::Refusal;

/// In [`Upload::metadata`].
const NOTE: &str = "note";

/// One upload session.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    pub id: UploadId,
    pub repository: RepositoryName,
    pub user_id: Option<String>,
    /// What bytes that pass through this server are hashed with. A guess, where nothing was said at the beginning:
    /// the digest that the client finalizes with is the last word.
    pub algorithm: Algorithm,
    /// What the client says it will send; bound into the URL where one PUT carries the blob.
    pub declared_digest: Option<Digest>,
    /// Size in bytes, as declared, or as found once it is completed.
    pub size: Option<u64>,
    /// How many parts there will be, as declared by a client that tells no size: the number of the last one.
    pub last_part: Option<PartNumber>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Moves on with every sign of life from the client.
    pub expires_at: DateTime<Utc>,
    pub metadata: serde_json::Value,
    /// Bytes that the project's quota need not be asked for again: they are held for this session, or nothing limits
    /// the project.
    pub reserved: u64,
    /// Counts the writes to the row; with the status it is what compare-and-swap compares.
    pub revision: i64,
    /// Of whoever finalizes it, as of the last renewal of the lease; nothing rests on it.
    pub progress: Option<Progress>,
    pub state: State,
}

/// Where a session stands; each variant carries only what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Begun; nobody has said yet how the bytes will come.
    Pending {
        /// The store may hold a multipart upload that this session does not name yet. Without this it holds
        /// nothing of a pending session: there is nothing to remove when it ends.
        store_asked: bool,
    },
    Uploading {
        transfer: Transfer,
        /// Held by the one request that is appending to a proxied upload.
        append_lease: Option<Lease>,
    },
    Finalizing {
        transfer: Transfer,
        claim: Claim,
        lease: Lease,
    },
    Completed {
        digest: Digest,
        size: u64,
    },
    Failed {
        failure: Failure,
    },
    Aborted,
    Expired,
}

/// A front door that takes batches. Sessions are found again by whoever comes through the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchDoor {
    /// Git LFS.
    Lfs,
    /// The Hugging Face Hub.
    Hub,
    /// Ollama, with one blob each.
    Ollama,
}

impl BatchDoor {
    /// The one whose objects stay until somebody deletes them: what refers to them is kept elsewhere.
    pub const KEEPING: Self = Self::Lfs;

    /// As the session's row has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lfs => "lfs",
            Self::Hub => "hub",
            Self::Ollama => "ollama",
        }
    }
}

/// How the bytes come.
#[derive(Debug, Clone, PartialEq)]
pub enum Transfer {
    /// One presigned PUT.
    Put,
    /// Presigned parts.
    Multipart { plan: PartPlan, store_upload_id: String },
    /// Presigned parts of lengths that their client does not tell. How many is the session's `last_part`.
    OpenMultipart { store_upload_id: String },
    /// Through this server.
    Proxied(Proxied),
    /// One PUT to the store, to which a stock client was redirected. Its URL is bound to no digest that the store keeps,
    /// and nobody tells when the bytes are there: somebody has to look.
    Redirected,
}

/// The right to work on a session until a time; renewed by a live owner, claimed by others afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub owner: Uuid,
    pub expires_at: DateTime<Utc>,
}

impl Lease {
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        now < self.expires_at
    }
}

/// Why a session failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: FailureCode,
    /// For the client: what was expected and what was found.
    pub message: String,
}

words! {
    FailureCode {
        DigestMismatch: "digest-mismatch",
        SizeMismatch: "size-mismatch",
        /// Stored bytes were removed behind our back, by a lifecycle rule or a person.
        Vanished: "vanished",
        /// The project has no room for what was found.
        QuotaExceeded: "quota-exceeded",
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl FromStr for Failure {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        let (code, message) = text.split_once(": ").ok_or(UnknownValue)?;
        let code = code.parse().map_err(|_| UnknownValue)?;
        Ok(Self { code, message: message.to_owned() })
    }
}

impl Transfer {
    #[must_use]
    pub const fn mode(&self) -> TransferMode {
        match self {
            Self::Put => TransferMode::Put,
            Self::Multipart { .. } | Self::OpenMultipart { .. } => TransferMode::Multipart,
            Self::Proxied(_) => TransferMode::Proxied,
            Self::Redirected => TransferMode::Redirected,
        }
    }
}

impl State {
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Pending { .. } => Status::Pending,
            Self::Uploading { .. } => Status::Uploading,
            Self::Finalizing { .. } => Status::Finalizing,
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::Aborted => Status::Aborted,
            Self::Expired => Status::Expired,
        }
    }

    /// How the bytes come, while they do.
    #[must_use]
    pub const fn transfer(&self) -> Option<&Transfer> {
        match self {
            Self::Uploading { transfer, .. } | Self::Finalizing { transfer, .. } => Some(transfer),
            _ => None,
        }
    }

    /// Bytes that have come through this server: where the next chunk of a proxied upload begins.
    #[must_use]
    pub const fn received(&self) -> Option<u64> {
        match self.transfer() {
            Some(Transfer::Proxied(stored)) => Some(stored.received),
            _ => None,
        }
    }

    /// The lease on the session, live or not.
    #[must_use]
    pub const fn lease(&self) -> Option<Lease> {
        match self {
            Self::Uploading { append_lease, .. } => *append_lease,
            Self::Finalizing { lease, .. } => Some(*lease),
            _ => None,
        }
    }
}

impl Upload {
    /// Where the next byte goes; of a completed upload its size.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self.state {
            State::Completed { size, .. } => size,
            _ => self.state.received().unwrap_or_default(),
        }
    }

    /// What its client had to say of it when it began a resumable upload, and is told again; none of any other upload.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.metadata.get(NOTE)?.as_str()
    }

    pub fn set_note(&mut self, note: String) {
        if let Some(metadata) = self.metadata.as_object_mut() {
            metadata.insert(NOTE.to_owned(), note.into());
        }
    }

    /// A session just begun.
    #[must_use]
    pub fn begin(
        repository: RepositoryName,
        declared_digest: Option<Digest>,
        metadata: serde_json::Value,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self {
            id: UploadId::generate(),
            repository,
            user_id: None,
            algorithm: declared_digest.map(|digest| digest.algorithm()).unwrap_or_default(),
            declared_digest,
            size: None,
            last_part: None,
            created_at: now,
            updated_at: now,
            expires_at,
            metadata,
            reserved: 0,
            revision: 0,
            progress: None,
            state: State::Pending { store_asked: false },
        }
    }
}
