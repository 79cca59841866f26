//! Media types, as manifests and artifacts carry them (RFC 6838 §4.2; OCI image-spec, descriptor.md).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name on either side of the slash (RFC 6838 §4.2).
const MAX_NAME_LENGTH: usize = 127;

/// `application/vnd.oci.image.manifest.v1+json`: two restricted names, no parameters, in lower case, as upper case
/// means the same (RFC 6838 §4.2). Goes into a header as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(String);

/// A text that is no media type.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a media type is written type/subtype with at most {MAX_NAME_LENGTH} of A-Z a-z 0-9 ! # $ & - ^ _ . + on each side"
)]
pub struct InvalidMediaType;

impl MediaType {
    /// Of bytes that are nothing in particular (RFC 2046 §4.5.1).
    #[must_use]
    pub fn octet_stream() -> Self {
        Self("application/octet-stream".to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a manifest can have this type: `application/vnd.…` (RFC 6838 §3.2), which those of OCI, of Docker and of
    /// others have, or plain JSON. None of these does a browser run, as it does `text/html`, `image/svg+xml` and
    /// whatever else is XML.
    #[must_use]
    pub fn is_of_manifests(&self) -> bool {
        let is_vendors = self.0.starts_with("application/vnd.") && !self.0.ends_with("+xml");
        is_vendors || self.0 == "application/json"
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MediaType {
    type Err = InvalidMediaType;

    fn from_str(text: &str) -> Result<Self, InvalidMediaType> {
        let is_valid =
            text.split_once('/').is_some_and(|(kind, name)| is_restricted(kind) && is_restricted(name));
        if is_valid { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidMediaType) }
    }
}

impl TryFrom<String> for MediaType {
    type Error = InvalidMediaType;

    fn try_from(text: String) -> Result<Self, InvalidMediaType> {
        text.parse()
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> Self {
        media_type.0
    }
}

/// `restricted-name` of RFC 6838 §4.2.
fn is_restricted(name: &str) -> bool {
    name.len() <= MAX_NAME_LENGTH
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_taken_survives_and_is_safe_in_a_header(text in ".{0,40}") {
            if let Ok(media_type) = text.parse::<MediaType>() {
                prop_assert_eq!(media_type.as_str(), text.to_ascii_lowercase());
                prop_assert!(text.bytes().all(|c| c.is_ascii_graphic() && c != b'"'));
            }
        }
    }

    #[test]
    fn a_manifest_has_no_type_that_a_browser_runs() {
        let is_of_manifests =
            |text: &str| text.parse().is_ok_and(|media_type: MediaType| media_type.is_of_manifests());
        for good in [
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "application/vnd.example.manifest",
            "application/json",
        ] {
            assert!(is_of_manifests(good), "{good}");
        }
        for bad in [
            "text/html",
            "Text/HTML",
            "text/plain",
            "image/svg+xml",
            "application/xhtml+xml",
            "application/vnd.mozilla.xul+xml",
            "application/vnd.mozilla.xul+XML",
            "application/javascript",
            "application/pdf",
            "application/octet-stream",
            "multipart/x-mixed-replace",
        ] {
            assert!(!is_of_manifests(bad), "{bad}");
        }
    }

    #[test]
    fn the_types_of_the_field_are_taken_and_other_texts_are_not() {
        for good in
            ["application/vnd.oci.image.index.v1+json", "a/b", "example/Sbom.v1", "application/vnd.x-y_z"]
        {
            assert!(good.parse::<MediaType>().is_ok(), "{good}");
        }
        let long = format!("application/{}", "a".repeat(128));
        for bad in ["", "/", "a/", "/a", "a", "a/b/c", "a/b; charset=utf-8", "a/b c", "a/\r\nx", "é/b", &long]
        {
            assert_eq!(bad.parse::<MediaType>(), Err(InvalidMediaType), "{bad:?}");
        }
    }
}
