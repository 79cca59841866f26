//! Which hosts a request may go to.
//!
//! A registry names other places: signed URLs, redirects, upload locations, token services. A hostile one would name
//! what only this machine can reach: a cloud's metadata service, which hands out the machine's own credentials, or
//! something in the private network. So nothing goes to a link-local or metadata address, and to a private one only
//! where the registry itself is on one. A name is judged by the addresses that are then connected to: what is looked
//! up twice can be two things.
//!
//! Behind an HTTP proxy names are the proxy's to look up, and to judge. IP addresses are judged here all the same.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use reqwest::ClientBuilder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use url::{Host, Url};

use super::address::peer;
use crate::error::{UnsafeDestination, UnsafeHost};
use crate::{Error, Result};

/// Environment variables that name proxies, as curl and reqwest read them; in capitals, too.
const PROXY_VARIABLES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];

/// One registry's connections: to itself, and to wherever it sends its clients.
#[derive(Debug, Clone)]
pub(crate) struct Destinations {
    registry: Url,
    own: reqwest::Client,
    elsewhere: reqwest::Client,
    network: Arc<RegistryNetwork>,
}

/// What kind of IP address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressClass {
    Public,
    /// Of this machine or of a private network.
    Private,
    /// No registry and no store is at such an address.
    Forbidden(UnsafeDestination),
}

/// Whether the registry itself is on a private network. One that was ever seen at a public address counts as public, so
/// that its name server cannot make it private later.
#[derive(Debug)]
struct RegistryNetwork(AtomicU8);

impl RegistryNetwork {
    const UNKNOWN: u8 = 0;
    const PRIVATE: u8 = 1;
    const PUBLIC: u8 = 2;

    fn of(registry: &Url) -> Self {
        let network = Self(AtomicU8::new(Self::UNKNOWN));
        if let Some(address) = literal(registry) {
            network.observe(address);
        }
        network
    }

    fn observe(&self, address: IpAddr) {
        let seen = if classify(address) == AddressClass::Public { Self::PUBLIC } else { Self::PRIVATE };
        self.0.fetch_max(seen, Ordering::Relaxed);
    }

    fn is_private(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::PRIVATE
    }

    fn check(&self, address: IpAddr) -> Result<(), UnsafeDestination> {
        match classify(address) {
            AddressClass::Public => Ok(()),
            AddressClass::Private if self.is_private() => Ok(()),
            AddressClass::Private => Err(UnsafeDestination::Private),
            AddressClass::Forbidden(reason) => Err(reason),
        }
    }
}

impl Destinations {
    /// The connections of a registry, each made by `builder`.
    ///
    /// # Errors
    /// [`Error::Setup`] if the HTTP client cannot be set up.
    pub fn new(registry: &Url, builder: impl Fn() -> ClientBuilder) -> Result<Self> {
        let network = Arc::new(RegistryNetwork::of(registry));
        let host = registry.host_str().unwrap_or_default().to_owned();
        let resolver = RegistryResolver { host, network: network.clone() };
        let own = builder().dns_resolver(resolver).build().map_err(Error::setup)?;
        let resolver = FilteringResolver { network: network.clone(), proxies: proxies() };
        let elsewhere = builder().dns_resolver(resolver).build().map_err(Error::setup)?;
        Ok(Self { registry: registry.clone(), own, elsewhere, network })
    }

    /// For requests to the registry itself.
    pub const fn own(&self) -> &reqwest::Client {
        &self.own
    }

    /// The HTTP client for a URL, which may lead away from the registry.
    ///
    /// # Errors
    /// [`Error::Destination`] if nothing may be sent there.
    pub fn to(&self, url: &Url) -> Result<&reqwest::Client> {
        let refuse = |reason| Err(Error::Destination { place: peer(url), reason });
        // The HTTP client would make a header `Authorization` of it, of the registry's choice.
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(UnsafeDestination::HasCredential);
        }
        if url.origin() == self.registry.origin() {
            return Ok(&self.own);
        }
        match literal(url).map(|address| self.network.check(address)) {
            Some(Err(reason)) => refuse(reason),
            _ => Ok(&self.elsewhere),
        }
    }

    /// As if the registry had been seen at a public address, which no test's is.
    #[cfg(test)]
    pub fn pretend_public(&self) {
        self.network.0.store(RegistryNetwork::PUBLIC, Ordering::Relaxed);
    }
}

/// Looks names up, and observes on which network the registry is.
struct RegistryResolver {
    host: String,
    network: Arc<RegistryNetwork>,
}

impl Resolve for RegistryResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let network = (name.as_str() == self.host).then(|| self.network.clone());
        Box::pin(async move {
            let found: Vec<_> = lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(network) = network {
                for address in &found {
                    network.observe(address.ip());
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Looks names up, and keeps only those addresses that the registry may send its clients to.
struct FilteringResolver {
    network: Arc<RegistryNetwork>,
    /// The user's choice, not the registry's.
    proxies: HashSet<String>,
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (network, is_proxy) = (self.network.clone(), self.proxies.contains(name.as_str()));
        Box::pin(async move {
            let (mut allowed, mut refused) = (Vec::new(), None);
            for address in lookup_host((name.as_str(), 0)).await? {
                match network.check(address.ip()) {
                    Err(reason) if !is_proxy => refused = Some(UnsafeHost(reason)),
                    _ => allowed.push(address),
                }
            }
            match refused {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// The names of the proxies that the environment asks for.
fn proxies() -> HashSet<String> {
    let variables = PROXY_VARIABLES.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]);
    let host = |proxy: String| {
        let url = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
        Some(Url::parse(&url).ok()?.host_str()?.to_owned())
    };
    variables.filter_map(|name| std::env::var(name).ok()).filter_map(host).collect()
}

/// The address that a URL names itself; the `url` crate has read decimal, octal and shortened forms.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| classify_v6(address), classify_v4),
    }
}

/// By IANA's special-purpose registries and the clouds' manuals.
fn classify_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        [169, 254, ..] => AddressClass::Forbidden(UnsafeDestination::LinkLocal),
        // Azure's platform, Alibaba's metadata, Oracle's old one.
        [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => AddressClass::Forbidden(UnsafeDestination::Metadata),
        [224..=255, ..] => AddressClass::Forbidden(UnsafeDestination::NoHost),
        // Systems take 0.0.0.0 for this machine.
        [0 | 10 | 127, ..]
        | [192, 168, ..]
        | [172, 16..=31, ..]
        // Carriers' own, which VPNs use, and benchmarks'.
        | [100, 64..=127, ..]
        | [198, 18 | 19, ..] => AddressClass::Private,
        _ => AddressClass::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    // Of Amazon, Google and Scaleway.
    const METADATA: [Ipv6Addr; 3] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    ];
    if METADATA.contains(&address) {
        return AddressClass::Forbidden(UnsafeDestination::Metadata);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => AddressClass::Private,
        [first, ..] if first & 0xffc0 == 0xfe80 => AddressClass::Forbidden(UnsafeDestination::LinkLocal),
        [first, ..] if first & 0xff00 == 0xff00 => AddressClass::Forbidden(UnsafeDestination::NoHost),
        // Unique local, and site-local as it was before.
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => AddressClass::Private,
        _ => AddressClass::Public,
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped (RFC 4291 §2.5.5), translated (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;
    use crate::transport::tls;

    fn destinations(registry: &str) -> Destinations {
        let tls = tls::config(&[], false).unwrap();
        let builder = || reqwest::Client::builder().tls_backend_preconfigured(tls.clone());
        Destinations::new(&registry.parse().unwrap(), builder).unwrap()
    }

    fn refusal(destinations: &Destinations, url: &str) -> Option<UnsafeDestination> {
        match destinations.to(&url.parse().unwrap()) {
            Err(Error::Destination { reason, .. }) => Some(reason),
            Err(error) => panic!("{error}"),
            Ok(_) => None,
        }
    }

    #[test]
    fn metadata_services_are_forbidden_however_their_address_is_written() {
        for registry in ["http://127.0.0.1:5000", "http://10.0.0.1", "https://93.184.215.14"] {
            let destinations = destinations(registry);
            for url in [
                "http://169.254.169.254/latest/api/token",
                "http://2852039166/",
                "http://0xa9fea9fe/",
                "http://0251.0376.0251.0376/",
                "http://169.254.43518/",
                "http://[::ffff:169.254.169.254]/",
                "http://[::169.254.169.254]/",
                "http://[64:ff9b::a9fe:a9fe]/",
                "http://[2002:a9fe:a9fe::1]/",
                "http://[fe80::1]/",
                "http://[fd00:ec2::254]/",
                "http://168.63.129.16/",
                "http://100.100.100.200/",
                "http://255.255.255.255/",
                "http://[ff02::1]/",
            ] {
                assert!(refusal(&destinations, url).is_some(), "{registry} sends its clients to {url}");
            }
        }
    }

    #[test]
    fn private_addresses_are_for_registries_on_private_addresses() {
        let private = [
            "http://127.0.0.1:9000",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://100.64.0.1",
            "http://0.0.0.0",
            "http://[::1]",
            "http://[::]",
            "http://[fd12::1]",
            "http://[::ffff:10.0.0.1]",
        ];
        for url in private {
            assert_eq!(refusal(&destinations("http://127.0.0.1:5000"), url), None, "{url}");
            assert_eq!(
                refusal(&destinations("http://93.184.215.14"), url),
                Some(UnsafeDestination::Private),
                "{url}"
            );
            // Nobody has seen yet where a name leads.
            assert_eq!(
                refusal(&destinations("http://registry.example"), url),
                Some(UnsafeDestination::Private),
                "{url}"
            );
        }
        for public in
            ["https://172.32.0.1", "https://100.128.0.1", "https://[2606:4700::1]", "https://s3.example"]
        {
            assert_eq!(refusal(&destinations("http://93.184.215.14"), public), None, "{public}");
        }
        // Its own address is the user's choice.
        assert_eq!(refusal(&destinations("http://169.254.1.1:5000"), "http://169.254.1.1:5000/v2/"), None);
        let named = "http://aws:secret@127.0.0.1:5000/";
        assert_eq!(
            refusal(&destinations("http://127.0.0.1:5000"), named),
            Some(UnsafeDestination::HasCredential)
        );
    }

    #[tokio::test]
    async fn a_name_is_judged_by_the_addresses_that_it_stands_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Url =
            format!("http://localhost:{}/", listener.local_addr().unwrap().port()).parse().unwrap();
        let destinations = destinations("http://93.184.215.14");
        let error = destinations.to(&url).unwrap().get(url.clone()).send().await.unwrap_err();
        let error = Error::transport(&peer(&url), error);
        assert!(matches!(error, Error::Destination { reason: UnsafeDestination::Private, .. }), "{error}");
        assert!(!super::super::retry::may_pass(&error), "it would only be asked for again");
    }

    #[test]
    fn a_registry_that_was_seen_in_public_does_not_become_private() {
        let network = RegistryNetwork::of(&"http://registry.example".parse().unwrap());
        assert!(!network.is_private());
        network.observe(IpAddr::from([10, 0, 0, 1]));
        assert!(network.is_private());
        network.observe(IpAddr::from([93, 184, 215, 14]));
        network.observe(IpAddr::from([10, 0, 0, 1]));
        assert!(!network.is_private());
    }
}
