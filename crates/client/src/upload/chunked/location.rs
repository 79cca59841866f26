//! The URL that a registry's `Location` means: the next request of the upload goes there.

use reqwest::header::LOCATION;
use url::Url;

use crate::transport::answer::Answer;
use crate::{Registry, Result};

/// The place that an answer to a request `at` some URL names.
pub(super) fn named_by(registry: &Registry, at: &Url, answer: &Answer) -> Result<Url> {
    let location = answer.header(LOCATION.as_str());
    let location = location.and_then(|location| resolve(&registry.base, at, location));
    location.ok_or_else(|| answer.unexpected("no Location that can be gone to"))
}

/// Absolute, or relative to what was asked `at` (RFC 9110 §10.2.2), as registries have it. One behind a proxy may not
/// know that it is spoken to by HTTPS; bytes that were to be encrypted go nowhere else unencrypted.
pub(super) fn resolve(base: &Url, at: &Url, location: &str) -> Option<Url> {
    let mut url = at.join(location).ok()?;
    match (base.scheme(), url.scheme()) {
        ("https", "http") if url.host() == base.host() => {
            url.set_scheme("https").ok()?;
            url.set_port(base.port()).ok()?;
            Some(url)
        }
        ("https", "http") => None,
        (_, "http" | "https") => Some(url),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    fn resolved_at(base: &str, at: &str, location: &str) -> Option<String> {
        let [base, at] = [base, at].map(|url| url.parse().unwrap_or_else(|error| panic!("{error}")));
        resolve(&base, &at, location).map(|url| url.to_string())
    }

    #[test]
    fn a_location_is_never_less_safe_than_the_registry() {
        let resolved = |base: &str, location: &str| resolved_at(base, base, location);
        let some = |url: &str| Some(url.to_owned());
        assert_eq!(resolved("https://r.example/", "/v2/x?a=b"), some("https://r.example/v2/x?a=b"));
        assert_eq!(
            resolved("https://r.example:8443/", "http://r.example/v2/x"),
            some("https://r.example:8443/v2/x")
        );
        assert_eq!(resolved("https://r.example/", "http://other.example/v2/x"), None);
        assert_eq!(
            resolved("https://r.example/", "https://other.example/x"),
            some("https://other.example/x")
        );
        assert_eq!(resolved("http://127.0.0.1:1/", "http://127.0.0.1:1/x"), some("http://127.0.0.1:1/x"));
        assert_eq!(resolved("http://127.0.0.1:1/", "file:///etc/passwd"), None);
    }

    #[test]
    fn a_location_is_relative_to_what_was_asked() {
        let base = "https://r.example/";
        let uploads = "https://r.example/v2/team/app/blobs/uploads/";
        for (at, location, expected) in [
            (uploads, "7", "https://r.example/v2/team/app/blobs/uploads/7"),
            (uploads, "../uploads/7?state=a", "https://r.example/v2/team/app/blobs/uploads/7?state=a"),
            ("https://up.example/u/7?state=a", "?state=b", "https://up.example/u/7?state=b"),
            ("https://up.example/u/7", "/u/8", "https://up.example/u/8"),
        ] {
            assert_eq!(resolved_at(base, at, location).as_deref(), Some(expected), "{location} at {at}");
        }
    }
}
