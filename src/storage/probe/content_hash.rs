//! Whether a hash in the query of a signed URL binds the body, without any header.
//!
//! `X-Amz-Content-Sha256` then takes the place of `UNSIGNED-PAYLOAD` in what is signed (Amazon S3 API Reference,
//! "Authenticating Requests: Using Query Parameters"). `MinIO` enforces it; a store that does not know it finds
//! the signature wrong.

use aws_sdk_s3::config::ProvideCredentials;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use url::Url;

use super::{Answer, CONTENT, Capability, OTHER, Probe, digest_of};
use crate::domain::clock::Clock;
use crate::storage::key::Key;
use crate::storage::s3::presign::{PROBE_TIMEOUT, http_client, send};
use crate::storage::{PresignedRequest, Result, StorageError};

const SIGN: &str = "sign a request with a content hash";
/// What a client may say to take the hash back.
const UNSIGNED: (&str, &str) = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");

impl Probe<'_> {
    pub(super) async fn content_hash(&self) -> [(Capability, Answer); 1] {
        [(Capability::ContentHashEnforced, self.holds_to_content_hash().await.into())]
    }

    async fn holds_to_content_hash(&self) -> Result<Answer> {
        let (right, wrong) = (self.key("hash-right"), self.key("hash-wrong"));
        if !self.takes_hashed(&right, CONTENT, false).await? {
            return Ok(Answer::No("such a URL is refused".to_owned()));
        }
        for takes_back in [false, true] {
            if self.takes_hashed(&wrong, OTHER, takes_back).await? {
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
    async fn takes_hashed(&self, key: &Key, body: &'static [u8], takes_back: bool) -> Result<bool> {
        let mut request = self.signed_with_hash(key).await?;
        if takes_back {
            request.headers.push((UNSIGNED.0.to_owned(), UNSIGNED.1.to_owned()));
        }
        let status = send(&http_client()?, &request, Bytes::from_static(body)).await?;
        if status.is_server_error() {
            return Err(StorageError::unavailable("take a presigned request")(format!(
                "it answered {status}"
            )));
        }
        Ok(status.is_success())
    }
    async fn signed_with_hash(&self, key: &Key) -> Result<PresignedRequest> {
        let provider = self
            .store
            .credentials()
            .ok_or("there are no credentials")
            .map_err(StorageError::unavailable(SIGN))?;
        let credentials = provider.provide_credentials().await.map_err(StorageError::unavailable(SIGN))?;
        let identity = credentials.into();
        // The SDK knows how buckets are addressed; its signature goes.
        let unsigned = self.store.client().put_object().bucket(&self.store.settings().bucket);
        let expiring =
            PresigningConfig::expires_in(PROBE_TIMEOUT).map_err(StorageError::unavailable(SIGN))?;
        let unsigned = unsigned
            .key(self.store.path(key))
            .presigned(expiring)
            .await
            .map_err(StorageError::unavailable(SIGN))?;
        let mut url = Url::parse(unsigned.uri()).map_err(StorageError::unavailable(SIGN))?;
        let hash = digest_of(CONTENT).hex();
        url.set_query(Some(&format!("X-Amz-Content-Sha256={hash}")));

        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(PROBE_TIMEOUT);
        let region = self.store.client().config().region().map_or("us-east-1", AsRef::as_ref);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(Clock::System.now().into())
            .settings(settings)
            .build()
            .map_err(StorageError::unavailable(SIGN))?
            .into();
        let request =
            SignableRequest::new("PUT", url.as_str(), std::iter::empty(), SignableBody::Precomputed(hash));
        let (signing, _) = sign(request.map_err(StorageError::unavailable(SIGN))?, &parameters)
            .map_err(StorageError::unavailable(SIGN))?
            .into_parts();
        url.query_pairs_mut().extend_pairs(signing.params());
        Ok(PresignedRequest {
            url: url.into(),
            headers: Vec::new(),
            expires_at: Clock::System.now() + PROBE_TIMEOUT,
        })
    }
}
