//! Content digests, `sha256:<64 lower-case hexadecimal digits>` (OCI image-spec, descriptor.md).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The SHA-256 of some content: what names a blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest this server takes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    #[error("a digest is written sha256:<64 lower-case hexadecimal digits>")]
    Malformed,
    #[error("digest algorithm {0:?} is not supported; use sha256")]
    UnsupportedAlgorithm(String),
}

impl Digest {
    /// The digest of no bytes at all.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    #[must_use]
    pub const fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The algorithm's name, as it stands before the colon and in storage paths.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        "sha256"
    }

    /// The part after the colon.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// As S3 writes it in `x-amz-checksum-sha256`.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// From S3's `x-amz-checksum-sha256`; a composite (`…-N`) is no digest of the content and gives `None`.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        // image-spec: algorithm ::= component (separator component)*, component ::= [a-z0-9]+
        if algorithm.is_empty() || !algorithm.bytes().all(|c| lower(c) || b"+._-".contains(&c)) {
            return Err(DigestError::Malformed);
        }
        if algorithm != "sha256" {
            // Echoed to the client, so bounded.
            return Err(DigestError::UnsupportedAlgorithm(algorithm.chars().take(32).collect()));
        }
        let mut bytes = [0; 32];
        if !encoded.bytes().all(lower) || hex::decode_to_slice(encoded, &mut bytes).is_err() {
            return Err(DigestError::Malformed);
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_digest_survives_text_and_base64(bytes: [u8; 32]) {
            let digest = Digest::from_sha256(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(Digest::from_base64(&digest.to_base64()), Some(digest));
        }

        #[test]
        fn parsing_any_text_never_panics_and_accepts_only_its_own_form(text in ".{0,90}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let hex = "a".repeat(64);
        for bad in
            ["", "sha256", "sha256:", ":", &hex, &format!("sha256:{}", &hex[1..]), &format!("sha256:{hex}a")]
        {
            assert_eq!(bad.parse::<Digest>(), Err(DigestError::Malformed), "{bad}");
        }
        assert_eq!(format!("sha256:{}", hex.to_uppercase()).parse::<Digest>(), Err(DigestError::Malformed));
        assert_eq!("sha256:../../../etc/passwd".parse::<Digest>(), Err(DigestError::Malformed));
        assert!(matches!(format!("md5:{hex}").parse::<Digest>(), Err(DigestError::UnsupportedAlgorithm(_))));
    }

    #[test]
    fn a_composite_checksum_is_no_digest() {
        assert_eq!(Digest::from_base64(&format!("{}-2", Digest::EMPTY.to_base64())), None);
    }
}
