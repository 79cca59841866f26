//! From the temp object to the published one: seal, read, place.

use std::time::Duration;

use aws_sdk_s3::types::{ChecksumMode, ChecksumType, MetadataDirective};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{CONTENT_TYPE, S3, classify};
use crate::domain::digest::Digest;
use crate::domain::part::{MAX_PART_SIZE, PartNumber, PartPlan, ReceivedPart};
use crate::domain::range::ByteRange;
use crate::domain::upload::{Transfer, UploadId};
use crate::storage::key::Key;
use crate::storage::{Result, Sealed, StorageError, key};

/// Parts of a copy above 5 GiB: large enough that 48.8 TiB fit, small enough that several run side by side.
const COPY_PART_SIZE: u64 = 512 * 1024 * 1024;
/// Copies of parts under way at once; they cost the store, not us.
const COPIES_IN_FLIGHT: usize = 4;
/// Silence in the middle of a body after which the store counts as gone.
const READ_IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Times that one range may break off before the store counts as gone. The SDK repeats a request until its
/// answer begins, not a body that ends early; a proof by reading would otherwise begin at the first byte again.
const BROKEN_READS: u32 = 4;

impl S3 {
    pub async fn seal(&self, upload: UploadId, transfer: &Transfer, hash_bound: bool) -> Result<Sealed> {
        let data = key::temp_data(upload);
        match transfer {
            // What we wrote ourselves, and what was completed, no URL writes to any more.
            Transfer::Proxied(stored) if stored.store_upload_id.is_none() => {
                let tail = stored.tail_id.ok_or(StorageError::NotFound)?;
                self.head(key::temp_tail(upload, tail)).await
            }
            Transfer::Multipart { .. } | Transfer::Proxied(_) => self.head(data).await,
            // The URL of a PUT outlives the seal. One that the store holds to the digest cannot harm.
            Transfer::Put => match self.head(data).await? {
                found if hash_bound && found.sha256.is_some() => Ok(found),
                // Any other can replace the bytes after they were proven, and no condition on the ETag stops
                // that: it is an MD5 on most stores, and collisions of MD5 are made in seconds. So what is
                // proven and published is a copy that no URL reaches.
                found => {
                    let sealed = key::temp_sealed(upload, Some(Uuid::new_v4()));
                    self.copy(&found, &sealed).await?;
                    Ok(Sealed { sha256: None, ..self.head(sealed).await? })
                }
            },
        }
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
            return self.copy(sealed, &place).await;
        }
        let store_upload_id = self.create_multipart_at(&place).await?;
        let placed = self.copy_in_parts(sealed, &place, &store_upload_id).await;
        if placed.is_err() {
            // Best effort: the sweep finds what a store that is down keeps.
            let _ = self.abort_multipart_at(&self.path(&place), &store_upload_id).await;
        }
        placed
    }

    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.head(key::blob(digest)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn head(&self, key: Key) -> Result<Sealed> {
        let found = self
            .client
            .head_object()
            .bucket(self.bucket())
            .key(self.path(&key))
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(classify("look at an object"))?;
        // A checksum is a proof only from a store that was seen to refuse a wrong one, and only of the
        // whole object: a composite one is a hash of hashes.
        let whole = found.checksum_type.as_ref().is_none_or(|kind| *kind == ChecksumType::FullObject);
        let sha256 = found.checksum_sha256().filter(|_| whole && self.capabilities().checksum_is_proof());
        Ok(Sealed {
            size: u64::try_from(found.content_length().unwrap_or_default()).unwrap_or_default(),
            sha256: sha256.and_then(Digest::from_base64),
            etag: found.e_tag,
            key,
        })
    }

    /// One copy inside the store, of exactly the version that was looked at.
    pub(super) async fn copy(&self, from: &Sealed, to: &Key) -> Result<()> {
        self.client
            .copy_object()
            .bucket(self.bucket())
            .key(self.path(to))
            .copy_source(self.copy_source(&from.key))
            .set_copy_source_if_match(from.etag.clone())
            // Or headers that the uploader sent beside the signed ones, such as Content-Encoding, would be
            // published with the bytes and make every client's digest fail.
            .metadata_directive(MetadataDirective::Replace)
            .content_type(CONTENT_TYPE)
            .customize()
            .config_override(Self::patiently())
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

    pub(super) async fn copy_part(
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
            .config_override(Self::patiently())
            .send()
            .await
            .map_err(classify("copy a part"))?;
        copied
            .copy_part_result
            .and_then(|result| result.e_tag)
            .ok_or_else(|| StorageError::unavailable("name the copied part")("no ETag"))
    }
}
