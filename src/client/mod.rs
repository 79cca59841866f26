//! The presign protocol from the client's side: used by the command line and by the tests.
//!
//! ```text
//! put ──> session (begin, presign, finalize) ──> call     requests to the server, repeated when that helps
//!   └───> parts ──> transfer                              signed PUTs to the store
//! download ──> staged                                     GET with Range into a file that is proven, then renamed
//! archive                                                images in files, checked before they go up
//! ```
//! [`Client::put_file`] and [`Client::download`] do everything; [`Session`] is the protocol step by step.

pub mod archive;
mod call;
mod download;
mod error;
pub mod manifest;
mod midstates;
mod parts;
mod progress;
mod put;
mod retry;
mod session;
mod source;
mod staged;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_LENGTH;
use url::Url;

use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::http::wire::PresignedUpload;
use call::Answer;

pub use error::{Error, Refusal, Result};
pub use midstates::Midstates;
pub use progress::{Event, Progress, Stage};
pub use put::{PutOptions, PutOutcome};
pub use retry::RetryPolicy;
pub use session::{PresignTerms, Session};
pub use source::{FileSource, Hashed};
pub use transfer::{TransferOptions, Transferred};

/// A host that does not answer a SYN within this time, three retransmissions, is down or filtered.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are probed this often: a finalize may be silent for minutes, and only so a dead peer shows.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// For calls that only read or write a row; the longest of them lists 10,000 parts at the store.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// A transfer that moves no byte for so long is given up and begun again.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// One Overside server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Always ends with a slash.
    base: Url,
    policy: RetryPolicy,
    /// Whether the server has answered yet. Before that a refused connection is a wrong address, not a restart.
    answered: Arc<AtomicBool>,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:5000`.
    pub fn new(mut base: Url) -> Result<Self> {
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || base.query().is_some() {
            return Err(Error::Address(base.into()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Fails only where a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE_INTERVAL)
            // Followed by hand, where it is known what may be sent on: a signed URL takes no credentials of ours.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::Setup)?;
        Ok(Self { http, base, policy: RetryPolicy::default(), answered: Arc::default() })
    }

    /// The same client with other patience.
    #[must_use]
    pub fn with_retry_policy(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Begins an upload. With the digest declared, one PUT of the whole blob carries it as its checksum.
    pub async fn begin(&self, repository: &RepositoryName, digest: Option<Digest>) -> Result<Session> {
        let mut url = self.uploads_url(repository)?;
        // A POST without a body that names the digest of no bytes is a whole upload in itself, and leaves no session.
        if let Some(digest) = digest.filter(|digest| *digest != Digest::EMPTY) {
            url.query_pairs_mut().append_pair("digest", &digest.to_string());
        }
        let answer = self.call(Some(CALL_TIMEOUT), || self.http.post(url.clone())).await?;
        self.begun(repository, &answer.expect(StatusCode::ACCEPTED)?)
    }

    /// As [`Self::begin`], and with it the signed requests that [`Session::presign`] would ask for. None from a
    /// server that signs by `GET` alone.
    pub async fn begin_presigned(
        &self,
        repository: &RepositoryName,
        terms: &PresignTerms,
    ) -> Result<(Session, Option<PresignedUpload>)> {
        if terms.digest == Some(Digest::EMPTY) {
            return Ok((self.begin(repository, terms.digest).await?, None));
        }
        let mut url = self.uploads_url(repository)?;
        terms.append_to(&mut url);
        let answer = self.call(Some(CALL_TIMEOUT), || self.http.post(url.clone())).await?;
        let answer = answer.expect(StatusCode::ACCEPTED)?;
        Ok((self.begun(repository, &answer)?, answer.json().ok()))
    }

    fn begun(&self, repository: &RepositoryName, answer: &Answer) -> Result<Session> {
        // The name, not the Location: behind a proxy that adds a path only our own base leads back.
        let id = answer.header("docker-upload-uuid").and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| answer.unexpected("no Docker-Upload-UUID"))?;
        Ok(self.session(repository, id))
    }

    /// An upload that was begun before, here or elsewhere.
    #[must_use]
    pub fn session(&self, repository: &RepositoryName, id: UploadId) -> Session {
        Session::new(self.clone(), repository.clone(), id)
    }

    /// A blob's size in bytes, if the repository has it and the caller may read it.
    pub async fn blob_size(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<u64>> {
        let url = self.blob_url(repository, digest)?;
        let answer = self.call(Some(CALL_TIMEOUT), || self.http.head(url.clone())).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.expect(StatusCode::OK)?;
        let size = answer.header(CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
        size.map(Some).ok_or_else(|| answer.unexpected("no Content-Length"))
    }

    fn uploads_url(&self, repository: &RepositoryName) -> Result<Url> {
        self.url(&format!("v2/{repository}/blobs/uploads/"))
    }

    fn blob_url(&self, repository: &RepositoryName, digest: &Digest) -> Result<Url> {
        self.url(&format!("v2/{repository}/blobs/{digest}"))
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|_| Error::Address(self.base.to_string()))
    }

    /// The server as it is named in errors.
    fn peer(&self) -> String {
        peer(&self.base)
    }
}

/// Scheme, host and port: never user, path or query, which may hold credentials.
fn peer(url: &Url) -> String {
    url.origin().ascii_serialization()
}
