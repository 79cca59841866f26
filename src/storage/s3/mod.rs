//! An S3 bucket, or whatever speaks its protocol: the client, its settings and its errors.

pub(super) mod append;
mod assemble;
mod copying;
mod download;
mod examine;
mod failure;
mod multipart;
mod part_body;
mod part_memory;
mod part_signer;
pub(in crate::storage) mod presign;
mod relay;
mod remove;
mod seal;
mod send;
pub(super) mod signer;
mod stage;
mod suspended;
mod sweep;

use std::fmt::{self, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls;
use bytes::Bytes;

use super::capability::Capabilities;
use super::key::Key;
use super::signed_url::UrlSigner;
use super::{CONTENT_TYPE, Result, StorageError};
use crate::domain::clock::Clock;
use signer::{CredentialCache, Signer};

pub use copying::CopyTerms;
pub(in crate::storage) use failure::classify;
use failure::describe;
pub use part_signer::PartSigner;

/// Reaching the store at all: two SYN retransmissions.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The first byte of an answer to an ordinary request; a part of 8 MiB at 1 Mbit/s takes this long.
const READ_TIMEOUT: Duration = Duration::from_secs(70);
/// Completing answers only when the store is done: 5 GiB at the 10 MiB/s of a slow one.
const SLOW_OPERATION_TIMEOUT: Duration = Duration::from_mins(9);
/// Tries of one request; stores ask for patience with 503 SlowDown.
pub(in crate::storage) const ATTEMPTS: u32 = 4;

/// Where the bucket is.
#[derive(Debug, Clone)]
pub struct S3Settings {
    pub bucket: String,
    /// Empty, or a path that ends in a slash.
    pub prefix: String,
    /// The store as this server reaches it; none is AWS itself.
    pub endpoint: Option<String>,
    /// The store as clients reach it; none is the same.
    pub public_endpoint: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
}

/// A key of its own that clients' PUTs are signed with: whatever a store lets the holder of a URL do, it can do no
/// more than this key may.
#[derive(Clone)]
pub struct UploadKey {
    pub access_key: String,
    pub secret_key: String,
}

impl UploadKey {
    pub(in crate::storage) fn credentials(&self) -> Credentials {
        Credentials::new(&self.access_key, &self.secret_key, None, None, "--s3-upload-access-key")
    }
}

impl fmt::Debug for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadKey").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// A bucket and the prefix below which everything of ours lies.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
    /// Signs for the host that clients see.
    signer: Arc<Signer>,
    /// Signs clients' PUTs for that host: with the key for uploads, where there is one.
    upload_signer: Arc<Signer>,
    /// Signs for the host that this server calls.
    own_signer: Arc<Signer>,
    /// Signs for that host as clients' PUTs are signed.
    own_upload_signer: Arc<Signer>,
    upload_key: Option<UploadKey>,
    /// Signs URLs that lead back to this service; none where it takes no uploads.
    own_urls: Option<UrlSigner>,
    settings: Arc<S3Settings>,
    /// What the bucket was seen to do; nothing is assumed before the probe has run.
    capabilities: Arc<RwLock<Arc<Capabilities>>>,
    /// What it did not do although the probe saw it.
    distrusted: Arc<suspended::SuspendedCapabilities>,
    /// How fast it was seen to be.
    pace: Arc<Mutex<copying::SeenPace>>,
    copy_terms: CopyTerms,
    /// Memory for parts on their way.
    part_memory: Arc<part_memory::PartMemory>,
    /// The store, over plain HTTP, did not answer for CRC32C.
    no_crc32c: Arc<AtomicBool>,
    /// The store does not know how to leave an object's tags out of a copy.
    keeps_tags: Arc<AtomicBool>,
    clock: Clock,
    /// For requests that this server presigns for itself; made when the first one is sent.
    http: Arc<OnceLock<reqwest::Client>>,
}

impl S3 {
    /// Connects with the standard AWS credential chain: environment, profile, web identity, instance. `clock` says
    /// when URLs begin and end.
    pub async fn connect(settings: S3Settings, clock: &Clock) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let shared = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).load().await;
        Self::with_clock(settings, &shared, clock)
    }

    /// Connects with credentials, region and HTTP client as given.
    #[must_use]
    pub fn with_config(settings: S3Settings, shared: &SdkConfig) -> Self {
        Self::with_clock(settings, shared, &Clock::System)
    }

    fn with_clock(settings: S3Settings, shared: &SdkConfig, clock: &Clock) -> Self {
        let mut config = Builder::from(shared)
            .force_path_style(settings.path_style)
            // Many stores reject the checksums that newer SDKs add on their own.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // It takes a store that copies gigabytes before it answers for a stalled one.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build(),
            );
        if shared.region().is_none() {
            // S3-compatible stores mostly do not care; AWS answers with the right one.
            config = config.region(aws_config::Region::new("us-east-1"));
        }
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(base_url(endpoint));
        }
        let public = settings.public_endpoint.clone().or_else(|| settings.endpoint.clone());
        let mut public_config = config.clone();
        if let Some(endpoint) = public {
            public_config = public_config.endpoint_url(base_url(&endpoint));
        }
        let credentials = Arc::new(CredentialCache::new(shared.credentials_provider(), clock.clone()));
        let signer = |sdk: &Client| {
            let (bucket, credentials) = (settings.bucket.clone(), Arc::clone(&credentials));
            Arc::new(Signer::new(sdk.clone(), bucket, credentials, clock.clone()))
        };
        let client = Client::from_conf(config.build());
        let (public, own) = (signer(&Client::from_conf(public_config.build())), signer(&client));
        Self {
            upload_signer: Arc::clone(&public),
            own_upload_signer: Arc::clone(&own),
            signer: public,
            own_signer: own,
            upload_key: None,
            own_urls: None,
            client,
            settings: Arc::new(settings),
            capabilities: Arc::default(),
            distrusted: Arc::default(),
            pace: Arc::default(),
            copy_terms: CopyTerms::default(),
            part_memory: Arc::default(),
            no_crc32c: Arc::default(),
            keeps_tags: Arc::default(),
            clock: clock.clone(),
            http: Arc::default(),
        }
    }

    /// Signs clients' PUTs with a key of their own.
    #[must_use]
    pub fn with_upload_key(mut self, key: UploadKey) -> Self {
        let provider = SharedCredentialsProvider::new(key.credentials());
        let credentials = Arc::new(CredentialCache::new(Some(provider), self.clock.clone()));
        self.upload_signer = Arc::new(self.signer.with_credentials(Arc::clone(&credentials)));
        self.own_upload_signer = Arc::new(self.own_signer.with_credentials(credentials));
        self.upload_key = Some(key);
        self
    }

    /// Signs with this what does not go to the bucket directly.
    #[must_use]
    pub fn with_own_urls(self, signer: UrlSigner) -> Self {
        Self { own_urls: Some(signer), ..self }
    }

    pub(super) const fn own_urls(&self) -> Option<&UrlSigner> {
        self.own_urls.as_ref()
    }

    pub(super) fn require_own_urls(&self) -> Result<&UrlSigner> {
        self.own_urls
            .as_ref()
            .ok_or("nothing was seen of the bucket that makes its own URLs safe")
            .map_err(StorageError::unavailable("sign a URL"))
    }

    /// What signs clients' PUTs, for the host that they see if this server reaches that as well. Else for the one that it
    /// calls: the store behind both is the same, and so is what it makes of a URL.
    pub(in crate::storage) async fn probing_signer(&self, with_upload_key: bool) -> Result<Arc<Signer>> {
        let (public, own) = if with_upload_key {
            (&self.upload_signer, &self.own_upload_signer)
        } else {
            (&self.signer, &self.own_signer)
        };
        let (origin, own_origin) = (public.origin().await?, own.origin().await?);
        if origin == own_origin {
            return Ok(Arc::clone(own));
        }
        // With a client of its own, whose connection goes with it: nothing else is asked of the clients' endpoint.
        let answered = presign::http_client()?.head(&origin).timeout(CONNECT_TIMEOUT).send().await;
        if answered.is_err() {
            tracing::info!(
                endpoint = %origin,
                "clients' way to the store does not lead there from here; what URLs permit is tried on this server's"
            );
        }
        Ok(Arc::clone(if answered.is_ok() { public } else { own }))
    }

    /// The bucket's, as clients see it.
    pub(in crate::storage) async fn client_origin(&self) -> Option<String> {
        self.signer.origin().await.ok()
    }

    #[must_use]
    pub const fn upload_key(&self) -> Option<&UploadKey> {
        self.upload_key.as_ref()
    }

    /// Takes over what a probe saw.
    pub fn set_capabilities(&self, capabilities: Capabilities) {
        *self.capabilities.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(capabilities);
    }

    /// What can be relied on now: what the probe saw, but for what was not done since.
    #[must_use]
    pub fn capabilities(&self) -> Arc<Capabilities> {
        let seen = Arc::clone(&self.capabilities.read().unwrap_or_else(PoisonError::into_inner));
        self.distrusted.apply(seen, tokio::time::Instant::now())
    }

    /// Tells this store, and the way clients go to it, from every other: what was seen of one says nothing about
    /// another.
    #[must_use]
    pub fn identity(&self) -> String {
        let S3Settings { endpoint, public_endpoint, bucket, prefix, .. } = &*self.settings;
        let mut identity = format!("{} s3://{bucket}/{prefix}", endpoint.as_deref().unwrap_or("AWS"));
        // Writing to a string cannot fail.
        let _ = public_endpoint.as_ref().map(|public| write!(identity, " by {public}"));
        let _ = self.upload_key.as_ref().map(|key| write!(identity, " as {}", key.access_key));
        identity
    }

    #[must_use]
    pub fn settings(&self) -> &S3Settings {
        &self.settings
    }

    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn http(&self) -> Result<&reqwest::Client> {
        if self.http.get().is_none() {
            // Another that is made meanwhile is as good.
            let _ = self.http.set(presign::http_client()?);
        }
        self.http.get().ok_or("it was not made").map_err(StorageError::unavailable("be spoken to"))
    }

    pub(super) fn bucket(&self) -> &str {
        &self.settings.bucket
    }

    /// The key as the bucket has it.
    pub(in crate::storage) fn path(&self, key: &Key) -> String {
        format!("{}{}", self.settings.prefix, key.as_str())
    }

    /// `x-amz-copy-source`. Bucket, prefix and keys hold only characters that need no escaping.
    pub(in crate::storage) fn copy_source(&self, key: &Key) -> String {
        format!("{}/{}", self.bucket(), self.path(key))
    }

    /// Overrides for requests that a store may work on for minutes.
    pub(super) fn patiently() -> Builder {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(SLOW_OPERATION_TIMEOUT);
        aws_sdk_s3::Config::builder().timeout_config(timeouts.build())
    }

    /// Overrides for copies. The SDK would repeat one that a time limit cut off, and be cut off again. What their
    /// time is, [`S3::timed`] says.
    pub(super) fn patiently_once(&self) -> Builder {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(self.copy_terms.time_limit + CONNECT_TIMEOUT);
        aws_sdk_s3::Config::builder().timeout_config(timeouts.build()).retry_config(RetryConfig::disabled())
    }

    /// Writes a small object.
    pub(in crate::storage) async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.client
            .put_object()
            .bucket(self.bucket())
            .key(self.path(key))
            .content_type(CONTENT_TYPE)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map(drop)
            .map_err(classify("write an object"))
    }

    /// Removes an object; one that is gone is fine.
    pub(in crate::storage) async fn remove(&self, key: &Key) -> Result<()> {
        self.remove_path(&self.path(key)).await
    }

    pub(in crate::storage) async fn remove_path(&self, path: &str) -> Result<()> {
        match self.client.delete_object().bucket(self.bucket()).key(path).send().await {
            Ok(_) => Ok(()),
            Err(error) => match classify("delete an object")(error) {
                StorageError::NotFound => Ok(()),
                error => Err(error),
            },
        }
    }

    pub(crate) async fn check(&self) -> Result<()> {
        match self.client.head_bucket().bucket(self.bucket()).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(StorageError::unavailable("reach the bucket")(describe(&error))),
        }
    }
}

/// An endpoint as the SDK takes it. Below a path it needs the slash at the end: it puts the bucket's name right behind
/// what it is given (aws-sdk-rust issue 1387).
fn base_url(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    let has_path = endpoint.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path { format!("{endpoint}/") } else { endpoint.to_owned() }
}
