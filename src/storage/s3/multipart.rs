//! Multipart uploads to an upload's data key.

use std::collections::BTreeMap;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::{CONTENT_TYPE, S3, classify};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::UploadId;
use crate::storage::key::Key;
use crate::storage::{Result, StorageError, key};

impl S3 {
    pub(in crate::storage) async fn create_multipart(&self, upload: UploadId) -> Result<String> {
        self.create_multipart_at(&key::temp_data(upload)).await
    }

    pub(in crate::storage) async fn create_multipart_at(&self, key: &Key) -> Result<String> {
        let created = self
            .client
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(self.path(key))
            .content_type(CONTENT_TYPE)
            .send()
            .await
            .map_err(classify("begin a multipart upload"))?;
        created
            .upload_id
            .ok_or_else(|| StorageError::unavailable("name the multipart upload")("no upload id"))
    }

    pub(in crate::storage) async fn list_parts(
        &self,
        upload: UploadId,
        store_upload_id: &str,
    ) -> Result<Vec<ReceivedPart>> {
        self.list_parts_at(&key::temp_data(upload), store_upload_id).await
    }

    pub(in crate::storage) async fn list_parts_at(
        &self,
        key: &Key,
        store_upload_id: &str,
    ) -> Result<Vec<ReceivedPart>> {
        let mut pages = self
            .client
            .list_parts()
            .bucket(self.bucket())
            .key(self.path(key))
            .upload_id(store_upload_id)
            .into_paginator()
            .send();
        let mut parts = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| match classify("list parts")(error) {
                StorageError::NotFound => StorageError::UploadNotFound,
                error => error,
            })?;
            for listed in page.parts() {
                let Some(part) = received(listed) else { continue };
                // SeaweedFS lists a part that was sent twice twice, in no order: the newest counts.
                let modified = listed.last_modified().map_or(0, DateTime::secs);
                let newest = parts.entry(part.number).or_insert_with(|| (modified, part.clone()));
                if modified > newest.0 {
                    *newest = (modified, part);
                }
            }
        }
        Ok(parts.into_values().map(|(_, part)| part).collect())
    }

    pub(in crate::storage) async fn complete_multipart(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        self.complete_multipart_at(&key::temp_data(upload), store_upload_id, parts).await
    }

    pub(in crate::storage) async fn complete_multipart_at(
        &self,
        key: &Key,
        store_upload_id: &str,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        let parts = parts
            .iter()
            .map(|part| {
                CompletedPart::builder().part_number(i32::from(part.number.get())).e_tag(&part.etag).build()
            })
            .collect();
        self.client
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(self.path(key))
            .upload_id(store_upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .customize()
            .config_override(Self::patiently())
            .send()
            .await
            .map(drop)
            .map_err(|error| match classify("complete a multipart upload")(error) {
                StorageError::NotFound => StorageError::UploadNotFound,
                error => error,
            })
    }

    pub(in crate::storage) async fn abort_multipart(
        &self,
        upload: UploadId,
        store_upload_id: &str,
    ) -> Result<()> {
        self.abort_multipart_at(&self.path(&key::temp_data(upload)), store_upload_id).await
    }

    pub(in crate::storage) async fn abort_multipart_at(
        &self,
        path: &str,
        store_upload_id: &str,
    ) -> Result<()> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(self.bucket())
            .key(path)
            .upload_id(store_upload_id)
            .send()
            .await;
        match aborted.map_err(classify("abort a multipart upload")) {
            Ok(_) | Err(StorageError::UploadNotFound | StorageError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A listed part; one that the store lists without number or ETag cannot be completed and is as good as missing.
fn received(part: &aws_sdk_s3::types::Part) -> Option<ReceivedPart> {
    Some(ReceivedPart {
        number: PartNumber::new(u64::try_from(part.part_number()?).ok()?).ok()?,
        size: u64::try_from(part.size()?).ok()?,
        etag: part.e_tag()?.to_owned(),
    })
}
