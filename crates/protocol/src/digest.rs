//! Content digests, `<algorithm>:<lower-case hexadecimal digits>` (OCI image-spec, descriptor.md, "Digests").

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What computes a digest: the registered algorithms (OCI image-spec, descriptor.md, "Registered algorithms").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    #[default]
    Sha256,
    Sha512,
}

impl Algorithm {
    /// As it stands before the colon and in storage paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            // Echoed to the client, so bounded.
            other => Err(DigestError::UnsupportedAlgorithm(other.chars().take(32).collect())),
        }
    }
}

/// The hash of some content: what names a blob or a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// Content that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    pub expected: Digest,
    pub found: Digest,
}

/// Why a text is not a digest this server takes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    #[error(
        "a digest is written sha256:<64 lower-case hexadecimal digits> or sha512:<128 lower-case hexadecimal digits>"
    )]
    Malformed,
    #[error("digest algorithm {0:?} is not supported; use sha256 or sha512")]
    UnsupportedAlgorithm(String),
}

impl Digest {
    /// The SHA-256 of no bytes at all.
    pub const EMPTY: Self = Self::Sha256([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// The SHA-512 of the same.
    pub const EMPTY_SHA512: Self = Self::Sha512([
        0xcf, 0x83, 0xe1, 0x35, 0x7e, 0xef, 0xb8, 0xbd, 0xf1, 0x54, 0x28, 0x50, 0xd6, 0x6d, 0x80, 0x07, 0xd6,
        0x20, 0xe4, 0x05, 0x0b, 0x57, 0x15, 0xdc, 0x83, 0xf4, 0xa9, 0x21, 0xd3, 0x6c, 0xe9, 0xce, 0x47, 0xd0,
        0xd1, 0x3c, 0x5d, 0x85, 0xf2, 0xb0, 0xff, 0x83, 0x18, 0xd2, 0x87, 0x7e, 0xec, 0x2f, 0x63, 0xb9, 0x31,
        0xbd, 0x47, 0x41, 0x7a, 0x81, 0xa5, 0x38, 0x32, 0x7a, 0xf9, 0x27, 0xda, 0x3e,
    ]);

    /// Whether this is what no bytes at all hash to, by its algorithm.
    #[must_use]
    pub fn is_of_nothing(&self) -> bool {
        [Self::EMPTY, Self::EMPTY_SHA512].contains(self)
    }

    #[must_use]
    pub const fn from_sha256(bytes: [u8; 32]) -> Self {
        Self::Sha256(bytes)
    }

    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The hash alone; its length tells the algorithm.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// From a hash alone; none where no algorithm of ours has the length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self::Sha256).or_else(|_| bytes.try_into().map(Self::Sha512)).ok()
    }

    /// The part after the colon.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.as_bytes())
    }

    /// As S3 writes a SHA-256 in `x-amz-checksum-sha256`; S3 knows no other algorithm of ours.
    #[must_use]
    pub fn to_base64(&self) -> Option<String> {
        match self {
            Self::Sha256(bytes) => Some(STANDARD.encode(bytes)),
            Self::Sha512(_) => None,
        }
    }

    /// From S3's `x-amz-checksum-sha256`; a composite (`…-N`) is no digest of the content and gives `None`.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self::Sha256)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
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
        fn decoded<const N: usize>(encoded: &str) -> Result<[u8; N], DigestError> {
            let mut bytes = [0; N];
            hex::decode_to_slice(encoded, &mut bytes).map_err(|_| DigestError::Malformed)?;
            Ok(bytes)
        }
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        // image-spec: algorithm ::= component (separator component)*, component ::= [a-z0-9]+
        if algorithm.is_empty() || !algorithm.bytes().all(|c| lower(c) || b"+._-".contains(&c)) {
            return Err(DigestError::Malformed);
        }
        let algorithm: Algorithm = algorithm.parse()?;
        if !encoded.bytes().all(lower) {
            return Err(DigestError::Malformed);
        }
        Ok(match algorithm {
            Algorithm::Sha256 => Self::Sha256(decoded(encoded)?),
            Algorithm::Sha512 => Self::Sha512(decoded(encoded)?),
        })
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
    use crate::hash::Hasher;

    proptest! {
        #[test]
        fn a_digest_survives_text_and_base64(bytes: [u8; 32]) {
            let digest = Digest::from_sha256(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(Digest::from_bytes(digest.as_bytes()), Some(digest));
            prop_assert_eq!(digest.to_base64().as_deref().and_then(Digest::from_base64), Some(digest));
        }

        #[test]
        fn a_sha512_survives_text_and_is_no_checksum_of_s3(low: [u8; 32], high: [u8; 32]) {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&low);
            bytes[32..].copy_from_slice(&high);
            let digest = Digest::Sha512(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(Digest::from_bytes(digest.as_bytes()), Some(digest));
            prop_assert_eq!(digest.to_base64(), None);
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
        assert_eq!(format!("sha512:{hex}").parse::<Digest>(), Err(DigestError::Malformed));
        assert_eq!(format!("sha256:{hex}{hex}").parse::<Digest>(), Err(DigestError::Malformed));
        assert!(matches!(format!("md5:{hex}").parse::<Digest>(), Err(DigestError::UnsupportedAlgorithm(_))));
    }

    #[test]
    fn each_algorithm_has_its_own_digest_of_nothing() {
        for (algorithm, empty) in
            [(Algorithm::Sha256, Digest::EMPTY), (Algorithm::Sha512, Digest::EMPTY_SHA512)]
        {
            assert_eq!(Hasher::digest(algorithm, b""), empty);
            assert!(empty.is_of_nothing() && !Hasher::digest(algorithm, b"\0").is_of_nothing());
        }
    }

    #[test]
    fn an_algorithm_is_written_as_it_stands_before_the_colon() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for bad in ["", "SHA512", "sha-512", "sha512:", "sha384", " sha512"] {
            let refused = bad.parse::<Algorithm>();
            assert_eq!(refused, Err(DigestError::UnsupportedAlgorithm(bad.to_owned())));
        }
        let long = "x".repeat(10_000).parse::<Algorithm>().map_err(|error| error.to_string().len());
        assert!(long.is_err_and(|length| length < 200), "what is echoed is bounded");
    }

    #[test]
    fn a_composite_checksum_is_no_digest() {
        assert_eq!(
            Digest::from_base64(&format!("{}-2", Digest::EMPTY.to_base64().unwrap_or_default())),
            None
        );
    }
}
