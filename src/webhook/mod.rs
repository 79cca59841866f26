//! Delivers webhooks: what a delivery says, and the client that sends it. No database.

// Networks that deliveries may reach.
mod network;
// The bodies.
mod payload;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use url::Host;

use crate::domain::webhook::{WebhookEvent, WebhookQueue};

/// To connect, of the time that a delivery has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Read of an answer, in bytes: what a receiver says is of no interest, but one that is cut off may take it as a failure.
const MAX_ANSWER: usize = 4 * 1024;

/// Why a delivery failed. Without the address, whose query may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    #[error("the receiver answered {0}")]
    Status(u16),
    #[error("the receiver did not answer in time")]
    Timeout,
    #[error("the receiver's address is of a private network, which --webhook-private-addresses would allow")]
    PrivateAddress,
    #[error("the receiver could not be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It is a header that was checked when it was set.
    #[error("auth_header is no header")]
    AuthHeader,
    #[error("the body could not be written")]
    Payload(#[from] serde_json::Error),
}

/// How deliveries are sent.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// The host, and the port, that `resource_url` begins with.
    pub registry_host: String,
    /// For one delivery, from the name's look-up to the answer.
    pub timeout: Duration,
    /// Whether receivers may be in private networks and on this machine.
    pub private_addresses: bool,
}

/// Sends deliveries.
#[derive(Debug)]
pub struct WebhookSender {
    config: SenderConfig,
    client: Client,
    /// Trusts any certificate, for policies that say so.
    trusting_client: Client,
}

impl WebhookSender {
    /// # Errors
    ///
    /// Where there is no TLS.
    pub fn new(config: SenderConfig) -> Result<Self, reqwest::Error> {
        // Fails only where a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = || client(&config);
        Ok(Self {
            client: client().build()?,
            trusting_client: client().tls_danger_accept_invalid_certs(true).build()?,
            config,
        })
    }

    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Delivers one event.
    ///
    /// # Errors
    ///
    /// Where the receiver has not answered that it took the event.
    pub async fn deliver(&self, queue: &WebhookQueue, event: &WebhookEvent) -> Result<(), Undelivered> {
        let target = &queue.target;
        let url = target.address.url();
        // Addresses that are written as such pass no resolver.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if !self.config.private_addresses && literal.is_some_and(|address| !network::is_public(address)) {
            return Err(Undelivered::PrivateAddress);
        }
        let (content_type, body) = payload::of(queue, event, &self.config.registry_host)?;
        let client = if target.skip_cert_verify { &self.trusting_client } else { &self.client };
        let mut request = client.post(url.clone()).header(CONTENT_TYPE, content_type).body(body);
        if let Some(header) = &target.auth_header {
            let mut header = HeaderValue::from_str(header.reveal()).map_err(|_| Undelivered::AuthHeader)?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        let mut response = request.send().await.map_err(undelivered)?;
        let mut read = 0;
        while read < MAX_ANSWER
            && let Ok(Some(chunk)) = response.chunk().await
        {
            read += chunk.len();
        }
        if response.status().is_success() {
            Ok(())
        } else {
            Err(Undelivered::Status(response.status().as_u16()))
        }
    }
}

/// Every delivery has a connection of its own, to an address that was looked at. No redirect is followed: it would lead
/// anywhere. No proxy is asked: it would look names up itself.
fn client(config: &SenderConfig) -> ClientBuilder {
    let client = Client::builder()
        .user_agent(concat!("overside/", env!("CARGO_PKG_VERSION")))
        .timeout(config.timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
        .redirect(Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0);
    if config.private_addresses { client } else { client.dns_resolver(Arc::new(PublicAddresses)) }
}

fn undelivered(error: reqwest::Error) -> Undelivered {
    let mut cause: Option<&dyn Error> = Some(&error);
    while let Some(error) = cause {
        if error.is::<PrivateAddress>() {
            return Undelivered::PrivateAddress;
        }
        cause = error.source();
    }
    if error.is_timeout() { Undelivered::Timeout } else { Undelivered::Unreachable(error.without_url()) }
}

#[derive(Debug, thiserror::Error)]
#[error("every address of the name is of a private network")]
struct PrivateAddress;

/// Looks names up and leaves out addresses of private networks, so that what is connected to is what was looked at: a name
/// that resolves otherwise the next time (DNS rebinding) gains nothing.
#[derive(Debug)]
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| network::is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(PrivateAddress.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}
