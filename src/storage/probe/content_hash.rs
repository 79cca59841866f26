//! Whether a SHA-256 in the query of a signed URL binds the body, so that a client need not know of it: what stock
//! clients are redirected to has no other way to be bound. `MinIO` enforces it; a store that does not know the parameter
//! finds the signature wrong.

use bytes::Bytes;

use super::urls::{Added, Holder, sized};
use super::{Answer, CONTENT, OTHER, Probe, digest_of};
use crate::storage::key::Key;
use crate::storage::s3::presign::PROBE_TIMEOUT;
use crate::storage::{Result, StorageError};

/// What a client may say to take the hash back.
const UNSIGNED: (&str, &str) = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");

impl Probe<'_> {
    pub(super) async fn content_hash_enforced(&self, holder: &Holder) -> Result<Answer> {
        let (right, wrong) = (self.key("hash-right"), self.key("hash-wrong"));
        if !self.takes_hashed(holder, &right, CONTENT, &[]).await? {
            return Ok(Answer::No("such a URL is refused".to_owned()));
        }
        let unsigned = [(UNSIGNED.0, UNSIGNED.1.to_owned())];
        for added in [&[][..], &unsigned] {
            if self.takes_hashed(holder, &wrong, OTHER, added).await? {
                return Ok(Answer::No("a body of another hash is taken".to_owned()));
            }
        }
        match self.store.head(wrong).await {
            Err(StorageError::NotFound) => Ok(Answer::Yes),
            Ok(_) => Ok(Answer::No("a refused body is stored".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Whether the store takes these bytes by a URL that names the hash of [`CONTENT`].
    async fn takes_hashed(
        &self,
        holder: &Holder,
        key: &Key,
        body: &'static [u8],
        added: &[Added],
    ) -> Result<bool> {
        let (path, hash) = (self.store.path(key), digest_of(CONTENT).hex());
        let headers = sized(CONTENT).headers();
        let request = holder.signer.put_of(&path, headers, Some(&hash), PROBE_TIMEOUT).await?;
        holder.put(&request, added, Bytes::from_static(body)).await
    }
}
