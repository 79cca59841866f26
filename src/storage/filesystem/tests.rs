//! What only this backend can get wrong: crash leftovers, stalled and racing writers, tricks with paths.
//! The contract that it shares with S3 is tested in tests/it/storage.

mod crash;
mod paths;
mod races;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hash::Hasher;
use crate::domain::part::{MIN_PART_SIZE, Part, PartPlan, ReceivedPart};
use crate::domain::range::ByteRange;
use crate::domain::upload::{Proxied, Transfer};
use crate::storage::Sealed;
use crate::storage::signed_url::{Grant, GrantTerms, SIGNING_KEY_LENGTH};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

const MAX_SIZE: u64 = 1024 * 1024;
const ANY: PutTerms = PutTerms { size: None, digest: None };
/// Two parts, the second short.
const PLAN_SIZE: u64 = MIN_PART_SIZE + 1000;

/// A store in a folder of its own.
struct Fixture {
    folder: TempDir,
    store: Filesystem,
}

impl Fixture {
    async fn new() -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let signer = UrlSigner::new([7; SIGNING_KEY_LENGTH], Some("http://127.0.0.1:1/".parse()?));
        let store = Filesystem::open_at(folder.path().join("store"), signer, Clock::System).await?;
        Ok(Self { folder, store })
    }

    fn temp(&self) -> PathBuf {
        self.store.root.join("temp")
    }

    /// The names in an upload's directory, in order.
    fn names(&self, upload: UploadId) -> Vec<String> {
        names(self.store.directory(upload).path())
    }

    async fn begin_put(&self) -> Result<UploadId> {
        let upload = UploadId::generate();
        self.store.presign_put(upload, ANY, Duration::from_mins(1)).await.map(|_| upload)
    }

    async fn put(&self, upload: UploadId, bytes: &'static [u8]) -> Result<String> {
        self.store.receive_put(upload, ANY, MAX_SIZE, body(bytes)).await
    }

    async fn seal_put(&self, upload: UploadId) -> Result<Sealed> {
        self.store.seal(upload, &Transfer::Put).await
    }

    async fn begin_multipart(&self) -> std::result::Result<Multipart, Box<dyn std::error::Error>> {
        let (upload, plan) = (UploadId::generate(), PartPlan::new(PLAN_SIZE, MIN_PART_SIZE)?);
        let id = self.store.create_multipart(upload).await?;
        let parts = plan.parts().collect();
        Ok(Multipart { upload, parts, transfer: Transfer::Multipart { plan, store_upload_id: id } })
    }

    async fn read(&self, sealed: &Sealed) -> Result<Bytes> {
        let (to, mut blocks) = tokio::sync::mpsc::channel(usize::MAX >> 4);
        self.store.read(sealed, ByteRange { start: 0, end: sealed.size }, &to).await?;
        drop(to);
        let mut bytes = Vec::new();
        while let Some(block) = blocks.recv().await {
            bytes.extend_from_slice(&block);
        }
        Ok(bytes.into())
    }
}

struct Multipart {
    upload: UploadId,
    parts: Vec<Part>,
    transfer: Transfer,
}

impl Multipart {
    /// Sends a part of nothing but `byte`.
    async fn send(&self, fixture: &Fixture, index: usize, byte: u8) -> Result<ReceivedPart> {
        let part = self.parts[index];
        let etag = fixture.store.receive_part(self.upload, part, filled(part.size, byte)).await?;
        Ok(ReceivedPart { number: part.number, size: part.size, etag })
    }
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn body(bytes: &'static [u8]) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin {
    stream::iter([Ok(Bytes::from_static(bytes))])
}

fn filled(size: u64, byte: u8) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin {
    stream::iter([Ok(Bytes::from(vec![byte; usize::try_from(size).unwrap_or(0)]))])
}

fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// What the database knows of a proxied upload with this many bytes.
fn received(received: u64) -> Proxied {
    let hash_state = Hasher::default().save();
    Proxied { received, hash_state, part_size: MIN_PART_SIZE, store_upload_id: None, tail_id: None }
}

/// A body whose sender decides when the next bytes come.
fn slow_body()
-> (mpsc::Sender<std::io::Result<Bytes>>, impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin) {
    let (sender, receiver) = mpsc::channel(1);
    let next =
        |mut receiver: mpsc::Receiver<_>| async move { receiver.recv().await.map(|item| (item, receiver)) };
    (sender, Box::pin(stream::unfold(receiver, next)))
}

#[tokio::test]
async fn a_signed_url_and_its_headers_say_the_same() -> Outcome {
    let fixture = Fixture::new().await?;
    let (upload, digest) = (UploadId::generate(), digest_of(b"bytes"));
    let terms = PutTerms { size: Some(5), digest: Some(digest) };
    let request = fixture.store.presign_put(upload, terms, Duration::from_mins(1)).await?;
    let url: url::Url = request.url.parse()?;
    let query = |name| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(url.path(), format!("/signed/{upload}"));
    assert_eq!(query("length").as_deref(), Some("5"));
    assert_eq!(query("digest"), Some(digest.to_string()));
    let header = |name| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!(header("content-length").as_deref(), Some("5"));
    assert_eq!(header("content-type").as_deref(), Some("application/octet-stream"));
    assert_eq!(header("x-amz-checksum-sha256"), digest.to_base64());
    let expires = query("expires").ok_or("no expiry")?.parse()?;
    let grant =
        Grant { upload, part: None, terms: GrantTerms { expires, length: Some(5), digest: Some(digest) } };
    let signature = query("signature").ok_or("no signature")?;
    fixture.store.signer().verify(&grant, &signature, Clock::System.now())?;
    Ok(())
}

#[tokio::test]
async fn errors_tell_too_long_from_too_short_from_wrong() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let terms = |size, bytes| PutTerms { size, digest: Some(digest_of(bytes)) };
    let put = |terms, max_size, bytes| fixture.store.receive_put(upload, terms, max_size, body(bytes));
    assert!(matches!(put(terms(Some(4), b"five"), 99, b"fives").await, Err(StorageError::TooLarge(_))));
    assert!(matches!(put(terms(None, b"five"), 4, b"fives").await, Err(StorageError::TooLarge(_))));
    assert!(matches!(put(terms(Some(9), b"five"), 4, b"fives").await, Err(StorageError::TooLarge(_))));
    assert!(matches!(put(terms(Some(4), b"five"), 99, b"fiv").await, Err(StorageError::Incomplete)));
    assert!(matches!(put(terms(Some(4), b"five"), 99, b"four").await, Err(StorageError::ChecksumMismatch)));
    let broken =
        stream::iter([Ok(Bytes::from_static(b"fi")), Err(std::io::ErrorKind::ConnectionReset.into())]);
    let outcome = fixture.store.receive_put(upload, ANY, 99, broken).await;
    assert!(matches!(outcome, Err(StorageError::Incomplete)));
    assert_eq!(fixture.names(upload), ["lock"]);
    put(terms(Some(4), b"five"), 99, b"five").await?;
    assert_eq!(fixture.names(upload), ["data", "data.digest", "lock"]);
    Ok(())
}

#[tokio::test]
async fn a_put_is_held_to_the_digest_in_its_url_whatever_the_algorithm() -> Outcome {
    let fixture = Fixture::new().await?;
    let (upload, digest) = (UploadId::generate(), Hasher::digest(Algorithm::Sha512, b"bytes"));
    let terms = PutTerms { size: Some(5), digest: Some(digest) };
    let request = fixture.store.presign_put(upload, terms, Duration::from_mins(1)).await?;
    assert!(request.url.contains(&format!("digest=sha512%3A{}", digest.hex())));
    assert!(request.headers.iter().all(|(name, _)| name != "x-amz-checksum-sha256"), "no header of its kind");
    let wrong = fixture.store.receive_put(upload, terms, MAX_SIZE, body(b"other")).await;
    assert!(matches!(wrong, Err(StorageError::ChecksumMismatch)));
    assert_eq!(fixture.names(upload), ["lock"]);
    fixture.store.receive_put(upload, terms, MAX_SIZE, body(b"bytes")).await?;
    assert_eq!(fixture.seal_put(upload).await?.digest(), Some(digest));
    Ok(())
}
