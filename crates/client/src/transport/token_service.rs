//! Which token services get a registry's passwords.
//!
//! A registry names its token service in an answer to anybody, and names another one whenever it likes; what keeps
//! passwords, Docker's file and helpers, has no place to note where they once went. So a password goes to the
//! registry's own host, to a host beside, above or below it in the same domain (`registry-1.docker.io` and
//! `auth.docker.io`, `registry.gitlab.com` and `gitlab.com`), and to what its owner has named.

use url::{Host, Url};

use super::address::is_loopback;

/// Longest label before a country's that is taken for a registry's suffix and nobody's own name: `co.uk`, `com.au`.
const LONGEST_SUFFIX: usize = 3;

/// Whether a password for `registry` may go to `realm`. Of those that were `named` scheme, host and port count.
pub(crate) fn is_trusted(registry: &Url, realm: &Url, named: &[Url]) -> bool {
    if named.iter().any(|named| named.origin() == realm.origin()) {
        return true;
    }
    match (registry.host(), realm.host()) {
        (Some(Host::Domain(registry)), Some(Host::Domain(realm))) if is_near(registry, realm) => true,
        // Any port: it is the same machine's owner who has them.
        (Some(own), Some(other)) => own == other || (is_loopback(registry) && is_loopback(realm)),
        _ => false,
    }
}

fn is_near(registry: &str, realm: &str) -> bool {
    let is_below =
        |domain: &str| realm == domain || realm.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let parent = registry.split_once('.').map(|(_, parent)| parent);
    is_below(registry) || parent.is_some_and(|parent| is_owned(parent) && is_below(parent))
}

/// Whether a domain is one owner's, as far as its form tells.
fn is_owned(domain: &str) -> bool {
    match domain.rsplit_once('.') {
        None => false,
        Some((name, top)) => name.contains('.') || top.len() > 2 || name.len() > LONGEST_SUFFIX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(registry: &str, realm: &str, named: &[&str]) -> bool {
        let url = |text: &str| text.parse::<Url>().unwrap_or_else(|error| panic!("{text}: {error}"));
        let named: Vec<_> = named.iter().map(|text| url(text)).collect();
        is_trusted(&url(registry), &url(realm), &named)
    }

    #[test]
    fn the_token_services_of_well_known_registries_are_theirs() {
        for (registry, realm) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token"),
            ("https://ghcr.io", "https://ghcr.io/token"),
            ("https://quay.io", "https://quay.io/v2/auth"),
            ("https://europe-docker.pkg.dev", "https://europe-docker.pkg.dev/v2/token"),
            ("https://public.ecr.aws", "https://public.ecr.aws/token/"),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("https://registry.example.co.uk", "https://git.example.co.uk/jwt/auth"),
            ("https://registry.suse.com", "https://scc.suse.com/api/registry/authorize"),
            ("https://registry.cn-x.aliyuncs.com", "https://dockerauth.cn-x.aliyuncs.com/auth"),
            ("https://harbor.example:8443", "https://harbor.example:8443/service/token"),
            ("https://registry.example.com:5000", "https://registry.example.com:5001/auth"),
            ("https://example.com", "https://auth.example.com/token"),
            ("http://10.0.0.5:5000", "http://10.0.0.5:5001/token"),
            ("http://localhost:5000", "http://127.0.0.1:5001/token"),
        ] {
            assert!(trusts(registry, realm, &[]), "{registry} {realm}");
        }
    }

    #[test]
    fn any_other_is_only_where_it_was_named() {
        for (registry, realm) in [
            ("https://registry.example.com", "https://evil.example/token"),
            ("https://registry.example.com", "https://notexample.com/token"),
            ("https://example.com", "https://evil.com/token"),
            ("https://example.co.uk", "https://evil.co.uk/token"),
            ("https://docker.io", "https://evil.io/token"),
            ("http://10.0.0.5:5000", "http://10.0.0.6:5000/token"),
            ("http://registry:5000", "http://auth:5000/token"),
            ("https://registry.example.com", "https://127.0.0.1/token"),
        ] {
            assert!(!trusts(registry, realm, &[]), "{registry} {realm}");
            assert!(!trusts(registry, realm, &["https://other.example", "http://evil.example:1"]), "{realm}");
            assert!(trusts(registry, realm, &[realm]), "{registry} {realm}");
        }
    }
}
