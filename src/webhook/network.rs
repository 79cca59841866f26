//! Which addresses are of the public Internet: what a project's managers may have this server connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is of none of the networks that the IANA's registries of special-purpose addresses keep for other
/// things (RFC 6890): this machine, its links, private networks, translations into them. Nor a cloud's host.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(|| is_public_v6(address), is_public_v4),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_reserved = match address.octets() {
        // "This network", multicast and what is reserved.
        [0 | 224..=255, ..]
        // Shared by a provider's customers (RFC 6598).
        | [100, 64..=127, ..]
        // Protocol assignments, and 6to4's relays.
        | [192, 0, 0, _] | [192, 88, 99, _]
        // Benchmarks (RFC 2544).
        | [198, 18..=19, ..]
        // The host of a virtual machine on Azure: public by the registry, and there alone.
        | [168, 63, 129, 16] => true,
        _ => false,
    };
    !(is_reserved
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation())
}

/// Of global unicast (`2000::/3`) alone, and there not what is for protocols or has an IPv4 address within it: Teredo and
/// others (`2001::/23`), documentation (`2001:db8::/32`, `3fff::/20`), 6to4 (`2002::/16`).
const fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_refused_however_they_are_written() {
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "::127.0.0.1",
        ];
        for address in private {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        for address in
            ["8.8.8.8", "172.32.0.1", "100.128.0.1", "::ffff:8.8.8.8", "2606:4700::1111", "2a00::1"]
        {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }
}
