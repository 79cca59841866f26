//! Presigned requests. Every header that is named here is signed, so what is named is bound: one operation,
//! one key, one length, one checksum.

use std::time::Duration;

use bytes::Bytes;

use super::signer::PartSigner;
use super::{CONTENT_TYPE, S3};
use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;
use crate::storage::key::{self, Key};
use crate::storage::{PresignedRequest, PutTerms, Result, StorageError};

/// A tiny object, there and back, at a store worth using.
pub(in crate::storage) const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

impl S3 {
    pub async fn presign_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        self.signer.put(&self.path(&key::temp_data(upload)), put_headers(terms), lifetime).await
    }

    /// Prepares to sign the parts of a multipart upload; may have to fetch credentials.
    pub async fn part_signer(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        lifetime: Duration,
    ) -> Result<PartSigner> {
        self.signer.parts(&self.path(&key::temp_data(upload)), store_upload_id, lifetime).await
    }

    /// Signs a GET of an object that stands for a blob.
    pub async fn presign_get(&self, key: &Key, lifetime: Duration) -> Result<String> {
        self.signer.get(&self.path(key), lifetime).await
    }

    /// Sends bytes to a key as a client would, by a request presigned for this server's own way to the store.
    pub(in crate::storage) async fn send_presigned(
        &self,
        key: &Key,
        content: &'static [u8],
        digest: &Digest,
    ) -> Result<reqwest::StatusCode> {
        let terms = PutTerms { size: Some(content.len() as u64), digest: Some(*digest) };
        let request = self.own_signer.put(&self.path(key), put_headers(terms), PROBE_TIMEOUT).await?;
        send(&http_client()?, &request, Bytes::from_static(content)).await
    }
}

/// What a PUT on these terms must carry, beside the host that the client's own HTTP library sends.
fn put_headers(terms: PutTerms) -> Vec<(String, String)> {
    let mut headers = vec![("content-type".to_owned(), CONTENT_TYPE.to_owned())];
    headers.extend(terms.size.map(|size| ("content-length".to_owned(), size.to_string())));
    let checksum = terms.digest.and_then(|digest| digest.to_base64());
    headers.extend(checksum.map(|checksum| ("x-amz-checksum-sha256".to_owned(), checksum)));
    headers
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
