//! How a registry is reached: its address, the caller's credentials, whom to trust, and how patient to be.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::address::RegistryAddress;
use super::auth::Authenticator;
use super::destination::Destinations;
use super::rate::RateLimit;
use super::registry::Registry;
use super::retry::RetryPolicy;
use super::tls;
use crate::credentials::Credential;
use crate::error::{AddressError, Error, Result};
use crate::progress::{Event, Progress};

/// A host that does not answer a SYN within this time, three retransmissions, is down or filtered.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are probed this often: a finalize may be silent for minutes, and only so a dead peer shows.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Configures a [`Registry`].
#[derive(Debug)]
#[must_use = "nothing is connected before `build`"]
pub struct RegistryBuilder {
    base: Result<Url, AddressError>,
    credential: Option<Credential>,
    token_services: Vec<Url>,
    authorities: Vec<u8>,
    accepts_invalid_certificates: bool,
    policy: RetryPolicy,
    rate: Option<u64>,
    notices: Progress,
}

impl Registry {
    /// Begins to configure a registry: at `HOST`, at `HOST:PORT`, or at a URL, see [`RegistryAddress`]. A URL may have a
    /// name and a password in it, which are used then.
    pub fn builder(address: impl AsRef<str>) -> RegistryBuilder {
        let (base, credential) = match parse(address.as_ref()) {
            Ok((base, credential)) => (Ok(base), credential),
            Err(error) => (Err(error), None),
        };
        RegistryBuilder {
            base,
            credential,
            token_services: Vec::new(),
            authorities: Vec::new(),
            accepts_invalid_certificates: false,
            policy: RetryPolicy::default(),
            rate: None,
            notices: Progress::default(),
        }
    }
}

impl RegistryBuilder {
    /// Signs in with this. A name and password in the address take precedence.
    pub fn credentials(mut self, credential: impl Into<Option<Credential>>) -> Self {
        self.credential = self.credential.or(credential.into());
        self
    }

    /// Lets the credential go to these token services besides those in the registry's own domain. Scheme, host and port
    /// count.
    pub fn token_services(mut self, services: impl IntoIterator<Item = Url>) -> Self {
        self.token_services.extend(services);
        self
    }

    /// Trusts these certificate authorities, in PEM, besides the system's.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = pem.into();
        self
    }

    /// Accepts any certificate: whoever is in between can read and change everything.
    pub const fn accept_invalid_certificates(mut self, accept: bool) -> Self {
        self.accepts_invalid_certificates = accept;
        self
    }

    /// Repeats failed requests by this policy.
    pub const fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sends and receives at most so many bytes of blobs in a second, of all transfers together.
    pub fn rate_limit(mut self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        self.rate = bytes_per_second.into();
        self
    }

    /// Calls `listener` for each repeated request that belongs to no transfer, with the failure and the wait before the
    /// next try. Transfers report theirs as [`Event::Retrying`].
    pub fn on_retry(mut self, listener: impl Fn(&Error, Duration) + Send + Sync + 'static) -> Self {
        self.notices = Progress::new(move |_, event| {
            if let Event::Retrying { error, after } = event {
                listener(error, after);
            }
        });
        self
    }

    /// The registry. Sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Address`] if the address is not one of a registry, [`Error::Setup`] if a certificate authority cannot be
    /// read or the system's cannot be loaded.
    pub fn build(self) -> Result<Registry> {
        let base = self.base?;
        let tls = tls::config(&self.authorities, self.accepts_invalid_certificates)?;
        let destinations = Destinations::new(&base, || {
            reqwest::Client::builder()
                .user_agent(concat!("overside/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_keepalive(KEEPALIVE_INTERVAL)
                // Followed by hand, where it is known what may be sent on: a signed URL takes no credentials of ours.
                .redirect(reqwest::redirect::Policy::none())
                .tls_backend_preconfigured(tls.clone())
        })?;
        Ok(Registry {
            http: destinations.own().clone(),
            destinations: Arc::new(destinations),
            base,
            policy: self.policy,
            authenticator: Arc::new(Authenticator::new(self.credential, self.token_services)),
            has_answered: Arc::default(),
            presigns: Arc::default(),
            rate: self.rate.map(RateLimit::new).map(Arc::new),
            notices: Arc::new(self.notices),
        })
    }
}

/// The URL that requests begin with, and the name and password that it had before its host. An address without a scheme
/// may have none.
fn parse(address: &str) -> Result<(Url, Option<Credential>), AddressError> {
    let (address, credential) = if address.contains("://") {
        let mut url: Url = address.parse().map_err(|_| AddressError::Malformed)?;
        let credential = take_credential(&mut url);
        (url.as_str().parse::<RegistryAddress>()?, credential)
    } else {
        (address.parse()?, None)
    };
    let mut base = address.url().clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok((base, credential))
}

/// Takes the name and password out of a URL.
fn take_credential(url: &mut Url) -> Option<Credential> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (username, password) = (decoded(url.username()), url.password().map(decoded));
    // Neither fails on a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let is_there = !username.is_empty() || password.is_some();
    is_there.then(|| Credential::Basic { username, password: password.unwrap_or_default() })
}
