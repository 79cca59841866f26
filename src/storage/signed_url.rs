//! URLs that Overside signs itself: the presigned PUTs of the filesystem backend, which has no others, and of a bucket
//! whose own URLs would permit more than they should.
//!
//! HMAC-SHA256 over everything a grant allows: method, path (which names the upload, and the part),
//! expiry, length and checksum. Nothing of it can be changed, left out or moved to another upload.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

use super::{Lengths, PresignedRequest, PutTerms};
use crate::domain::digest::Digest;
use crate::domain::part::{Part, PartNumber};
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
    /// The body's digest; the client repeats a SHA-256 as `x-amz-checksum-sha256`.
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
    /// Keyed: the key's two pads are hashed once, and a clone starts from there.
    mac: Hmac<Sha256>,
    /// The address clients reach this server at, up to where a grant's path begins; empty where each is told the one that
    /// it found it at.
    base: Arc<str>,
}

impl fmt::Debug for UrlSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlSigner").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Grant {
    /// What a URL claims to grant, by its path and query, and the signature that is to prove it. A claim that
    /// cannot be read was never signed. Parameters that were not signed are left to whoever sent them.
    #[must_use]
    pub fn read(path: &str, query: &str) -> Option<(Self, String)> {
        let place = path.strip_prefix(SIGNED_PATH)?.strip_prefix('/')?;
        let (upload, part) =
            place.split_once('/').map_or((place, None), |(upload, part)| (upload, Some(part)));
        let (mut expires, mut length, mut digest, mut signature) = (None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let once = match &*name {
                "expires" => expires.replace(number(&value)?).is_none(),
                "length" => length.replace(number(&value)?).is_none(),
                "digest" => digest.replace(value.parse().ok()?).is_none(),
                "signature" => signature.replace(value.into_owned()).is_none(),
                _ => true,
            };
            if !once {
                return None;
            }
        }
        let grant = Self {
            upload: upload.parse().ok()?,
            part: part.map(str::parse).transpose().ok()?,
            terms: GrantTerms { expires: i64::try_from(expires?).ok()?, length, digest },
        };
        Some((grant, signature?))
    }
}

/// When a URL that is signed now ends, in whole seconds, as the URL says it.
#[must_use]
pub fn expiry(now: DateTime<Utc>, lifetime: Duration) -> DateTime<Utc> {
    let now = now.trunc_subsecs(0);
    let lifetime = TimeDelta::from_std(lifetime).unwrap_or_default();
    now.checked_add_signed(lifetime).unwrap_or(now).trunc_subsecs(0)
}

/// Digits only: `u64::from_str` would take a leading `+`.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for Grant {
    /// What is signed. No field can contain the separator, so no two grants give one text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PUT\n{SIGNED_PATH}/{}", self.upload)?;
        if let Some(part) = self.part {
            write!(f, "/{part}")?;
        }
        write!(f, "\n{}\n", self.terms.expires)?;
        if let Some(length) = self.terms.length {
            write!(f, "{length}")?;
        }
        f.write_str("\n")?;
        self.terms.digest.map_or(Ok(()), |digest| write!(f, "{digest}"))
    }
}

impl UrlSigner {
    #[must_use]
    pub fn new(key: [u8; SIGNING_KEY_LENGTH], base: Option<Url>) -> Self {
        let base = base.map_or_else(Arc::default, |mut base| {
            base.set_query(None);
            base.set_fragment(None);
            base.as_str().trim_end_matches('/').into()
        });
        Self { mac: <Hmac<Sha256> as KeyInit>::new(&key.into()), base }
    }

    /// The URL that carries out `grant`.
    #[must_use]
    pub fn sign(&self, grant: &Grant) -> String {
        let Grant { upload, part, terms } = grant;
        let mut url = format!("{}{SIGNED_PATH}/{upload}", self.base);
        // Writing to a string cannot fail.
        let _ = part.map(|part| write!(url, "/{part}"));
        let _ = write!(url, "?expires={}", terms.expires);
        let _ = terms.length.map(|length| write!(url, "&length={length}"));
        // The algorithm's colon, as forms encode it.
        let _ = terms.digest.map(|digest| write!(url, "&digest={}%3A{}", digest.algorithm(), digest.hex()));
        url.push_str("&signature=");
        url.push_str(&hex::encode(self.mac_of(grant).finalize().into_bytes()));
        url
    }

    /// Signs the PUT of a whole blob, which must carry what a store's own presigned PUT would have it carry.
    #[must_use]
    pub fn put(&self, upload: UploadId, terms: PutTerms, expires_at: DateTime<Utc>) -> PresignedRequest {
        let granted =
            GrantTerms { expires: expires_at.timestamp(), length: terms.size, digest: terms.digest };
        let url = self.sign(&Grant { upload, part: None, terms: granted });
        PresignedRequest { url, headers: terms.headers(), expires_at }
    }

    /// Prepares to sign the parts of one upload.
    #[must_use]
    pub fn parts(&self, upload: UploadId, lengths: Lengths, expires_at: DateTime<Utc>) -> PartSigner {
        let expires = expires_at.timestamp();
        let mut mac = self.mac.clone();
        mac.update(format!("PUT\n{SIGNED_PATH}/{upload}/").as_bytes());
        PartSigner {
            mac,
            after_number: format!("\n{expires}\n"),
            url: format!("{}{SIGNED_PATH}/{upload}/", self.base),
            query: format!("?expires={expires}"),
            lengths,
            expires_at,
        }
    }

    /// Checks a grant as it came in against its signature, in constant time, and then its age.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Mismatch`]: not signed by this key, or another grant. [`SignatureError::Expired`]: its time is up.
    pub fn verify(&self, grant: &Grant, signature: &str, now: DateTime<Utc>) -> Result<(), SignatureError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(signature, &mut bytes).map_err(|_| SignatureError::Mismatch)?;
        self.mac_of(grant).verify(&bytes.into()).map_err(|_| SignatureError::Mismatch)?;
        if now.timestamp() < grant.terms.expires { Ok(()) } else { Err(SignatureError::Expired) }
    }

    /// What all URLs begin with, up to the path.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Keyed, with a grant taken in as its text.
    pub(super) fn mac_of(&self, grant: &impl fmt::Display) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(grant.to_string().as_bytes());
        mac
    }
}

/// Signs the parts of one upload. What their grants have in common is hashed, or laid ready, once.
pub struct PartSigner {
    /// Has taken in the grant up to the part's number.
    mac: Hmac<Sha256>,
    /// The grant between the part's number and its length.
    after_number: String,
    /// The URL up to the part's number.
    url: String,
    /// The URL between the part's number and its length, if that is signed.
    query: String,
    lengths: Lengths,
    expires_at: DateTime<Utc>,
}

impl PartSigner {
    #[must_use]
    pub const fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// Signs the PUT of one part, bound to its number, and to its length if that is signed.
    #[must_use]
    pub fn sign(&self, part: Part) -> PresignedRequest {
        let Self { url, query, after_number, expires_at, .. } = self;
        let length = (self.lengths == Lengths::Signed).then(|| part.size.to_string());
        let mut mac = self.mac.clone();
        let mut url = format!("{url}{}{query}", part.number);
        mac.update(part.number.to_string().as_bytes());
        mac.update(after_number.as_bytes());
        if let Some(length) = &length {
            url.push_str("&length=");
            url.push_str(length);
            mac.update(length.as_bytes());
        }
        url.push_str("&signature=");
        // A part has no digest.
        mac.update(b"\n");
        url.push_str(&hex::encode(mac.finalize().into_bytes()));
        PresignedRequest {
            url,
            headers: length.map(|length| ("content-length".to_owned(), length)).into_iter().collect(),
            expires_at: *expires_at,
        }
    }
}

impl fmt::Debug for PartSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartSigner").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::digest::Algorithm;
    use crate::domain::hash::Hasher;

    const START: i64 = 1_800_000_000;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    fn grants() -> impl Strategy<Value = Grant> {
        let part = option::of((1..=10_000_u64).prop_filter_map("a number", |n| PartNumber::new(n).ok()));
        let digest = prop_oneof![
            any::<[u8; 32]>().prop_map(Digest::from_sha256),
            any::<Vec<u8>>().prop_map(|bytes| Hasher::digest(Algorithm::Sha512, &bytes)),
        ];
        let digest = option::of(digest);
        let terms = (START..2 * START, option::of(any::<u64>()), digest);
        let terms = terms.prop_map(|(expires, length, digest)| GrantTerms { expires, length, digest });
        (any::<u128>(), part, terms).prop_map(|(upload, part, terms)| Grant {
            upload: UploadId::from_uuid(uuid::Uuid::from_u128(upload)),
            part,
            terms,
        })
    }

    proptest! {
        #[test]
        fn a_url_says_what_it_grants_and_grants_nothing_else(grant in grants(), other in grants(), key: [u8; 32]) {
            let key: [u8; SIGNING_KEY_LENGTH] = std::array::from_fn(|at| key[at % 32]);
            let base = Url::parse("https://example.org/below/")?;
            let signer = UrlSigner::new(key, Some(base.clone()));
            let url = Url::parse(&signer.sign(&grant))?;
            let path = url.path().strip_prefix("/below").unwrap_or_default();
            let query = url.query().unwrap_or_default();
            let (read, signature) = Grant::read(path, query).ok_or_else(|| TestCaseError::fail("unreadable"))?;
            prop_assert_eq!(&read, &grant);
            prop_assert_eq!(Grant::read(path, &format!("{query}&utm_source=mail")), Some((read, signature.clone())));
            for parameter in query.split('&') {
                prop_assert_eq!(Grant::read(path, &format!("{query}&{parameter}")), None);
            }

            let end = grant.terms.expires;
            prop_assert_eq!(signer.verify(&grant, &signature, at(end - 1)), Ok(()));
            prop_assert_eq!(signer.verify(&grant, &signature, at(end)), Err(SignatureError::Expired));
            prop_assert_eq!(signer.verify(&other, &signature, at(START)), Err(SignatureError::Mismatch));
            for forged in ["", "00", &signature[1..], &format!("{signature}00")] {
                prop_assert_eq!(signer.verify(&grant, forged, at(START)), Err(SignatureError::Mismatch));
            }
            let stranger = UrlSigner::new(key.map(|byte| !byte), Some(base));
            prop_assert_eq!(stranger.verify(&grant, &signature, at(START)), Err(SignatureError::Mismatch));
        }

        #[test]
        fn reading_any_claim_never_panics(path in ".{0,60}", query in ".{0,60}") {
            let _ = Grant::read(&format!("{SIGNED_PATH}/{path}"), &query);
        }

        #[test]
        fn a_prepared_part_is_signed_like_any_grant(grant in grants(), number in 1..=10_000_u64, size in option::of(any::<u64>())) {
            let signer = UrlSigner::new([7; SIGNING_KEY_LENGTH], Some(Url::parse("http://127.0.0.1:1")?));
            let number = PartNumber::new(number)?;
            let terms = GrantTerms { length: size, digest: None, ..grant.terms };
            let lengths = if size.is_some() { Lengths::Signed } else { Lengths::Open };
            let expires_at = at(terms.expires);
            let prepared = signer.parts(grant.upload, lengths, expires_at);
            let prepared = prepared.sign(Part { number, offset: 0, size: size.unwrap_or_default() });
            let headers = size.map(|size| ("content-length".to_owned(), size.to_string())).into_iter().collect();
            let url = signer.sign(&Grant { part: Some(number), terms, ..grant });
            prop_assert_eq!(prepared, PresignedRequest { url, headers, expires_at });
        }
    }
}
