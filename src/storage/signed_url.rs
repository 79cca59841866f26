//! URLs that Overside signs itself, where the store cannot: the filesystem backend's presigned PUTs.
//!
//! HMAC-SHA256 over everything a grant allows: method, path (which names the upload, and the part),
//! expiry, length and checksum. Nothing of it can be changed, left out or moved to another upload.

use std::fmt;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

use crate::domain::digest::Digest;
use crate::domain::part::PartNumber;
use crate::domain::upload::UploadId;

/// Below this path the signed requests arrive. No repository name begins with it: they live under `/v2/`.
pub const SIGNED_PATH: &str = "/signed";

/// Length of the signing key in bytes: the block that HMAC-SHA256's security rests on (RFC 2104 §3).
pub const SIGNING_KEY_LENGTH: usize = 64;

/// What a signed URL allows: one PUT to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub upload: UploadId,
    /// The part; none for the whole blob in one PUT.
    pub part: Option<PartNumber>,
    pub terms: GrantTerms,
}

/// The signed query parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTerms {
    /// Seconds since the epoch.
    pub expires: i64,
    /// The body's length in bytes.
    pub length: Option<u64>,
    /// The body's digest; the client repeats it as `x-amz-checksum-sha256`.
    pub digest: Option<Digest>,
}

/// Why a signed URL does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    #[error("the signature does not match the URL; ask for a new URL and use it unchanged")]
    Mismatch,
    #[error("the URL has expired; ask for a new one")]
    Expired,
}

/// Signs and checks grants.
#[derive(Clone)]
pub struct UrlSigner {
    key: [u8; SIGNING_KEY_LENGTH],
    /// The address clients reach this server at.
    base: Url,
}

impl fmt::Debug for UrlSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlSigner").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Grant {
    fn path(&self) -> String {
        match self.part {
            Some(part) => format!("{SIGNED_PATH}/{}/{part}", self.upload),
            None => format!("{SIGNED_PATH}/{}", self.upload),
        }
    }
}

impl UrlSigner {
    #[must_use]
    pub const fn new(key: [u8; SIGNING_KEY_LENGTH], base: Url) -> Self {
        Self { key, base }
    }

    /// The URL that carries out `grant`.
    #[must_use]
    pub fn sign(&self, grant: &Grant) -> String {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), grant.path()));
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("expires", &grant.terms.expires.to_string());
            if let Some(length) = grant.terms.length {
                query.append_pair("length", &length.to_string());
            }
            if let Some(digest) = grant.terms.digest {
                query.append_pair("digest", &digest.to_string());
            }
            query.append_pair("signature", &hex::encode(self.mac(grant).finalize().into_bytes()));
        }
        url.into()
    }

    /// Checks a grant as it came in against its signature, in constant time, and then its age.
    pub fn verify(&self, grant: &Grant, signature: &str, now: DateTime<Utc>) -> Result<(), SignatureError> {
        let signature = hex::decode(signature).map_err(|_| SignatureError::Mismatch)?;
        self.mac(grant).verify_slice(&signature).map_err(|_| SignatureError::Mismatch)?;
        if now.timestamp() < grant.terms.expires { Ok(()) } else { Err(SignatureError::Expired) }
    }

    fn mac(&self, grant: &Grant) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.key.into());
        let length = grant.terms.length.map_or_else(String::new, |length| length.to_string());
        let digest = grant.terms.digest.map_or_else(String::new, |digest| digest.to_string());
        // No field can contain the separator, so no two grants give one text.
        mac.update(format!("PUT\n{}\n{}\n{length}\n{digest}", grant.path(), grant.terms.expires).as_bytes());
        mac
    }
}
