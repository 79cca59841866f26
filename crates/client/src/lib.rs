//! A registry from the client's side, this one or any other: what the command line is made of, and some tests.
//!
//! ```text
//! copy ──> put ──> session, parts, transfer     presigned: signed PUTs to the store
//!   │       └────> chunked                      a registry without: PATCH from wherever it is
//!   ├────> download ──> staged                  GET with Range into a file that is proven, then renamed
//!   └────> archive                              images in files, checked whole before anything is sent
//! all of them ──> call ──> auth, answer, retry  one request: signed in, repeated where that helps
//! content, source, state, arrived               what is sent, and where an upload goes on
//! destination, printable                        what of a registry's words is not believed
//! ```
//! [`copy::copy`] and [`copy::pull`] move artifacts, [`Client::put_blob`] and [`Client::download`] blobs; [`Session`]
//! is the presign protocol step by step.

mod address;
mod answer;
pub mod archive;
mod arrived;
mod auth;
mod blobs;
mod call;
mod chunked;
mod content;
pub mod copy;
pub mod credentials;
mod deletions;
mod destination;
mod download;
mod error;
mod hashes;
mod listings;
mod management;
pub mod manifest;
mod manifests;
mod midstates;
mod partial;
mod parts;
mod printable;
mod progress;
mod put;
mod put_chunks;
mod rate;
mod retry;
mod session;
mod source;
mod staged;
mod state;
#[cfg(test)]
mod tests;
mod token_service;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, TryStream, TryStreamExt};
use reqwest::{Certificate, StatusCode};
use url::{Host, Url};

use answer::Answer;
use auth::{Authenticator, Scope};
use destination::Destinations;
use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::upload::UploadId;
use overside_protocol::wire::PresignedUpload;
use rate::RateLimit;

pub use address::{AddressError, RegistryAddress, authority};
pub use content::{Content, RemoteBlob};
pub use credentials::Credential;
pub use error::{Error, Refusal, Result, Why};
pub use hashes::HashCache;
pub use management::ManagementAnswer;
pub use midstates::Midstates;
pub use printable::{printable, printable_lines, shortened};
pub use progress::{Event, Outcome, Progress, Stage, Subject};
pub use put::{Blob, PutOptions, PutOutcome};
pub use retry::RetryPolicy;
pub use session::{PresignTerms, Session};
pub use source::{FileSource, Hashed};
pub use state::UploadStates;
pub use transfer::{Lanes, TransferOptions, Transferred};

/// A host that does not answer a SYN within this time, three retransmissions, is down or filtered.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are probed this often: a finalize may be silent for minutes, and only so a dead peer shows.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// For calls that only read or write a row; the longest of them lists 10,000 parts at the store.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// A transfer that moves no byte for so long is given up and begun again.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// One registry: an Overside server, or any other. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    destinations: Arc<Destinations>,
    /// Always ends with a slash.
    base: Url,
    policy: RetryPolicy,
    authenticator: Arc<Authenticator>,
    /// Whether the server has answered yet. Before that a refused connection is a wrong address, not a restart.
    answered: Arc<AtomicBool>,
    /// Whether it has said that it gives presigned URLs.
    presigns: Arc<AtomicBool>,
    rate: Option<Arc<RateLimit>>,
    retrying: Option<fn(&Error, Duration)>,
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    pub credential: Option<Credential>,
    /// Where the credential may go besides the registry's own domain: scheme, host and port of token services.
    pub token_services: Vec<Url>,
    /// More certificate authorities to trust than the system's, in PEM.
    pub authorities: Vec<u8>,
    /// Takes any certificate: whoever is in between reads and changes everything.
    pub accept_invalid_certificates: bool,
    /// Told of each call that is repeated: why, and after how long.
    pub retrying: Option<fn(&Error, Duration)>,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:5000`.
    pub fn new(base: Url) -> Result<Self> {
        Self::connect(base, ConnectOptions::default())
    }

    /// As [`Self::new`]. A name and password in the URL are taken out of it, and used.
    pub fn connect(mut base: Url, options: ConnectOptions) -> Result<Self> {
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || base.query().is_some() {
            return Err(Error::Address(peer(&base)));
        }
        let credential = take_credential(&mut base).or(options.credential);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Fails only where a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities = Certificate::from_pem_bundle(&options.authorities).map_err(Error::Setup)?;
        let destinations = Destinations::new(&base, || {
            reqwest::Client::builder()
                .user_agent(concat!("overside/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_keepalive(KEEPALIVE_INTERVAL)
                // Followed by hand, where it is known what may be sent on: a signed URL takes no credentials of ours.
                .redirect(reqwest::redirect::Policy::none())
                .tls_certs_merge(authorities.clone())
                .tls_danger_accept_invalid_certs(options.accept_invalid_certificates)
        })?;
        Ok(Self {
            http: destinations.own().clone(),
            destinations: Arc::new(destinations),
            base,
            policy: RetryPolicy::default(),
            authenticator: Arc::new(Authenticator::new(credential, options.token_services)),
            answered: Arc::default(),
            presigns: Arc::default(),
            rate: None,
            retrying: options.retrying,
        })
    }

    /// The same client with other patience.
    #[must_use]
    pub fn with_retry_policy(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    /// The same client, which sends and fetches at most so many bytes of blobs in a second.
    #[must_use]
    pub fn with_rate_limit(self, bytes_per_second: Option<u64>) -> Self {
        Self { rate: bytes_per_second.map(RateLimit::new).map(Arc::new), ..self }
    }

    /// A body's bytes as fast as the limit allows.
    fn paced<E: Send, S: TryStream<Ok = Bytes, Error = E> + Send>(
        &self,
        stream: S,
    ) -> impl Stream<Item = Result<Bytes, E>> + Send + use<E, S> {
        let rate = self.rate.clone();
        stream.and_then(move |bytes| {
            let rate = rate.clone();
            async move {
                if let Some(rate) = rate {
                    rate.wait(bytes.len() as u64).await;
                }
                Ok(bytes)
            }
        })
    }

    /// Whether the server gives presigned URLs, as far as it has said.
    fn presigns(&self) -> bool {
        self.presigns.load(Ordering::Relaxed)
    }

    /// Begins an upload, and with it asks for the signed requests that [`Session::presign`] would; unless the
    /// server can take the blob from another repository of its own, and there is nothing to upload.
    pub(crate) async fn begin_presigned(
        &self,
        repository: &RepositoryName,
        terms: &PresignTerms,
        mount_from: Option<&RepositoryName>,
    ) -> Result<Option<(Session, Option<PresignedUpload>)>> {
        let mut url = self.uploads_url(repository)?;
        let mut scope = Scope::push(repository);
        // A POST without a body that names the digest of no bytes is a whole upload in itself, and leaves no session.
        if terms.digest.is_some_and(|digest| digest.is_of_nothing()) {
            terms.algorithm_to(&mut url);
        } else {
            terms.append_to(&mut url);
            if let (Some(from), Some(digest)) = (mount_from, terms.digest) {
                scope = append_mount(&mut url, &digest, repository, from);
            }
        }
        let answer = self.call(Some(CALL_TIMEOUT), &scope, || self.http.post(url.clone())).await?;
        if answer.status == StatusCode::CREATED && mount_from.is_some() {
            return Ok(None);
        }
        let answer = answer.expect(StatusCode::ACCEPTED)?;
        // None from a server that signs by `GET` alone.
        Ok(Some((self.begun(repository, &answer)?, answer.json().ok())))
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

    fn uploads_url(&self, repository: &RepositoryName) -> Result<Url> {
        self.url(&format!("v2/{repository}/blobs/uploads/"))
    }

    fn blob_url(&self, repository: &RepositoryName, digest: &Digest) -> Result<Url> {
        self.url(&format!("v2/{repository}/blobs/{digest}"))
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|_| Error::Address(self.base.to_string()))
    }

    /// Where the registry is.
    #[must_use]
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// Whether blobs of the other can be had here without sending them.
    #[must_use]
    pub fn is_same_registry(&self, other: &Self) -> bool {
        self.base == other.base
    }

    /// The server as it is named in errors.
    fn peer(&self) -> String {
        peer(&self.base)
    }
}

/// Has an upload that begins at `url` take the blob from another repository instead, and says what that needs.
fn append_mount(url: &mut Url, digest: &Digest, to: &RepositoryName, from: &RepositoryName) -> Scope {
    url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from.as_str());
    Scope::mount(to, from)
}

/// The name and password that a URL has before its host.
fn take_credential(url: &mut Url) -> Option<Credential> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (username, password) = (decoded(url.username()), url.password().map(decoded));
    // Neither fails on a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let is_there = !username.is_empty() || password.is_some();
    is_there.then(|| Credential::Basic { username, password: password.unwrap_or_default() })
}

/// Whether a URL leads to this machine, where plain HTTP is nobody else's to read.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Scheme, host and port: never user, path or query, which may hold credentials.
fn peer(url: &Url) -> String {
    url.origin().ascii_serialization()
}
