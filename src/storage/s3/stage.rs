//! The gate: one copy that proves and publishes.
//!
//! A multipart upload at the blob's place takes the whole object as its one part. The store computes the part's
//! SHA-256 as it copies, so what is compared is the digest of the very bytes that completing makes visible,
//! whatever happened to the object they came from. Of another digest nothing was ever visible: no key is written
//! before the upload is completed.
//!
//! What is published so carries the checksum of a checksum, as everything made of parts does. Nothing here
//! reads it.

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use uuid::Uuid;

use super::{CONTENT_TYPE, S3, classify};
use crate::domain::blob::Proof;
use crate::domain::digest::Digest;
use crate::domain::pace::Work;
use crate::domain::part::PartNumber;
use crate::domain::upload::UploadId;
use crate::storage::capability::Capability;
use crate::storage::key::{self, Key};
use crate::storage::{Evidence, Result, Sealed, Staged, StorageError};

const STAGE: &str = "compute the SHA-256 of a part that it copies";

impl S3 {
    pub(in crate::storage) async fn stage(&self, sealed: &Sealed, digest: &Digest) -> Result<Staged> {
        let staged = self.stage_at(sealed, key::blob(digest)).await;
        self.relying_on(Capability::GateComputes, staged)
    }

    /// By a copy below the upload's own prefix: the blob's place is not known before it.
    pub(in crate::storage) async fn seal_by_staging(
        &self,
        upload: UploadId,
        from: &Sealed,
    ) -> Result<Sealed> {
        let key = key::temp_sealed(upload, Some(Uuid::new_v4()));
        let staged = self.relying_on(Capability::GateComputes, self.stage_at(from, key.clone()).await)?;
        self.publish(&staged).await?;
        let evidence = Evidence::Digest(staged.sha256(), Proof::StoreCopy);
        Ok(Sealed { evidence, ..self.head(key).await?.into() })
    }

    pub(in crate::storage) async fn stage_at(&self, from: &Sealed, place: Key) -> Result<Staged> {
        let created = self
            .client
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(self.path(&place))
            // Headers that the uploader sent stay behind with its object.
            .content_type(CONTENT_TYPE)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send()
            .await
            .map_err(classify("begin a multipart upload"))?;
        let store_upload_id =
            created.upload_id.ok_or_else(|| StorageError::unsupported(STAGE)("no upload id"))?;
        match self.stage_part(from, &place, &store_upload_id).await {
            Ok((etag, sha256)) => Ok(Staged { place, store_upload_id, etag, size: from.size, sha256 }),
            Err(error) => {
                // Best effort: the sweep finds what a store that is down keeps.
                let _ = self.abort_multipart_at(&self.path(&place), &store_upload_id).await;
                Err(error)
            }
        }
    }

    async fn stage_part(
        &self,
        from: &Sealed,
        place: &Key,
        store_upload_id: &str,
    ) -> Result<(String, Digest)> {
        let copy = self
            .client
            .upload_part_copy()
            .bucket(self.bucket())
            .key(self.path(place))
            .upload_id(store_upload_id)
            .part_number(i32::from(PartNumber::FIRST.get()))
            .copy_source(self.copy_source(&from.key))
            // Spares a copy in vain. The proof does not rest on it: an ETag is an MD5, and MD5 collides.
            .set_copy_source_if_match(from.etag.clone())
            .customize()
            .config_override(self.patiently_once());
        let copied = async { copy.send().await.map_err(classify("copy a part")) };
        let copied = self.timed(Work::Proving, from.size, copied).await?;
        let part =
            copied.copy_part_result.ok_or("it tells nothing").map_err(StorageError::unsupported(STAGE))?;
        let computed = part.checksum_sha256().and_then(Digest::from_base64);
        let computed = computed.ok_or("it tells none").map_err(StorageError::unsupported(STAGE))?;
        let etag = part.e_tag.ok_or("it tells no ETag").map_err(StorageError::unsupported(STAGE))?;
        // The size was looked at before: a URL that still writes may have put more, or less, there since, and
        // nobody checked that against what was declared and what is allowed.
        match &self.list_parts_at(place, store_upload_id).await?[..] {
            [listed] if listed.size == from.size => Ok((etag, computed)),
            _ => Err(StorageError::Precondition),
        }
    }

    pub(in crate::storage) async fn publish(&self, staged: &Staged) -> Result<()> {
        let part = CompletedPart::builder()
            .part_number(i32::from(PartNumber::FIRST.get()))
            .e_tag(&staged.etag)
            .set_checksum_sha256(staged.sha256.to_base64())
            .build();
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(self.path(&staged.place))
            .upload_id(&staged.store_upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().parts(part).build())
            .customize()
            .config_override(Self::patiently())
            .send()
            .await
            .map_err(classify("complete a multipart upload"));
        match completed {
            Ok(_) => Ok(()),
            // A try that timed out at our end had completed it. Nothing unproven ever stands at a blob's place,
            // so what has this size there is this blob. Below a prefix of temporary objects the name is its own.
            Err(StorageError::UploadNotFound | StorageError::NotFound)
                if self.head(staged.place.clone()).await?.size == staged.size =>
            {
                Ok(())
            }
            Err(error) => {
                let _ = self.unstage(staged).await;
                self.relying_on(Capability::GateComputes, Err(error))
            }
        }
    }

    pub(in crate::storage) async fn unstage(&self, staged: &Staged) -> Result<()> {
        self.abort_multipart_at(&self.path(&staged.place), &staged.store_upload_id).await
    }
}
