//! Presigned requests (Signature Version 4 in the query; Amazon S3 API Reference, "Authenticating Requests: Using
//! Query Parameters"), byte for byte those of the SDK's presigner at a small part of its cost: the SDK takes every
//! URL through its whole request pipeline.
//!
//! ```text
//! target       where requests go: endpoint rules are the SDK's business, so it is asked once
//! credentials  the SDK's provider chain, asked when what it gave runs out; the day's signing key
//! stamp        who signs, when and for how long: the same for every request of one moment
//! part         one upload's parts: everything but number and length is prepared
//! ```

mod credentials;
mod part;
mod stamp;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use chrono::SubsecRound;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OnceCell;

use crate::domain::clock::Clock;
use crate::storage::{Lengths, PresignedRequest, Result};

pub(super) use credentials::CredentialCache;
pub use part::PartSigner;
use stamp::Stamp;
use target::Target;

/// Longest life of a presigned URL (Amazon S3 User Guide, "Sharing objects with presigned URLs").
pub(super) const MAX_URL_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// For errors: what the store failed to do.
const SIGN: &str = "sign a request (are there AWS credentials?)";

/// The parameters of a GET whose answer a browser keeps and does not show: its headers are the store's own, so the URL
/// has to name them (S3 API Reference, `GetObject`). Objects are written as that type as well: stores that leave these
/// out serve no other. In the order of their names, as they are signed.
const INERT_GET: &str =
    "response-content-disposition=attachment&response-content-type=application%2Foctet-stream&x-id=GetObject";

/// Encoded everywhere but in paths, where the slash stays (S3 API Reference, `UriEncode`).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Signs for one bucket at one endpoint. Never calls it.
#[derive(Debug)]
pub(in crate::storage) struct Signer {
    sdk: Client,
    bucket: String,
    credentials: Arc<CredentialCache>,
    clock: Clock,
    target: OnceCell<Target>,
}

impl Signer {
    pub(in crate::storage::s3) fn new(
        sdk: Client,
        bucket: String,
        credentials: Arc<CredentialCache>,
        clock: Clock,
    ) -> Self {
        Self { sdk, bucket, credentials, clock, target: OnceCell::new() }
    }

    /// Signs for the same place with other credentials.
    pub(in crate::storage::s3) fn with_credentials(&self, credentials: Arc<CredentialCache>) -> Self {
        Self::new(self.sdk.clone(), self.bucket.clone(), credentials, self.clock.clone())
    }

    /// Signs a PUT of a whole object that carries these headers.
    pub async fn put(
        &self,
        key: &str,
        headers: Vec<(String, String)>,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        self.put_of(key, headers, None, lifetime).await
    }

    /// As [`Self::put`], of bytes that have this SHA-256 in hexadecimal digits. It takes the place of
    /// `UNSIGNED-PAYLOAD` in what is signed, and stands in the query, where a client need not know of it.
    pub async fn put_of(
        &self,
        key: &str,
        headers: Vec<(String, String)>,
        sha256: Option<&str>,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        let (target, stamp) = self.prepare(lifetime).await?;
        let url = whole_of(target, &stamp, "PUT", "x-id=PutObject", key, &headers, sha256);
        Ok(PresignedRequest { url, headers, expires_at: stamp.expires_at() })
    }

    /// Signs a GET of an object, which the store is to answer with a type that no browser shows or runs.
    pub async fn get(&self, key: &str, lifetime: Duration) -> Result<String> {
        let (target, stamp) = self.prepare(lifetime).await?;
        Ok(whole(target, &stamp, "GET", INERT_GET, key, &[]))
    }

    /// Signs the removal of an object.
    pub async fn delete(&self, key: &str, lifetime: Duration) -> Result<PresignedRequest> {
        let (target, stamp) = self.prepare(lifetime).await?;
        let url = whole(target, &stamp, "DELETE", "x-id=DeleteObject", key, &[]);
        Ok(PresignedRequest { url, headers: Vec::new(), expires_at: stamp.expires_at() })
    }

    /// Signs the removal of an object by a request that ended `ago`: what no store may carry out any more.
    pub async fn ended_delete(&self, key: &str, ago: Duration) -> Result<String> {
        let life = Duration::from_secs(1);
        let (target, stamp) = self.prepare_before(ago + life, life).await?;
        Ok(whole(target, &stamp, "DELETE", "x-id=DeleteObject", key, &[]))
    }

    /// Prepares to sign the parts of one multipart upload, whose PUTs carry these headers as well.
    pub async fn parts(
        &self,
        key: &str,
        store_upload_id: &str,
        lengths: Lengths,
        headers: Vec<(String, String)>,
        lifetime: Duration,
    ) -> Result<PartSigner> {
        let (target, stamp) = self.prepare(lifetime).await?;
        Ok(PartSigner::new(target, stamp, key, store_upload_id, lengths, headers))
    }

    /// Scheme, host and port of the endpoint, as URLs to this bucket have them.
    pub async fn origin(&self) -> Result<String> {
        // Any life will do: nothing is signed.
        let (target, _) = self.prepare(Duration::from_secs(1)).await?;
        Ok(target.origin().to_owned())
    }

    /// Whether the endpoint is spoken to over TLS, wherever its address was configured.
    pub async fn is_tls(&self) -> Result<bool> {
        Ok(self.origin().await?.starts_with("https:"))
    }

    async fn prepare(&self, lifetime: Duration) -> Result<(&Target, Stamp)> {
        self.prepare_before(Duration::ZERO, lifetime).await
    }

    /// As somebody would have who signed `ago`.
    async fn prepare_before(&self, ago: Duration, lifetime: Duration) -> Result<(&Target, Stamp)> {
        let held = self.credentials.get().await?;
        let target = self
            .target
            .get_or_try_init(|| {
                Target::ask(&self.sdk, &self.bucket, &held, self.clock.now().trunc_subsecs(0))
            })
            .await?;
        // Taken last: whatever was waited for must not shorten the URL's life.
        let now = (self.clock.now() - ago).trunc_subsecs(0);
        Ok((target, Stamp::new(&held, target.scope(), now, lifetime)?))
    }
}

/// Signs a request that is signed once: headers as the client sends them, in any order.
fn whole(
    target: &Target,
    stamp: &Stamp,
    method: &str,
    operation: &str,
    key: &str,
    headers: &[(String, String)],
) -> String {
    whole_of(target, stamp, method, operation, key, headers, None)
}

/// The same of a body whose SHA-256 is known.
fn whole_of(
    target: &Target,
    stamp: &Stamp,
    method: &str,
    operation: &str,
    key: &str,
    headers: &[(String, String)],
    sha256: Option<&str>,
) -> String {
    let with_hash = |query: String| match sha256 {
        // In the order of the names.
        Some(sha256) => query.replacen(
            "&X-Amz-Credential=",
            &format!("&X-Amz-Content-Sha256={sha256}&X-Amz-Credential="),
            1,
        ),
        None => query,
    };
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers.push(("host", target.host()));
    headers.sort_unstable();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let (path, signed) = (target.path(key), names.join(";"));
    let query = with_hash(stamp.canonical_query(&names));
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let lines = lines.join("\n");
    let canonical = format!(
        "{method}\n{path}\n{query}&{operation}\n{lines}\n\n{signed}\n{}",
        sha256.unwrap_or("UNSIGNED-PAYLOAD")
    );
    let query = with_hash(stamp.url_query(&names));
    let mut url = format!("{}{path}?{operation}&{query}", target.origin());
    stamp.sign(stamp::hash(&canonical), &mut url);
    url
}

fn encode(text: &str, set: &'static AsciiSet) -> String {
    utf8_percent_encode(text, set).to_string()
}
