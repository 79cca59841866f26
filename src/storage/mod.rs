//! Where the bytes are: keys in, bytes and facts about them out. Knows nothing of sessions or HTTP.
//!
//! # The contract, kept by every backend (tests/it/storage.rs holds them to it)
//!
//! * Everything an upload writes before it is published lies below `temp/<upload uuid>/`.
//! * A presigned request writes one key, with the length and the SHA-256 it was signed with or not at all.
//! * What a store tells of an object's digest says its algorithm, and proves nothing of another one.
//! * [`Storage::seal`] fixes what will be published: whatever a client still sends afterwards, reading and
//!   placing the [`Sealed`] object yields the bytes that were sealed, or [`StorageError::Precondition`].
//!   One that is proven [`Evidence::ByStaging`] is fixed by [`Storage::stage`] instead. One that is
//!   exposed is never placed: what a new seal makes of it is proven once more, and placed.
//! * [`Storage::place`] makes a blob appear whole or not at all, and leaves the sealed object where it is; so
//!   does [`Storage::publish`], with the very bytes that were staged.
//! * Every operation may be repeated: completing what is completed, placing what is placed and discarding
//!   what is gone succeed.
//! * What has been acknowledged survives a crash of this process and of the machine.

mod appender;
pub mod capability;
pub mod error;
pub mod filesystem;
mod finding;
pub mod key;
mod presigned;
pub mod probe;
mod published;
pub mod s3;
mod sealed;
mod segmented_bytes;
pub mod signed_url;
mod temporary;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::Stream;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::blob::{Blob, Placement};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::pace::{Pace, Work};
use crate::domain::part::{MAX_OBJECT_SIZE, MAX_PART_COUNT, Part, ReceivedPart};
use crate::domain::range::ByteRange;
use crate::domain::upload::{Proxied, Transfer, UploadId};

pub use appender::Appender;
pub use capability::{ProofMethod, UploadKind};
pub use error::StorageError;
pub use filesystem::Filesystem;
pub use finding::{Finding, Verdict};
pub use presigned::{PresignedRequest, PutTerms};
pub use published::{BlobCursor, BlobEntry, BlobPage};
pub use s3::{PartSigner, S3};
pub use sealed::{Evidence, Sealed, Staged};
use signed_url::UrlSigner;
pub use temporary::{TempCursor, TempEntry, TempKind, TempListing, TempOwner, TempPage};

/// A store.
#[derive(Debug)]
pub enum Storage {
    S3(S3),
    Filesystem(Filesystem),
}

/// The content type of everything stored: opaque bytes, and no browser is tempted to render them.
const CONTENT_TYPE: &str = "application/octet-stream";

/// How a blob reaches the client.
#[expect(missing_debug_implementations, reason = "holds a stream")]
pub enum Download {
    /// From the store, by a presigned GET.
    Url(String),
    /// Through this server.
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
}

/// What an append left in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    pub store_upload_id: Option<String>,
    pub tail_id: Option<Uuid>,
    /// Parts that this append finished.
    pub parts: Vec<ReceivedPart>,
}

/// Runs one call on whichever backend it is.
macro_rules! on {
    ($storage:expr, $backend:ident => $call:expr) => {
        match $storage {
            Storage::S3($backend) => $call,
            Storage::Filesystem($backend) => $call,
        }
    };
}

type Result<T> = std::result::Result<T, StorageError>;

impl Storage {
    /// Signs one PUT of the whole blob.
    pub async fn presign_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        on!(self, backend => backend.presign_put(upload, terms, lifetime).await)
    }

    /// Signs the one PUT that a stock client is redirected to. None where there is no bucket for it to go to, or where
    /// the bucket's URLs permit too much without headers that only clients of ours send.
    pub async fn presign_redirect(
        &self,
        upload: UploadId,
        size: u64,
        digest: &Digest,
        lifetime: Duration,
    ) -> Result<Option<PresignedRequest>> {
        match self {
            Self::S3(backend) => backend.presign_redirect(upload, size, digest, lifetime).await,
            Self::Filesystem(_) => Ok(None),
        }
    }

    /// Whether clients may ever have been redirected here with their uploads.
    #[must_use]
    pub const fn takes_redirects(&self) -> bool {
        match self {
            Self::S3(_) => true,
            Self::Filesystem(_) => false,
        }
    }

    /// The size of what a client has put to an upload's URL, in bytes; none while there is nothing.
    pub async fn arrived(&self, upload: UploadId) -> Result<Option<u64>> {
        match self {
            Self::S3(backend) => backend.size(&key::temp_data(upload)).await,
            Self::Filesystem(_) => Ok(None),
        }
    }

    /// Prepares to sign the parts of a multipart upload.
    pub async fn part_signer(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        lifetime: Duration,
    ) -> Result<PartSigner> {
        Ok(match self {
            Self::S3(backend) => backend.part_signer(upload, store_upload_id, lifetime).await?,
            Self::Filesystem(backend) => PartSigner::Own(backend.part_signer(upload, lifetime)),
        })
    }

    /// What signs the URLs that lead back to this service, and checks those that come back. None where this process
    /// signs none.
    #[must_use]
    pub const fn own_urls(&self) -> Option<&UrlSigner> {
        match self {
            Self::S3(backend) => backend.own_urls(),
            Self::Filesystem(backend) => Some(backend.signer()),
        }
    }

    /// Takes the body of a PUT that this service signed, and tells the ETag that it got. A body that is not what
    /// `terms` say, or longer than `max_size` bytes, does not count. [`StorageError::UploadNotFound`] once there is
    /// no place for it any more.
    pub async fn receive_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        max_size: u64,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        match self {
            Self::S3(backend) => backend.receive_put(upload, terms, max_size, body).await,
            Self::Filesystem(backend) => backend.receive_put(upload, terms, max_size, body).await,
        }
    }

    /// Takes the body of a part that this service signed, and tells the ETag that it got. A body of another length
    /// does not count.
    pub async fn receive_part(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        part: Part,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        match self {
            Self::S3(backend) => backend.receive_part(upload, store_upload_id, part, body).await,
            Self::Filesystem(backend) => backend.receive_part(upload, part, body).await,
        }
    }

    /// Begins a multipart upload to the upload's data key and names it.
    pub async fn create_multipart(&self, upload: UploadId) -> Result<String> {
        on!(self, backend => backend.create_multipart(upload).await)
    }

    /// The parts that have arrived, in order. [`StorageError::UploadNotFound`] once it is completed or aborted.
    pub async fn list_parts(&self, upload: UploadId, store_upload_id: &str) -> Result<Vec<ReceivedPart>> {
        on!(self, backend => backend.list_parts(upload, store_upload_id).await)
    }

    /// Makes one object of the parts, insisting on their ETags. [`StorageError::UploadNotFound`] once it is gone.
    pub async fn complete_multipart(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        on!(self, backend => backend.complete_multipart(upload, store_upload_id, parts).await)
    }

    /// Gives up a multipart upload; one that is gone is fine.
    pub async fn abort_multipart(&self, upload: UploadId, store_upload_id: &str) -> Result<()> {
        on!(self, backend => backend.abort_multipart(upload, store_upload_id).await)
    }

    /// Opens a proxied upload for appending at its offset; `lease` names what this append writes anew.
    pub async fn append(
        &self,
        upload: UploadId,
        stored: &Proxied,
        lease: Uuid,
        caller: &str,
    ) -> Result<Appender> {
        Ok(match self {
            Self::S3(backend) => Appender::S3(Box::new(backend.append(upload, stored, lease, caller).await?)),
            Self::Filesystem(backend) => Appender::Filesystem(backend.append(upload, stored).await?),
        })
    }

    /// How many bytes a proxied upload in parts of this size can hold.
    #[must_use]
    pub const fn largest_proxied(&self, part_size: u64) -> u64 {
        match self {
            Self::S3(_) => part_size.saturating_mul(MAX_PART_COUNT as u64),
            Self::Filesystem(_) => MAX_OBJECT_SIZE,
        }
    }

    /// Removes a tail object that a later append has taken in.
    pub async fn remove_tail(&self, upload: UploadId, tail: Uuid) -> Result<()> {
        match self {
            Self::S3(backend) => backend.remove(&key::temp_tail(upload, tail)).await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Makes one object of a proxied upload's parts (in order, all of them) and its tail.
    pub async fn assemble_proxied(
        &self,
        upload: UploadId,
        stored: &Proxied,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        match self {
            Self::S3(backend) => backend.assemble_proxied(upload, stored, parts).await,
            // The file has them all, one after the other.
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Fixes what will be published and has to be proven by `algorithm`. `hash_bound` says that every URL of a PUT
    /// was signed with the digest of the only bytes it takes. [`StorageError::NotFound`] when nothing was uploaded.
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
    pub async fn read(&self, sealed: &Sealed, range: ByteRange, to: &mpsc::Sender<Bytes>) -> Result<()> {
        on!(self, backend => backend.read(sealed, range, to).await)
    }

    /// Publishes a sealed object whose digest was proven at its content-addressed path.
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

    /// Publishes what was staged and whose digest is the claimed one.
    pub async fn publish(&self, staged: &Staged) -> Result<()> {
        match self {
            Self::S3(backend) => backend.publish(staged).await,
            Self::Filesystem(_) => Err(StorageError::UploadNotFound),
        }
    }

    /// Gives up what was staged; what is gone is fine.
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
    pub async fn discard(&self, upload: UploadId) -> Result<()> {
        on!(self, backend => backend.discard(upload).await)
    }

    /// Removes what an upload whose bytes are published from `sealed` is known to have left; cheaper than
    /// [`Self::discard`].
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

    /// Whether a blob's object is there, of the right size, and can be read.
    pub async fn has_blob(&self, blob: &Blob) -> Result<bool> {
        if !blob.placement.is_readable() {
            return Ok(false);
        }
        let size = match self {
            Self::S3(backend) => backend.size(&stands_at(blob)?).await?,
            Self::Filesystem(backend) => backend.blob_size(&blob.digest).await?,
        };
        Ok(size == Some(blob.size))
    }

    /// A published blob's bytes, all or a range. [`StorageError::NotFound`] where this is noticed now.
    pub async fn download(
        &self,
        blob: &Blob,
        range: Option<ByteRange>,
        lifetime: Duration,
    ) -> Result<Download> {
        match self {
            Self::S3(backend) => backend.presign_get(&stands_at(blob)?, lifetime).await.map(Download::Url),
            Self::Filesystem(_) => self.stream(blob, range).await.map(Download::Stream),
        }
    }

    /// The same by way of this server.
    pub async fn stream(
        &self,
        blob: &Blob,
        range: Option<ByteRange>,
    ) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        match self {
            Self::S3(backend) => backend.open(stands_at(blob)?, range).await,
            Self::Filesystem(backend) => backend.open(&blob.digest, range).await,
        }
    }

    /// Removes a published blob, if it can be done before `until`: nothing that this begins has any effect from
    /// then on. One that is gone is fine.
    pub async fn remove_blob(&self, digest: &Digest, until: DateTime<Utc>) -> Result<()> {
        on!(self, backend => backend.remove_blob(digest, until).await)
    }

    /// Fails with [`StorageError::IgnoresEnd`] where a removal that ended `lag` ago, by our clock, still has an effect.
    pub async fn check_ends(&self, lag: Duration) -> Result<()> {
        // A filesystem looks at our clock itself, under a lock.
        if let Self::S3(store) = self { store.check_ends(lag).await } else { Ok(()) }
    }

    /// Lists what is published, a page at a time.
    pub async fn blob_entries(&self, cursor: Option<BlobCursor>) -> Result<BlobPage> {
        on!(self, backend => backend.blob_entries(cursor).await)
    }

    /// Lists what is temporary, a page of one listing at a time.
    pub async fn temp_entries(&self, listing: TempListing, cursor: Option<TempCursor>) -> Result<TempPage> {
        on!(self, backend => backend.temp_entries(listing, cursor).await)
    }

    /// Removes one thing that was listed; one that is gone is fine.
    pub async fn remove_temp(&self, entry: &TempEntry) -> Result<()> {
        on!(self, backend => backend.remove_temp(entry).await)
    }

    /// A cheap question whose answer shows that the store is reachable and lets us in.
    pub async fn check(&self) -> Result<()> {
        on!(self, backend => backend.check().await)
    }
}

fn stands_at(blob: &Blob) -> Result<key::Key> {
    match &blob.placement {
        Placement::Placed => Ok(key::blob(&blob.digest)),
        Placement::Sealed(object) => key::sealed(object).ok_or(StorageError::NotFound),
        Placement::Exposed(_) | Placement::Lost => Err(StorageError::NotFound),
    }
}
