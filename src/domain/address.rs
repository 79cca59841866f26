//! Addresses that requests come from, as they are counted.

use std::net::{IpAddr, Ipv6Addr};

/// What an address is counted as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The /48 that an address of IPv6 is in: what one customer gets at most (RFC 6177 §2).
    pub site: Option<String>,
    /// An address of IPv4, or the /64 of one of IPv6: whoever has one of its addresses has 2^64 (RFC 4291 §2.5.4).
    pub network: String,
}

/// The network that a request comes from; those whose address is not known are all one.
#[must_use]
pub fn network(address: Option<IpAddr>) -> Network {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => Network {
            site: Some(format!("{}/48", prefix(address, 3))),
            network: format!("{}/64", prefix(address, 4)),
        },
        Some(IpAddr::V4(address)) => Network { site: None, network: address.to_string() },
        None => Network { site: None, network: "unknown".to_owned() },
    }
}

/// The first so many groups of 16 bits.
fn prefix(address: Ipv6Addr, groups: usize) -> Ipv6Addr {
    let mut segments = address.segments();
    segments[groups..].fill(0);
    segments.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_is_its_network_and_one_of_ipv4_is_itself() {
        let network = |text: &str| network(text.parse().ok());
        let there = network("2001:db8:a:b:c:d:e:f");
        assert_eq!(
            (there.site.as_deref(), there.network.as_str()),
            (Some("2001:db8:a::/48"), "2001:db8:a:b::/64")
        );
        assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
        assert_eq!(network("192.0.2.7").network, "192.0.2.7");
        assert_eq!(network("").network, "unknown");
    }
}
