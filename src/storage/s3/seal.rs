//! From the temp object to the published one: seal, read, place.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType};
use bytes::Bytes;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::copying::is_worth_another_way;
use super::{S3, classify};
use crate::domain::blob::Proof;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::pace::Work;
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, UploadId};
use crate::log_text::chain;
use crate::storage::capability::Capability;
use crate::storage::key::Key;
use crate::storage::{Evidence, ProofMethod, Result, Sealed, StorageError, UploadKind, key};

/// Silence in the middle of a body after which the store counts as gone.
const READ_IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Times that one range may break off before the store counts as gone. The SDK repeats a request until its
/// answer begins, not a body that ends early; a proof by reading would otherwise begin at the first byte again.
const BROKEN_READS: u32 = 4;

/// An object as the store describes it.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Found {
    pub key: Key,
    /// In bytes.
    pub size: u64,
    pub etag: Option<String>,
    /// What the store says it hashes to.
    pub sha256: Option<Digest>,
    /// Whether the store said that this is no checksum of checksums. Not every store says.
    pub is_full_object: bool,
    /// See [`Sealed::is_plain`].
    pub is_plain: bool,
}

impl Found {
    /// With the store's checksum as evidence, where there is one.
    fn evident(self, proof: Proof) -> Sealed {
        let evidence = self.sha256.map_or(Evidence::None, |sha256| Evidence::Digest(sha256, proof));
        Sealed { evidence, ..self.into() }
    }
}

impl From<Found> for Sealed {
    fn from(found: Found) -> Self {
        Self {
            key: found.key,
            size: found.size,
            etag: found.etag,
            evidence: Evidence::None,
            is_plain: found.is_plain,
            is_exposed: false,
        }
    }
}

impl S3 {
    pub(in crate::storage) async fn seal(
        &self,
        upload: UploadId,
        transfer: &Transfer,
        algorithm: Algorithm,
        hash_bound: bool,
    ) -> Result<Sealed> {
        let found = match transfer {
            Transfer::Proxied(stored) if stored.store_upload_id.is_none() => {
                self.head(key::temp_tail(upload, stored.tail_id.ok_or(StorageError::NotFound)?)).await?
            }
            _ => self.head(key::temp_data(upload)).await?,
        };
        let capabilities = self.capabilities();
        let mut kind = UploadKind::of(transfer, hash_bound, found.size);
        if kind == UploadKind::BoundPut && !(capabilities.checksum_is_proof() && found.sha256.is_some()) {
            kind = UploadKind::of(transfer, false, found.size);
        }
        let method = match self.proof_method(kind, found.size) {
            // It computes and enforces no other digest.
            _ if algorithm != Algorithm::Sha256 => ProofMethod::ReadBack,
            // Not every store takes an empty part, and nothing is read back quickly.
            ProofMethod::Gate if found.size == 0 => ProofMethod::ReadBack,
            method => method,
        };
        match method {
            // The URL of a PUT outlives the seal. The store holds it to the digest, but may know a header that is a
            // way round: so these bytes prove the digest, and are proven again before anybody reads them.
            ProofMethod::StoreChecksum => {
                Ok(Sealed { is_exposed: true, ..found.evident(Proof::StoreChecksum) })
            }
            // It fixes by itself what it publishes, so that no other copy is needed.
            ProofMethod::Gate => Ok(Sealed { evidence: Evidence::ByStaging, ..found.into() }),
            ProofMethod::SealingCopy => {
                let capability = match kind {
                    UploadKind::Parts => Capability::CopyOfPartsComputes,
                    _ => Capability::CopyComputes,
                };
                let sealed = Box::pin(self.seal_by_proving_copy(upload, &found)).await;
                match self.relying_on(capability, sealed) {
                    Err(error) if is_worth_another_way(&error) => {
                        tracing::warn!(%upload, error = %chain(&error), "no copy proves it; it is read instead");
                        Box::pin(self.seal_for_reading(upload, transfer, &found.into())).await
                    }
                    sealed => sealed,
                }
            }
            ProofMethod::Streamed | ProofMethod::ReadBack => {
                Box::pin(self.seal_for_reading(upload, transfer, &found.into())).await
            }
        }
    }

    /// How an upload of this kind and size is proven: the cheapest proof, as long as copies of this size succeed and
    /// reading is not known to prove it sooner.
    #[must_use]
    pub fn proof_method(&self, kind: UploadKind, size: u64) -> ProofMethod {
        match self.capabilities().proof_method(kind) {
            ProofMethod::Gate | ProofMethod::SealingCopy
                if size > self.largest_copy(Work::Proving)
                    // A PUT, whose URL lives, has to be copied before it can be read.
                    || kind == UploadKind::Parts
                        && !self.copy_terms.avoid_reading_back
                        && self.pace().reads_sooner(size) =>
            {
                ProofMethod::ReadBack
            }
            method => method,
        }
    }

    /// Fixes what is proven by reading it.
    pub(in crate::storage) async fn seal_for_reading(
        &self,
        upload: UploadId,
        transfer: &Transfer,
        found: &Sealed,
    ) -> Result<Sealed> {
        let sealed = Sealed { evidence: Evidence::None, ..found.clone() };
        // What we wrote ourselves, and what was completed, no URL writes to any more.
        if !matches!(transfer, Transfer::Put | Transfer::Redirected) {
            return Ok(sealed);
        }
        // Any other URL can replace the bytes after they were proven, and no condition on the ETag stops
        // that: it is an MD5 on most stores, and collisions of MD5 are made in seconds. So what is
        // proven and published is a copy that no URL reaches.
        let key = self.duplicate(&sealed, || key::temp_sealed(upload, Some(Uuid::new_v4())), None).await?;
        Ok(self.head(key).await?.into())
    }

    /// Seals by a copy to where no URL writes, with a checksum that the store computes on the way.
    async fn seal_by_proving_copy(&self, upload: UploadId, found: &Found) -> Result<Sealed> {
        let key = key::temp_sealed(upload, Some(Uuid::new_v4()));
        self.copy(&found.clone().into(), &key, Some(ChecksumAlgorithm::Sha256)).await?;
        let copied = self.head(key).await?;
        // Where the store says that it is the checksum of the whole, and no other: a hash of hashes looks alike.
        Ok(if copied.is_full_object { copied.evident(Proof::StoreCopy) } else { copied.into() })
    }

    pub(in crate::storage) async fn read(
        &self,
        sealed: &Sealed,
        range: ByteRange,
        to: &mpsc::Sender<Bytes>,
    ) -> Result<()> {
        let (mut rest, mut broken, mut before) = (range, 0, range.start);
        loop {
            // Whoever reads slowly may have its store hang up now and then.
            if rest.start > before {
                (broken, before) = (0, rest.start);
            }
            match self.read_on(sealed, &mut rest, to).await {
                Err(StorageError::Unavailable { .. }) if broken < BROKEN_READS => broken += 1,
                outcome => return outcome,
            }
        }
    }

    /// Reads `rest` and keeps it to what is still to come, so that the next try goes on where this one broke.
    async fn read_on(&self, sealed: &Sealed, rest: &mut ByteRange, to: &mpsc::Sender<Bytes>) -> Result<()> {
        let object = self
            .client
            .get_object()
            .bucket(self.bucket())
            .key(self.path(&sealed.key))
            .set_if_match(sealed.etag.clone())
            .range(format!("bytes={}-{}", rest.start, rest.end - 1))
            .send()
            .await
            .map_err(classify("read an object"))?;
        let mut body = object.body;
        while rest.start < rest.end {
            let next = tokio::time::timeout(READ_IDLE_TIMEOUT, body.next()).await;
            let bytes = match next.map_err(StorageError::unavailable("read an object in time"))? {
                Some(bytes) => bytes.map_err(StorageError::unavailable("read an object"))?,
                None => return Err(StorageError::Precondition),
            };
            rest.start += bytes.len() as u64;
            if to.send(bytes).await.is_err() {
                return Ok(());
            }
        }
        if rest.start == rest.end { Ok(()) } else { Err(StorageError::Precondition) }
    }

    pub(in crate::storage) async fn read_object(&self, key: &Key) -> Result<Bytes> {
        let object = self.client.get_object().bucket(self.bucket()).key(self.path(key)).send().await;
        let body = object.map_err(classify("read an object"))?.body;
        Ok(body.collect().await.map_err(StorageError::unavailable("read an object"))?.into_bytes())
    }

    pub(in crate::storage) async fn place(&self, sealed: &Sealed, digest: &Digest) -> Result<()> {
        self.duplicate(sealed, || key::blob(digest), Some(digest)).await.map(drop)
    }

    pub(in crate::storage) async fn size(&self, key: &Key) -> Result<Option<u64>> {
        match self.head(key.clone()).await {
            Ok(found) => Ok(Some(found.size)),
            // What nobody can read is not there for anybody.
            Err(StorageError::NotFound | StorageError::Encrypted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks at an object. A composite checksum is none: it is a hash of hashes.
    pub(in crate::storage) async fn head(&self, key: Key) -> Result<Found> {
        let found = self
            .client
            .head_object()
            .bucket(self.bucket())
            .key(self.path(&key))
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(classify("look at an object"));
        let found = match found {
            Err(StorageError::Refused { .. }) if Box::pin(self.is_encrypted(&key)).await => {
                Err(StorageError::Encrypted)
            }
            found => found,
        }?;
        let kind = found.checksum_type.as_ref();
        let is_full_object = kind == Some(&ChecksumType::FullObject);
        let sha256 = found.checksum_sha256().filter(|_| is_full_object || kind.is_none());
        Ok(Found {
            size: u64::try_from(found.content_length().unwrap_or_default()).unwrap_or_default(),
            sha256: sha256.and_then(Digest::from_base64),
            is_full_object,
            is_plain: found.content_encoding.is_none()
                && found.content_disposition.is_none()
                && found.content_language.is_none()
                && found.cache_control.is_none()
                && found.metadata.as_ref().is_none_or(HashMap::is_empty),
            etag: found.e_tag,
            key,
        })
    }

    /// Whether it takes a key of its uploader's to read an object that cannot be looked at. A `HEAD` gives no reason, so
    /// its first byte is asked for: nothing else of that can be invalid.
    async fn is_encrypted(&self, key: &Key) -> bool {
        let read = self.client.get_object().bucket(self.bucket()).key(self.path(key)).range("bytes=0-0");
        read.send().await.is_err_and(|error| error.code() == Some("InvalidRequest"))
    }
}
