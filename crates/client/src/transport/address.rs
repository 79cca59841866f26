//! The address of a registry: as people write it, the URL that it means, and the name under which credentials are kept.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::credentials::{HUB, canonical};
use crate::error::AddressError;

/// Docker Hub answers at this URL, and not at the host in its name.
const HUB_URL: &str = "https://registry-1.docker.io/";

/// A registry's address: `HOST`, `HOST:PORT`, or a URL. Without a scheme it means HTTPS, and plain HTTP on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAddress {
    url: Url,
    name: String,
}

impl RegistryAddress {
    /// The URL that requests begin with.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Host, and port if it is not the scheme's own: the name under which Docker keeps credentials.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for RegistryAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains('@') {
            return Err(AddressError::HasCredential);
        }
        let url = parse(text).ok_or(AddressError::Malformed)?;
        let is_plain = url.query().is_none() && url.fragment().is_none();
        if !is_plain || !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Malformed);
        }
        let name = authority(&url).ok_or(AddressError::Malformed)?;
        if canonical(&name) == HUB {
            let url = HUB_URL.parse().map_err(|_| AddressError::Malformed)?;
            return Ok(Self { url, name: HUB.to_owned() });
        }
        Ok(Self { url, name })
    }
}

/// `host`, or `host:port` where the port is not the scheme's own: the name under which Docker keeps credentials. None
/// for a URL without a host.
#[must_use]
pub fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn parse(text: &str) -> Option<Url> {
    if text.contains("://") {
        return text.parse().ok();
    }
    // With a slash it is a repository or an image.
    if text.contains(['/', '\\']) {
        return None;
    }
    let with = |scheme: &str| Url::parse(&format!("{scheme}://{text}")).ok();
    let https = with("https")?;
    if is_loopback(&https) { with("http") } else { Some(https) }
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
pub(crate) fn peer(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<RegistryAddress>();
        }
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, url, name) in [
            ("ghcr.io", "https://ghcr.io/", "ghcr.io"),
            ("GHCR.io:443", "https://ghcr.io/", "ghcr.io"),
            ("quay.example:5000", "https://quay.example:5000/", "quay.example:5000"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/", "127.0.0.1:5000"),
            ("localhost", "http://localhost/", "localhost"),
            ("localhost:443", "http://localhost:443/", "localhost:443"),
            ("[::1]:5000", "http://[::1]:5000/", "[::1]:5000"),
            ("http://quay.example", "http://quay.example/", "quay.example"),
            ("https://localhost:5000/", "https://localhost:5000/", "localhost:5000"),
            ("https://quay.example/over", "https://quay.example/over", "quay.example"),
            ("docker.io", "https://registry-1.docker.io/", "docker.io"),
            ("https://index.docker.io/v1/", "https://registry-1.docker.io/", "docker.io"),
        ] {
            let address: RegistryAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.url().as_str(), address.name()), (url, name), "{text}");
        }
        for text in
            ["", ":5000", "ghcr.io/team/app", "ftp://ghcr.io", "a b", "host:port", "https://", "ghcr.io?x"]
        {
            assert_eq!(text.parse::<RegistryAddress>(), Err(AddressError::Malformed), "{text}");
        }
        for text in ["alice:secret@ghcr.io", "https://alice@ghcr.io"] {
            assert_eq!(text.parse::<RegistryAddress>(), Err(AddressError::HasCredential), "{text}");
        }
    }
}
