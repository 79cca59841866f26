//! What every store must do alike: the contract of `overside::storage`, case by case.
//!
//! A signed request is carried out as a client would carry it out: on S3 by sending it. On the filesystem its
//! URL leads back to the service, so here the body goes to the backend that the service would hand it to.

mod append;
mod multipart;
mod proof;
mod publish;
mod put;
mod remove;
mod temporary;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{TryStreamExt, stream};
use overside::domain::blob::{Blob, Placement, Proof};
use overside::domain::clock::Clock;
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;
use overside::domain::part::{Part, PartPlan, ReceivedPart};
use overside::domain::range::ByteRange;
use overside::domain::upload::{Transfer, UploadId};
use overside::storage::{
    Download, Evidence, Lengths, PresignedRequest, PutTerms, Sealed, Storage, StorageError, TempEntry,
    TempListing, TempOwner, key,
};
use tokio::sync::mpsc;

use crate::support::api::seeded_content;

/// Longer than any case takes.
const LIFETIME: Duration = Duration::from_mins(15);
const MIB: u64 = 1024 * 1024;
/// Above what any case sends.
const MAX_SIZE: u64 = 64 * MIB;
/// How a body and a sealed object are cut here: neither the backends' block size nor a divisor of it.
const CUT: usize = 300_001;

/// Names the cases of a module after their functions.
macro_rules! suite {
    ($($case:ident),* $(,)?) => {
        vec![$((stringify!($case), |storage| Box::pin($case(storage)))),*]
    };
}
use suite;

pub type Case = (&'static str, fn(Arc<Storage>) -> BoxFuture<'static, ()>);

/// Every case; each wants a store that nobody else writes to.
pub fn cases() -> Vec<Case> {
    [
        put::cases(),
        multipart::cases(),
        append::cases(),
        publish::cases(),
        proof::cases(),
        temporary::cases(),
        remove::cases(),
    ]
    .concat()
}

/// Bytes that repeat nowhere and are the same in every run.
fn content(seed: u64, size: u64) -> Bytes {
    seeded_content(seed, usize::try_from(size).expect("a size that fits in memory")).into()
}

fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// A PUT bound to exactly these bytes.
fn terms_of(bytes: &Bytes) -> PutTerms {
    PutTerms { size: Some(bytes.len() as u64), digest: Some(digest_of(bytes)) }
}

/// A PUT bound to the length of these bytes alone.
fn sized(bytes: &Bytes) -> PutTerms {
    PutTerms { size: Some(bytes.len() as u64), digest: None }
}

/// A signed request, and what it was signed for.
struct Signed {
    upload: UploadId,
    target: Target,
    request: PresignedRequest,
}

#[derive(Clone, Copy)]
enum Target {
    Put(PutTerms),
    Part(Part),
}

impl Signed {
    async fn put(storage: &Storage, upload: UploadId, terms: PutTerms) -> Self {
        let request = storage.presign_put(upload, terms, LIFETIME).await.expect("a PUT can be signed");
        Self { upload, target: Target::Put(terms), request }
    }

    async fn part(storage: &Storage, upload: UploadId, store_upload_id: &str, part: Part) -> Self {
        let signer = storage.part_signer(upload, store_upload_id, Lengths::Signed, LIFETIME).await;
        let request = signer.expect("parts can be signed").sign(part);
        Self { upload, target: Target::Part(part), request }
    }

    /// Sends a body with it: the ETag, or why it was refused.
    async fn send(&self, storage: &Storage, body: &Bytes) -> Result<String, String> {
        match storage {
            Storage::S3(_) => self.send_to_store(body.clone()).await,
            Storage::Filesystem(_) => {
                let pieces: Vec<_> = body.chunks(CUT).map(|piece| Ok(body.slice_ref(piece))).collect();
                let pieces = stream::iter(pieces);
                let received = match self.target {
                    Target::Put(terms) => storage.receive_put(self.upload, terms, MAX_SIZE, pieces).await,
                    Target::Part(part) => storage.receive_part(self.upload, "", part, pieces).await,
                };
                received.map_err(|error| error.to_string())
            }
        }
    }

    async fn send_to_store(&self, body: Bytes) -> Result<String, String> {
        let mut request = crate::support::http().put(&self.request.url);
        for (name, value) in &self.request.headers {
            // A lying client sends another body than it announced here; the wire carries the body's own length.
            if name != "content-length" {
                request = request.header(name, value);
            }
        }
        let response = request.header("content-length", body.len()).body(body).send().await;
        let response = response.map_err(|error| error.to_string())?;
        let (status, etag) = (response.status(), response.headers().get("etag").cloned());
        if !status.is_success() {
            return Err(format!("{status} {}", response.text().await.unwrap_or_default()));
        }
        let etag = etag.ok_or("no ETag")?;
        Ok(etag.to_str().map_err(|error| error.to_string())?.to_owned())
    }
}

/// Uploads a blob with one PUT and seals it.
async fn uploaded(storage: &Storage, bytes: &Bytes) -> (UploadId, Sealed) {
    let upload = UploadId::generate();
    Signed::put(storage, upload, terms_of(bytes))
        .await
        .send(storage, bytes)
        .await
        .expect("the body is taken");
    (
        upload,
        storage
            .seal(upload, &Transfer::Put, Algorithm::Sha256, true)
            .await
            .expect("what was sent can be sealed"),
    )
}

/// Sends the parts of a plan, in the order given.
async fn send_parts(
    storage: &Storage,
    upload: UploadId,
    store_upload_id: &str,
    parts: impl IntoIterator<Item = Part>,
    bytes: &Bytes,
) -> Vec<ReceivedPart> {
    let mut received = Vec::new();
    for part in parts {
        let signed = Signed::part(storage, upload, store_upload_id, part).await;
        let etag = signed.send(storage, &slice(bytes, part)).await.expect("the part is taken");
        received.push(ReceivedPart { number: part.number, size: part.size, etag });
    }
    received.sort_unstable_by_key(|part| part.number);
    received
}

fn slice(bytes: &Bytes, part: Part) -> Bytes {
    let at = |offset| usize::try_from(offset).expect("an offset that fits in memory");
    bytes.slice(at(part.offset)..at(part.offset + part.size))
}

fn transfer(plan: PartPlan, store_upload_id: &str) -> Transfer {
    Transfer::Multipart { plan, store_upload_id: store_upload_id.to_owned() }
}

/// Reads a sealed object in ranges.
async fn read(storage: &Storage, sealed: &Sealed) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    let mut start = 0;
    while start < sealed.size {
        let end = sealed.size.min(start + 3 * MIB + 1);
        bytes.extend_from_slice(&read_range(storage, sealed, ByteRange { start, end }).await?);
        start = end;
    }
    Ok(bytes)
}

async fn read_range(storage: &Storage, sealed: &Sealed, range: ByteRange) -> Result<Vec<u8>, StorageError> {
    let (to, mut pieces) = mpsc::channel::<Bytes>(1);
    let collected = async {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.recv().await {
            bytes.extend_from_slice(&piece);
        }
        bytes
    };
    let reading = async {
        let read = storage.read(sealed, range, &to).await;
        drop(to);
        read
    };
    let (read, bytes) = tokio::join!(reading, collected);
    read.map(|()| bytes)
}

/// Publishes a sealed object as the service does. [`StorageError::ChecksumMismatch`] where it is staged, and shown
/// to be something else.
async fn place(storage: &Storage, sealed: &Sealed, digest: &Digest) -> Result<(), StorageError> {
    if !sealed.is_exposed {
        return place_fixed(storage, sealed, digest).await;
    }
    storage.place(sealed, digest).await.expect_err("a URL still writes to it");
    let upload = key::temp_owner(sealed.key.as_str()).expect("it is an upload's");
    let fixed = storage.seal(upload, &Transfer::Put, digest.algorithm(), false).await?;
    let is_proven = match fixed.evidence {
        Evidence::ByStaging => true,
        Evidence::Digest(told, _) => told == *digest,
        Evidence::None => digest_of(&read(storage, &fixed).await?) == *digest,
    };
    if !is_proven {
        return Err(StorageError::ChecksumMismatch);
    }
    place_fixed(storage, &fixed, digest).await
}

/// The same of what no URL writes to any more.
async fn place_fixed(storage: &Storage, sealed: &Sealed, digest: &Digest) -> Result<(), StorageError> {
    if sealed.evidence != Evidence::ByStaging {
        return storage.place(sealed, digest).await;
    }
    storage.place(sealed, digest).await.expect_err("it is not fixed yet");
    let staged = storage.stage(sealed, digest).await?;
    if staged.sha256() == *digest {
        return storage.publish(&staged).await;
    }
    storage.unstage(&staged).await.expect("it can be given up");
    Err(StorageError::ChecksumMismatch)
}

/// A published blob's bytes, as its reader gets them.
async fn download(storage: &Storage, digest: &Digest, range: Option<ByteRange>) -> Vec<u8> {
    match storage.download(&blob(digest, 0), range, LIFETIME).await.expect("the blob can be had") {
        Download::Stream(pieces) => {
            pieces.map_ok(|piece| piece.to_vec()).try_concat().await.expect("its bytes")
        }
        Download::Url(url) => {
            let mut request = crate::support::http().get(url);
            if let Some(ByteRange { start, end }) = range {
                request = request.header("range", format!("bytes={start}-{}", end - 1));
            }
            let response = request.send().await.and_then(reqwest::Response::error_for_status);
            response.expect("the blob can be had").bytes().await.expect("its bytes").to_vec()
        }
    }
}

/// A placed blob's row.
fn blob(digest: &Digest, size: u64) -> Blob {
    let created_at = Clock::System.now();
    Blob { digest: *digest, size, proof: Proof::ReadBack, created_at, placement: Placement::Placed }
}

async fn is_placed(storage: &Storage, digest: &Digest, size: usize) -> bool {
    storage.has_blob(&blob(digest, size as u64)).await.expect("an answer")
}

/// Everything temporary, over all pages.
async fn all_temporary(storage: &Storage) -> Vec<TempEntry> {
    let (mut entries, mut listing) = (Vec::new(), Some(TempListing::default()));
    while let Some(now) = listing {
        let mut cursor = None;
        loop {
            let page = storage.temp_entries(now, cursor).await.expect("what is temporary can be listed");
            entries.extend(page.entries);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        listing = now.next();
    }
    entries
}

/// What of it belongs to one upload.
async fn temporary_of(storage: &Storage, upload: UploadId) -> Vec<TempEntry> {
    let mut entries = all_temporary(storage).await;
    entries.retain(|entry| entry.owner == TempOwner::Upload(upload));
    entries
}
