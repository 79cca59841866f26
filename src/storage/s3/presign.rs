//! Presigned requests. The SDK signs every header it serializes, so what is named here is bound:
//! one operation, one key, one length, one checksum.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use super::{CONTENT_TYPE, S3, describe};
use crate::domain::digest::Digest;
use crate::domain::part::Part;
use crate::domain::upload::UploadId;
use crate::storage::{PresignedRequest, PutTerms, Result, StorageError, key};

/// Longest life of a presigned URL (Amazon S3 User Guide, "Sharing objects with presigned URLs").
pub const MAX_URL_LIFETIME: Duration = Duration::from_hours(7 * 24);

const SIGN: &str = "sign a request (are there AWS credentials?)";

impl S3 {
    pub async fn presign_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        let length = terms.size.map(i64::try_from).transpose().map_err(StorageError::unavailable(SIGN))?;
        self.signer
            .put_object()
            .bucket(self.bucket())
            .key(self.path(&key::temp_data(upload)))
            .content_type(CONTENT_TYPE)
            .set_content_length(length)
            // Not `.checksum_algorithm()`: that would sign a checksum of the empty body.
            .set_checksum_sha256(terms.digest.as_ref().map(Digest::to_base64))
            .presigned(expiring(lifetime)?)
            .await
            .map(|request| render(&request))
            .map_err(|error| StorageError::unavailable(SIGN)(describe(&error)))
    }

    pub async fn presign_part(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        part: Part,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        self.signer
            .upload_part()
            .bucket(self.bucket())
            .key(self.path(&key::temp_data(upload)))
            .upload_id(store_upload_id)
            .part_number(i32::from(part.number.get()))
            .content_length(i64::try_from(part.size).map_err(StorageError::unavailable(SIGN))?)
            .presigned(expiring(lifetime)?)
            .await
            .map(|request| render(&request))
            .map_err(|error| StorageError::unavailable(SIGN)(describe(&error)))
    }

    /// Signs a GET of a published blob.
    pub async fn presign_get(&self, digest: &Digest, lifetime: Duration) -> Result<String> {
        self.signer
            .get_object()
            .bucket(self.bucket())
            .key(self.path(&key::blob(digest)))
            .presigned(expiring(lifetime)?)
            .await
            .map(|request| request.uri().to_owned())
            .map_err(|error| StorageError::unavailable(SIGN)(describe(&error)))
    }
}

fn expiring(lifetime: Duration) -> Result<PresigningConfig> {
    PresigningConfig::expires_in(lifetime.min(MAX_URL_LIFETIME)).map_err(StorageError::unavailable(SIGN))
}

fn render(request: &aws_sdk_s3::presigning::PresignedRequest) -> PresignedRequest {
    PresignedRequest {
        url: request.uri().to_owned(),
        headers: request
            .headers()
            // The client's own HTTP library sends the host it connects to.
            .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
    }
}
