//! Presigned requests. Every header that is named here is signed, so what is named is bound: one operation,
//! one key, one length, one checksum. What is not named is the store's to obey: see [`UrlGuards`].

use std::time::Duration;

use bytes::Bytes;

use super::{PartSigner, S3};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::upload::UploadId;
use crate::storage::capability::{Capability, UrlGuards};
use crate::storage::key::{self, Key};
use crate::storage::signed_url::expiry;
use crate::storage::{Lengths, PresignedRequest, PutTerms, Result, StorageError};

/// A tiny object, there and back, at a store worth using.
pub(in crate::storage) const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

impl S3 {
    /// Signs a PUT to the bucket, or one that leads back to this service where the bucket's URLs would permit more
    /// than that.
    pub(in crate::storage) async fn presign_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        let Some(guards) = self.capabilities().url_guards() else {
            let expires_at = expiry(self.clock.now(), lifetime);
            return Ok(self.require_own_urls()?.put(upload, terms, expires_at));
        };
        let path = self.path(&key::temp_data(upload));
        self.upload_signer.put(&path, guards.put_headers(terms), lifetime).await
    }

    /// Signs a PUT to the bucket for a client that sends no header but its own: the length is bound, and the SHA-256
    /// where the bucket holds a URL to one in its query. None where the bucket's URLs would permit more than that.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the credentials that sign are not to be had.
    pub async fn presign_redirect(
        &self,
        upload: UploadId,
        size: u64,
        digest: &Digest,
        lifetime: Duration,
    ) -> Result<Option<PresignedRequest>> {
        let headers = PutTerms { size: Some(size), digest: None }.headers();
        self.presign_unguarded(upload, headers, digest, lifetime).await
    }

    /// Signs a PUT for a client that sends nothing but the bytes and their length, to the bucket or, where the bucket's
    /// URLs would permit more than that, to this service.
    pub(in crate::storage) async fn presign_plain_put(
        &self,
        upload: UploadId,
        size: u64,
        digest: &Digest,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        let length = vec![("content-length".to_owned(), size.to_string())];
        if let Some(request) = self.presign_unguarded(upload, length, digest, lifetime).await? {
            return Ok(request);
        }
        let terms = PutTerms { size: Some(size), digest: None };
        Ok(self.require_own_urls()?.put(upload, terms, expiry(self.clock.now(), lifetime)))
    }

    /// Without a header that keeps a PUT from being a copy: none where the bucket needs that.
    async fn presign_unguarded(
        &self,
        upload: UploadId,
        headers: Vec<(String, String)>,
        digest: &Digest,
        lifetime: Duration,
    ) -> Result<Option<PresignedRequest>> {
        let capabilities = self.capabilities();
        let Some(UrlGuards { copy_source: false, .. }) = capabilities.url_guards() else {
            return Ok(None);
        };
        let is_bound =
            digest.algorithm() == Algorithm::Sha256 && capabilities.has(Capability::ContentHashEnforced);
        let sha256 = is_bound.then(|| digest.hex());
        let path = self.path(&key::temp_data(upload));
        self.upload_signer.put_of(&path, headers, sha256.as_deref(), lifetime).await.map(Some)
    }

    /// Prepares to sign the parts of a multipart upload; may have to fetch credentials.
    pub(in crate::storage) async fn part_signer(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        lengths: Lengths,
        lifetime: Duration,
    ) -> Result<PartSigner> {
        let Some(guards) = self.capabilities().url_guards() else {
            let expires_at = expiry(self.clock.now(), lifetime);
            return Ok(PartSigner::Own(Box::new(
                self.require_own_urls()?.parts(upload, lengths, expires_at),
            )));
        };
        let path = self.path(&key::temp_data(upload));
        let signer = self
            .upload_signer
            .parts(&path, store_upload_id, lengths, guards.part_headers(), lifetime)
            .await?;
        Ok(PartSigner::S3(Box::new(signer)))
    }

    /// Signs a GET of an object that stands for a blob.
    pub(crate) async fn presign_get(&self, key: &Key, lifetime: Duration) -> Result<String> {
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
        let headers = UrlGuards::default().put_headers(terms);
        let request = self.own_signer.put(&self.path(key), headers, PROBE_TIMEOUT).await?;
        send(&http_client()?, &request, Bytes::from_static(content)).await
    }
}

/// A client of presigned URLs, for those that this server tries itself.
pub(in crate::storage) fn http_client() -> Result<reqwest::Client> {
    http_client_with(|builder| builder)
}

/// As [`http_client`], set up further.
pub(in crate::storage) fn http_client_with(
    set_up: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client> {
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    set_up(reqwest::Client::builder().timeout(PROBE_TIMEOUT))
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
