//! From what an upload left to a blob in its place: sealed, read, placed, and the rest discarded.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Evidence, ProofMethod, Result, Sealed, Staged, Storage, StorageError, UploadKind};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::pace::{Pace, Work};
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, UploadId};

impl Storage {
    /// Fixes what will be published and has to be proven by `algorithm`. `hash_bound` says that every URL of a PUT
    /// was signed with the digest of the only bytes it takes.
    ///
    /// # Errors
    ///
    /// `NotFound` when nothing was uploaded, `Encrypted` for what nobody here can read.
    pub async fn seal(
        &self,
        upload: UploadId,
        transfer: &Transfer,
        algorithm: Algorithm,
        hash_bound: bool,
    ) -> Result<Sealed> {
        match self {
            Self::S3(backend) => backend.seal(upload, transfer, algorithm, hash_bound).await,
            // It fixes everything alike, and tells of a PUT what it was hashed with as it came.
            Self::Filesystem(backend) => backend.seal(upload, transfer).await,
        }
    }

    /// Fixes what is proven by reading it after all, because no copy proved it: what [`Storage::seal`] gave with
    /// [`Evidence::ByStaging`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::seal`]; `Precondition` where the object has changed since.
    pub async fn seal_for_reading(
        &self,
        upload: UploadId,
        transfer: &Transfer,
        sealed: &Sealed,
    ) -> Result<Sealed> {
        match self {
            Self::S3(backend) => backend.seal_for_reading(upload, transfer, sealed).await,
            // It fixes everything alike.
            Self::Filesystem(_) => Ok(sealed.clone()),
        }
    }

    /// Takes in how long it took to read this many bytes.
    pub fn record_reading(&self, bytes: u64, took: Duration) {
        match self {
            Self::S3(backend) => backend.record(Work::Reading, bytes, took),
            Self::Filesystem(_) => {}
        }
    }

    /// What was seen of the store's pace and is worth keeping for whoever starts next, with the store's identity.
    #[must_use]
    pub fn unkept_pace(&self) -> Option<(String, Pace)> {
        match self {
            Self::S3(backend) => backend.unkept_pace().map(|pace| (backend.identity(), pace)),
            Self::Filesystem(_) => None,
        }
    }

    /// Reads a range of a sealed object and hands its bytes over as they come, exactly as many as asked for.
    /// Ends early, and well, when nobody takes them any more.
    ///
    /// # Errors
    ///
    /// `Precondition` where the object is not the one that was sealed, `NotFound`.
    pub async fn read(&self, sealed: &Sealed, range: ByteRange, to: &mpsc::Sender<Bytes>) -> Result<()> {
        on!(self, backend => backend.read(sealed, range, to).await)
    }

    /// Publishes a sealed object whose digest was proven at its content-addressed path.
    ///
    /// # Errors
    ///
    /// `Refused` for an exposed object, or one that staging proves; `Precondition` where it is
    /// not the one that was sealed.
    pub async fn place(&self, sealed: &Sealed, digest: &Digest) -> Result<()> {
        if sealed.is_exposed || sealed.evidence == Evidence::ByStaging {
            // A client may have changed it since, and nothing here would notice.
            return Err(StorageError::refused("place an object")(
                "its bytes have to be proven as they are copied",
            ));
        }
        on!(self, backend => backend.place(sealed, digest).await)
    }

    /// Copies an object to a blob's place, invisibly, and has the store compute its SHA-256 on the way.
    ///
    /// # Errors
    ///
    /// `Refused` for a digest that no store computes, and on files; `Precondition` as
    /// [`Self::place`].
    pub async fn stage(&self, sealed: &Sealed, digest: &Digest) -> Result<Staged> {
        if digest.algorithm() != Algorithm::Sha256 {
            return Err(StorageError::refused("stage a blob")("what it computes is a SHA-256"));
        }
        match self {
            Self::S3(backend) => backend.stage(sealed, digest).await,
            // It seals no object that asks for it.
            Self::Filesystem(_) => Err(StorageError::refused("stage a blob")("nothing computes its digest")),
        }
    }

    /// Seals what [`Evidence::ByStaging`] would prove, where nobody says what it is to be: by a copy to where no URL
    /// writes, whose SHA-256 the store computes on the way.
    ///
    /// # Errors
    ///
    /// As [`Self::stage`].
    pub async fn seal_by_staging(&self, upload: UploadId, sealed: &Sealed) -> Result<Sealed> {
        match self {
            Self::S3(backend) => backend.seal_by_staging(upload, sealed).await,
            Self::Filesystem(_) => Err(StorageError::refused("stage a blob")("nothing computes its digest")),
        }
    }

    /// Publishes what was staged and whose digest is the claimed one.
    ///
    /// # Errors
    ///
    /// `UploadNotFound`: nothing is staged any more.
    pub async fn publish(&self, staged: &Staged) -> Result<()> {
        match self {
            Self::S3(backend) => backend.publish(staged).await,
            Self::Filesystem(_) => Err(StorageError::UploadNotFound),
        }
    }

    /// Gives up what was staged; what is gone is fine.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it may be there still.
    pub async fn unstage(&self, staged: &Staged) -> Result<()> {
        match self {
            Self::S3(backend) => backend.unstage(staged).await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// How the digest of an upload of this kind, of a size of which nothing special was seen, is proven here.
    #[must_use]
    pub fn proof_method(&self, kind: UploadKind) -> ProofMethod {
        match (self, kind) {
            (Self::S3(backend), _) => backend.capabilities().proof_method(kind),
            (Self::Filesystem(_), UploadKind::Proxied) => ProofMethod::Streamed,
            // A PUT passes through this service and is hashed on its way to the disk.
            (Self::Filesystem(_), UploadKind::BoundPut | UploadKind::Put) => ProofMethod::StoreChecksum,
            (Self::Filesystem(_), UploadKind::Parts | UploadKind::Large) => ProofMethod::ReadBack,
        }
    }

    /// Removes everything an upload left below its temporary prefix.
    ///
    /// # Errors
    ///
    /// `Unavailable`: some of it may be there still.
    pub async fn discard(&self, upload: UploadId) -> Result<()> {
        on!(self, backend => backend.discard(upload).await)
    }

    /// Removes what an upload whose bytes are published from `sealed` is known to have left; cheaper than
    /// [`Self::discard`].
    ///
    /// # Errors
    ///
    /// As [`Self::discard`].
    pub async fn discard_published(
        &self,
        upload: UploadId,
        transfer: &Transfer,
        sealed: &Sealed,
    ) -> Result<()> {
        match self {
            Self::S3(backend) => backend.discard_published(upload, transfer, sealed).await,
            Self::Filesystem(backend) => backend.discard(upload).await,
        }
    }

    /// Whether placing moves bytes, and a client had better not wait for it.
    #[must_use]
    pub const fn place_copies(&self) -> bool {
        match self {
            Self::S3(_) => true,
            Self::Filesystem(_) => false,
        }
    }
}
