//! What a bucket is seen to do, found out with tiny objects; never assumed from a vendor's name.

use aws_sdk_s3::types::ChecksumMode;
use serde::Serialize;

use super::{Result, S3, StorageError, key};
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
}

impl Capabilities {
    /// Whether the checksum that the store reports is a proof of the bytes it holds.
    #[must_use]
    pub const fn checksum_is_proof(self) -> bool {
        self.checksum_enforced && self.refusal_harmless
    }
}

const CONTENT: &[u8] = b"overside probes this bucket";
/// Of the same length: what is refused must be refused for its checksum.
const OTHER: &[u8] = b"overside probes THIS bucket";

impl S3 {
    /// Probes the bucket and removes what that needed.
    pub async fn probe(&self) -> Result<Capabilities> {
        let run = UploadId::generate();
        let probed = self.enforces_checksum(run).await;
        let discarded = self.discard(run).await;
        let capabilities = probed?;
        discarded?;
        Ok(capabilities)
    }

    async fn enforces_checksum(&self, run: UploadId) -> Result<Capabilities> {
        let digest = digest_of(CONTENT);
        let (new, old) = (key::probe(run, "new"), key::probe(run, "old"));
        // By presigned requests, as clients write: a store may check those differently.
        let refused = !self.takes(&new, CONTENT, &Digest::EMPTY).await?;
        let stored = self.reported_checksum(&new).await?.is_some();
        if !self.takes(&old, CONTENT, &digest).await? {
            return Ok(Capabilities::default());
        }
        let reported = self.reported_checksum(&old).await?.flatten() == Some(digest);
        let overwrite_refused = !self.takes(&old, OTHER, &digest).await?;
        let unharmed = self.read_object(&old).await.is_ok_and(|bytes| bytes == CONTENT);
        Ok(Capabilities {
            checksum_enforced: refused && !stored && reported && overwrite_refused,
            refusal_harmless: overwrite_refused && unharmed,
        })
    }

    /// Whether the store takes these bytes under this checksum. Stores name the refusal differently, but all
    /// blame the client for it; an outage is neither.
    async fn takes(&self, key: &key::Key, content: &'static [u8], digest: &Digest) -> Result<bool> {
        let status = self.send_presigned(key, content, digest).await?;
        if status.is_success() || status.is_client_error() {
            return Ok(status.is_success());
        }
        Err(StorageError::unavailable("take a presigned request")(format!("it answered {status}")))
    }

    /// None where there is no object, `Some(None)` where it has no SHA-256.
    async fn reported_checksum(&self, key: &key::Key) -> Result<Option<Option<Digest>>> {
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
}

fn digest_of(content: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(content);
    hasher.finish()
}
