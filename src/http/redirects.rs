//! Who is sent to the bucket for a blob's bytes, and who gets them through this server.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::HeaderMap;
use clap::ValueEnum;
use ipnet::IpNet;
use url::{Host, Url};

use super::extract::user_agent;
use super::origin::{Origin, Peer};

/// Clients that refuse to go from one host to a private address: what they say they are, and since which minor version
/// (go-containerregistry v0.22, `pkg/v1/remote/fetcher.go`, `checkRedirectSSRF`). crane, ko, cosign and kaniko are made
/// of it.
const REFUSES_PRIVATE_ADDRESSES: (&str, u64) = ("go-containerregistry/v0.", 22);

/// Whether downloads are sent to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RedirectMode {
    /// All but those of clients that are known not to follow there.
    Auto,
    Always,
    /// Every byte passes this server.
    Never,
}

/// Clients by where they are or by what they say they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    Network(IpNet),
    /// Part of a `User-Agent`.
    Agent(String),
}

impl FromStr for Clients {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err("say an address, a network such as 10.0.0.0/8, or a part of a User-Agent".to_owned());
        }
        let is_like_a_network =
            text.contains('/') && !text.contains(|c: char| !matches!(c, '0'..='9' | '.' | ':' | '/'));
        if is_like_a_network && text.parse::<IpNet>().is_err() {
            return Err(format!("{text} is no network; one is written 10.0.0.0/8 or 2001:db8::/32"));
        }
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        Ok(text.parse().ok().or_else(address).map_or_else(|| Self::Agent(text.to_owned()), Self::Network))
    }
}

/// Which downloads go to the bucket.
#[derive(Debug, Clone)]
pub struct Redirects {
    pub mode: RedirectMode,
    /// Served here, where not all are sent away.
    pub exceptions: Vec<Clients>,
}

impl Default for Redirects {
    fn default() -> Self {
        Self { mode: RedirectMode::Auto, exceptions: Vec::new() }
    }
}

impl Redirects {
    /// Whether whoever asks is to get the bytes here instead of being sent to `url`.
    pub(super) fn keeps(&self, asked: &Asked<'_>, url: &str) -> bool {
        match self.mode {
            RedirectMode::Always => false,
            RedirectMode::Never => true,
            RedirectMode::Auto => {
                self.exceptions.iter().any(|clients| clients.are(asked)) || refuses(asked, url)
            }
        }
    }
}

/// What a request tells of who sends it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    agent: &'a str,
    address: Option<IpAddr>,
    origin: Option<&'a Origin>,
}

impl<'a> Asked<'a> {
    pub fn of(headers: &'a HeaderMap, extensions: &'a axum::http::Extensions) -> Self {
        let address = extensions.get::<Peer>().map(|peer| peer.0.to_canonical());
        Self { agent: user_agent(headers).unwrap_or_default(), address, origin: extensions.get() }
    }
}

impl Clients {
    fn are(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Network(network) => asked.address.is_some_and(|address| network.contains(&address)),
            Self::Agent(part) => asked.agent.contains(part.as_str()),
        }
    }
}

/// Whether a client is known not to follow there. That it asks another host of the same name is fine with it.
fn refuses(asked: &Asked<'_>, url: &str) -> bool {
    let (name, since) = REFUSES_PRIVATE_ADDRESSES;
    let Some((_, version)) = asked.agent.split_once(name) else { return false };
    let digits = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    if digits.parse::<u64>().is_ok_and(|minor| minor < since) {
        return false;
    }
    let Ok(url) = Url::parse(url) else { return false };
    let here = asked.origin.and_then(|origin| Url::parse(&origin.url("/")).ok());
    is_private(&url) && here.is_none_or(|here| here.host() != url.host())
}

/// Whether a client that is sent from one host to another takes its password or token along: Go's `net/http` does to another
/// port of the same name, and to a name below it (`shouldCopyHeaderOnRedirect`).
#[must_use]
pub fn takes_sign_in_along(here: &str, there: &str) -> bool {
    there.strip_suffix(here).is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// Whether a URL names an address that only its own network knows.
#[must_use]
pub fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => {
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
        }
        Some(Host::Ipv6(address)) => {
            address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_unspecified()
        }
        Some(Host::Domain(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRANE: &str = "crane/v0.22.1 go-containerregistry/v0.22.1";

    fn keeps(agent: &str, host: &str, url: &str) -> bool {
        let here = Origin::fixed(&format!("http://{host}").parse().expect("a URL"));
        let asked = Asked { agent, address: "192.0.2.7".parse().ok(), origin: Some(&here) };
        Redirects { mode: RedirectMode::Auto, exceptions: Vec::new() }.keeps(&asked, url)
    }

    #[test]
    fn a_client_that_refuses_to_go_to_a_private_address_is_not_sent_there() {
        let bucket = "http://10.0.0.5:9000/bucket/key?X-Amz-Signature=a";
        for (agent, host, url, kept) in [
            (CRANE, "registry.example", bucket, true),
            (CRANE, "localhost:5000", "http://127.0.0.1:9000/b", true),
            (CRANE, "registry.example", "http://[fd00::1]/b", true),
            ("go-containerregistry/v0.30.0-rc1", "registry.example", bucket, true),
            ("kaniko/1.0 go-containerregistry/v0.21.9", "registry.example", bucket, false),
            (CRANE, "10.0.0.5:5000", bucket, false),
            (CRANE, "registry.example", "https://bucket.s3.amazonaws.com/key", false),
            (CRANE, "registry.example", "https://192.0.2.1/key", false),
            ("docker/29.1.0", "registry.example", bucket, false),
            ("", "registry.example", bucket, false),
        ] {
            assert_eq!(keeps(agent, host, url), kept, "{agent}, {host}, {url}");
        }
    }

    #[test]
    fn an_exception_is_an_address_a_network_or_a_part_of_an_agent() {
        let url = "https://bucket.example/key";
        let keeps = |mode, exception: &str, address: &str, agent| {
            let exceptions = vec![exception.parse().expect("an exception")];
            let asked = Asked { agent, address: address.parse().ok(), origin: None };
            Redirects { mode, exceptions }.keeps(&asked, url)
        };
        let auto = RedirectMode::Auto;
        assert!(keeps(auto, "10.0.0.0/8", "10.9.8.7", ""));
        assert!(!keeps(auto, "10.0.0.0/8", "11.0.0.1", "10.0.0.0/8x"));
        assert!(keeps(auto, "2001:db8::1", "2001:db8::1", ""));
        assert!(keeps(auto, "podman/", "192.0.2.1", "containers/5.0 podman/5.1"));
        assert!(!keeps(auto, "podman/", "192.0.2.1", "docker/29"));
        assert!(keeps(RedirectMode::Never, "nobody", "192.0.2.1", "docker/29"));
        assert!(!keeps(RedirectMode::Always, "docker", "192.0.2.1", "docker/29"));
        assert!("  ".parse::<Clients>().is_err() && "10.0.0.0/33".parse::<Clients>().is_err());
    }
}
