//! One registry, as all requests to it are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use url::Url;

use super::address::peer;
use super::auth::Authenticator;
use super::destination::Destinations;
use super::rate::RateLimit;
use super::retry::{Retry, RetryPolicy};
use super::tls;
use crate::credentials::Credential;
use crate::error::{Error, Result};
use crate::progress::{Event, Progress};

/// A host that does not answer a SYN within this time, three retransmissions, is down or filtered.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are probed this often: a finalize may be silent for minutes, and only so a dead peer shows.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// One registry: an Overside server, or any other. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) destinations: Arc<Destinations>,
    /// Always ends with a slash.
    pub(crate) base: Url,
    pub(crate) policy: RetryPolicy,
    pub(crate) authenticator: Arc<Authenticator>,
    /// Whether the server has answered yet. Before that a refused connection is a wrong address, not a restart.
    pub(crate) answered: Arc<AtomicBool>,
    /// Whether it has said that it gives presigned URLs.
    pub(crate) presigns: Arc<AtomicBool>,
    pub(crate) rate: Option<Arc<RateLimit>>,
    /// Where retries are shown that are of no blob under way.
    pub(crate) notices: Arc<Progress>,
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
        let tls = tls::config(&options.authorities, options.accept_invalid_certificates)?;
        let destinations = Destinations::new(&base, || {
            reqwest::Client::builder()
                .user_agent(concat!("overside/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_keepalive(KEEPALIVE_INTERVAL)
                // Followed by hand, where it is known what may be sent on: a signed URL takes no credentials of ours.
                .redirect(reqwest::redirect::Policy::none())
                .tls_backend_preconfigured(tls.clone())
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
            notices: Arc::new(options.retrying.map_or_else(Progress::default, |retrying| {
                Progress::new(move |_, event| {
                    if let Event::Retrying { error, after } = event {
                        retrying(error, after);
                    }
                })
            })),
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

    /// For a piece of work with this registry that is tried again.
    pub(crate) fn retry<'a>(&'a self, progress: &'a Progress) -> Retry<'a> {
        Retry::new(self.policy, &self.answered, progress)
    }

    /// Whether the server gives presigned URLs, as far as it has said.
    pub(crate) fn presigns(&self) -> bool {
        self.presigns.load(Ordering::Relaxed)
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url> {
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
    pub(crate) fn peer(&self) -> String {
        peer(&self.base)
    }

    /// The error for an answer of the server that the protocol does not have.
    pub(crate) fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::protocol(&self.peer(), what)
    }
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
