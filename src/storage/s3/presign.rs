//! Presigned requests. The SDK signs every header it serializes, so what is named here is bound:
//! one operation, one key, one length, one checksum.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;

use super::{CONTENT_TYPE, S3, describe};
use crate::domain::digest::Digest;
use crate::domain::part::Part;
use crate::domain::upload::UploadId;
use crate::storage::key::{self, Key};
use crate::storage::{PresignedRequest, PutTerms, Result, StorageError};

/// Longest life of a presigned URL (Amazon S3 User Guide, "Sharing objects with presigned URLs").
pub const MAX_URL_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// A tiny object, there and back, at a store worth using.
pub(in crate::storage) const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

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

    /// Sends bytes to a key as a client would, by a request presigned for this server's own way to the store.
    pub(in crate::storage) async fn send_presigned(
        &self,
        key: &Key,
        content: &'static [u8],
        digest: &Digest,
    ) -> Result<reqwest::StatusCode> {
        let request = self
            .client
            .put_object()
            .bucket(self.bucket())
            .key(self.path(key))
            .content_type(CONTENT_TYPE)
            .content_length(i64::try_from(content.len()).map_err(StorageError::unavailable(SIGN))?)
            .checksum_sha256(digest.to_base64())
            .presigned(expiring(PROBE_TIMEOUT)?)
            .await
            .map_err(|error| StorageError::unavailable(SIGN)(describe(&error)))?;
        send(&http_client()?, &render(&request), Bytes::from_static(content)).await
    }
}

/// A client of presigned URLs, for those that this server tries itself.
pub(in crate::storage) fn http_client() -> Result<reqwest::Client> {
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(PROBE_TIMEOUT)
        .build()
        .map_err(StorageError::unavailable("be reached with the system's certificates"))
}

/// Carries out a presigned request.
pub(in crate::storage) async fn send(
    http: &reqwest::Client,
    request: &PresignedRequest,
    body: Bytes,
) -> Result<reqwest::StatusCode> {
    let mut put = http.put(&request.url);
    for (name, value) in &request.headers {
        put = put.header(name, value);
    }
    // The URL is a secret and stays out of every message.
    let answer = put.body(body).send().await.map_err(reqwest::Error::without_url);
    answer.map(|answer| answer.status()).map_err(StorageError::unavailable("take a presigned request"))
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
