//! What a bucket is seen to do, found out with tiny objects; never assumed from a vendor's name.

use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;
use serde::Serialize;

use super::{Result, S3, Sealed, StorageError, key};
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::upload::UploadId;

/// What the procedures may rely on. Everything is false until it was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// A wrong `x-amz-checksum-sha256` is refused, and a right one is reported again.
    pub checksum_enforced: bool,
    /// A write that is refused leaves the object as it was. LocalStack 4.13 empties it, and goes on reporting
    /// its old length, ETag and checksum.
    pub refusal_harmless: bool,
    /// A copy is refused when its source has another ETag than the one named.
    pub copy_if_match: bool,
}

impl Capabilities {
    /// Whether the checksum that the store reports is a proof of the bytes it holds.
    #[must_use]
    pub const fn checksum_is_proof(self) -> bool {
        self.checksum_enforced && self.refusal_harmless
    }

    /// Whether an ETag names bytes that a PUT replayed through a URL that still lives cannot change.
    #[must_use]
    pub const fn etag_binds(self) -> bool {
        self.copy_if_match && self.refusal_harmless
    }
}

const CONTENT: &[u8] = b"overside probes this bucket";

impl S3 {
    /// Probes the bucket and removes what that needed.
    pub async fn probe(&self) -> Result<Capabilities> {
        let run = UploadId::generate();
        let probed = async {
            let (checksum_enforced, refusal_harmless) = self.enforces_checksum(run).await?;
            let copy_if_match = self.binds_copy_to_etag(run).await?;
            Ok(Capabilities { checksum_enforced, refusal_harmless, copy_if_match })
        };
        let probed = probed.await;
        let discarded = self.discard(run).await;
        let capabilities = probed?;
        discarded?;
        Ok(capabilities)
    }

    /// Whether a wrong checksum is refused and a right one reported, and whether a refusal is harmless.
    async fn enforces_checksum(&self, run: UploadId) -> Result<(bool, bool)> {
        let mut hasher = Hasher::default();
        hasher.update(CONTENT);
        let digest = hasher.finish();
        let (new, old) = (key::probe(run, "new"), key::probe(run, "old"));
        // Stores name the refusal differently (BadDigest, InvalidDigest, InvalidRequest). What counts is that
        // the same write with the right checksum succeeds.
        let refused = self.put(&new, Bytes::from_static(CONTENT), Some(&Digest::EMPTY)).await.is_err()
            && self.head_checksum(&new).await?.is_none();
        if self.put(&old, Bytes::from_static(CONTENT), Some(&digest)).await.is_err() {
            return Ok((false, false));
        }
        let reported = self.head_checksum(&old).await?.flatten() == Some(digest);
        let overwritten = self.put(&old, Bytes::from_static(b"other"), Some(&digest)).await.is_ok();
        let harmless = !overwritten && self.read_object(&old).await.is_ok_and(|bytes| bytes == CONTENT);
        Ok((refused && reported && !overwritten, harmless))
    }

    /// None where there is no object, `Some(None)` where it has no SHA-256.
    async fn head_checksum(&self, key: &key::Key) -> Result<Option<Option<Digest>>> {
        let head = self.client().head_object().bucket(&self.settings().bucket).key(self.path(key));
        match head
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(super::s3::classify("look at an object"))
        {
            Ok(found) => Ok(Some(found.checksum_sha256().and_then(Digest::from_base64))),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn binds_copy_to_etag(&self, run: UploadId) -> Result<bool> {
        let (source, copy) = (key::probe(run, "source"), key::probe(run, "copy"));
        self.put(&source, Bytes::from_static(CONTENT), None).await?;
        let stale = Sealed {
            key: source.clone(),
            size: CONTENT.len() as u64,
            // The MD5 of nothing: a well-formed ETag that this object does not have.
            etag: Some("\"d41d8cd98f00b204e9800998ecf8427e\"".to_owned()),
            sha256: None,
        };
        let refused = matches!(self.copy(&stale, &copy).await, Err(StorageError::Precondition));
        Ok(refused && self.head_checksum(&copy).await?.is_none())
    }
}
