//! From the temp object to the published one: seal, read, place.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, MetadataDirective};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{CONTENT_TYPE, S3, classify};
use crate::domain::blob::Proof;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::part::{MAX_PART_SIZE, PartNumber, PartPlan, ReceivedPart};
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, UploadId};
use crate::storage::key::Key;
use crate::storage::probe::Capability;
use crate::storage::{Evidence, Result, Sealed, StorageError, UploadKind, Way, key};

/// Parts of a copy above 5 GiB: large enough that 48.8 TiB fit, small enough that several run side by side.
const COPY_PART_SIZE: u64 = 512 * 1024 * 1024;
/// Copies of parts under way at once; they cost the store, not us.
const COPIES_IN_FLIGHT: usize = 4;
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
    pub async fn seal(
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
        // What we wrote ourselves, and what was completed, no URL writes to any more.
        let out_of_reach = !matches!(transfer, Transfer::Put);
        let way = match capabilities.way(kind) {
            // It computes and enforces no other digest.
            _ if algorithm != Algorithm::Sha256 => Way::ReadBack,
            // Not every store takes an empty part, and nothing is read back quickly.
            Way::Gate if found.size == 0 => Way::ReadBack,
            way => way,
        };
        match way {
            // The URL of a PUT outlives the seal. The store holds it to the digest, but may know a header that is a
            // way round: so these bytes prove the digest, and are proven again before anybody reads them.
            Way::StoreChecksum => Ok(Sealed { is_exposed: true, ..found.evident(Proof::StoreChecksum) }),
            // It fixes by itself what it publishes, so that no other copy is needed.
            Way::Gate => Ok(Sealed { evidence: Evidence::ByStaging, ..found.into() }),
            Way::SealingCopy => {
                let capability = match kind {
                    UploadKind::Parts => Capability::CopyOfPartsComputes,
                    _ => Capability::CopyComputes,
                };
                let sealed = self.seal_by_copy(upload, &found, Some(ChecksumAlgorithm::Sha256)).await;
                self.relying_on(capability, sealed)
            }
            Way::Streamed | Way::ReadBack if out_of_reach => Ok(found.into()),
            // Any other URL can replace the bytes after they were proven, and no condition on the ETag stops
            // that: it is an MD5 on most stores, and collisions of MD5 are made in seconds. So what is
            // proven and published is a copy that no URL reaches.
            Way::Streamed | Way::ReadBack => self.seal_by_copy(upload, &found, None).await,
        }
    }

    /// Seals by a copy to where no URL writes, with a checksum that the store computes on the way or without.
    async fn seal_by_copy(
        &self,
        upload: UploadId,
        found: &Found,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Sealed> {
        let (key, computes) = (key::temp_sealed(upload, Some(Uuid::new_v4())), checksum.is_some());
        self.copy(&found.clone().into(), &key, checksum).await?;
        let copied = self.head(key).await?;
        // Where the store says that it is the checksum of the whole, and no other: a hash of hashes looks alike.
        let told = computes && copied.is_full_object;
        Ok(if told { copied.evident(Proof::StoreCopy) } else { copied.into() })
    }

    pub async fn read(&self, sealed: &Sealed, range: ByteRange, to: &mpsc::Sender<Bytes>) -> Result<()> {
        let (mut rest, mut broken) = (range, 0);
        loop {
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

    pub async fn place(&self, sealed: &Sealed, digest: &Digest) -> Result<()> {
        let place = key::blob(digest);
        if sealed.size <= MAX_PART_SIZE {
            return self.copy(sealed, &place, None).await;
        }
        let store_upload_id = self.create_multipart_at(&place).await?;
        let placed = self.copy_in_parts(sealed, &place, &store_upload_id).await;
        if placed.is_err() {
            // Best effort: the sweep finds what a store that is down keeps.
            let _ = self.abort_multipart_at(&self.path(&place), &store_upload_id).await;
        }
        placed
    }

    pub async fn size(&self, key: &Key) -> Result<Option<u64>> {
        match self.head(key.clone()).await {
            Ok(found) => Ok(Some(found.size)),
            Err(StorageError::NotFound) => Ok(None),
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
            .map_err(classify("look at an object"))?;
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

    /// One copy inside the store, of exactly the version that was looked at.
    pub(in crate::storage) async fn copy(
        &self,
        from: &Sealed,
        to: &Key,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<()> {
        self.client
            .copy_object()
            .bucket(self.bucket())
            .key(self.path(to))
            .copy_source(self.copy_source(&from.key))
            .set_copy_source_if_match(from.etag.clone())
            .set_checksum_algorithm(checksum)
            // Or headers that the uploader sent beside the signed ones, such as Content-Encoding, would be
            // published with the bytes and make every client's digest fail.
            .metadata_directive(MetadataDirective::Replace)
            .content_type(CONTENT_TYPE)
            .customize()
            .config_override(Self::patiently_once())
            .send()
            .await
            .map(drop)
            .map_err(classify("copy an object"))
    }

    async fn copy_in_parts(&self, sealed: &Sealed, place: &Key, store_upload_id: &str) -> Result<()> {
        let plan = PartPlan::new(sealed.size, COPY_PART_SIZE)
            .map_err(|error| StorageError::TooLarge(error.to_string()))?;
        let copies = plan.parts().map(|part| async move {
            let range = ByteRange { start: part.offset, end: part.offset + part.size };
            let etag = self
                .copy_part(place, store_upload_id, part.number, &sealed.key, Some(range), sealed.etag.clone())
                .await?;
            Ok::<_, StorageError>(ReceivedPart { number: part.number, size: part.size, etag })
        });
        let parts: Vec<_> = stream::iter(copies).buffered(COPIES_IN_FLIGHT).try_collect().await?;
        match self.complete_multipart_at(place, store_upload_id, &parts).await {
            // A try that timed out at our end had completed it.
            Err(StorageError::UploadNotFound) if self.head(place.clone()).await?.size == sealed.size => {
                Ok(())
            }
            completed => completed,
        }
    }

    pub(in crate::storage) async fn copy_part(
        &self,
        to: &Key,
        store_upload_id: &str,
        number: PartNumber,
        from: &Key,
        range: Option<ByteRange>,
        etag: Option<String>,
    ) -> Result<String> {
        let copied = self
            .client
            .upload_part_copy()
            .bucket(self.bucket())
            .key(self.path(to))
            .upload_id(store_upload_id)
            .part_number(i32::from(number.get()))
            .copy_source(self.copy_source(from))
            .set_copy_source_range(range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
            .set_copy_source_if_match(etag)
            .customize()
            .config_override(Self::patiently_once())
            .send()
            .await
            .map_err(classify("copy a part"))?;
        copied
            .copy_part_result
            .and_then(|result| result.e_tag)
            .ok_or_else(|| StorageError::unavailable("name the copied part")("no ETag"))
    }
}
