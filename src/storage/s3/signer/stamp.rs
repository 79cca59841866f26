//! Who signs, when, and for how long.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::credentials::Held;
use super::{MAX_URL_LIFETIME, QUERY, encode};
use crate::storage::Result;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What every request that is signed at one moment has in common.
pub(super) struct Stamp {
    /// The parameters up to the lifetime: they come first in what is signed, and follow the operation's own in
    /// the URL.
    parameters: String,
    /// The session token's parameter, with its ampersand; empty where the credentials have none.
    token: String,
    /// Has taken in the string to sign up to the hash of the canonical request. The key's two pads were hashed
    /// when the key was derived; a clone starts from there.
    mac: Hmac<Sha256>,
    expires_at: DateTime<Utc>,
}

impl Stamp {
    /// A URL's life ends with that of the credentials: a store refuses it from then on whatever it says.
    pub fn new(held: &Held, scope: &str, now: DateTime<Utc>, lifetime: Duration) -> Result<Self> {
        let lifetime = held.lifetime(now, lifetime.min(MAX_URL_LIFETIME))?.as_secs();
        let (date, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
        let credential = encode(&format!("{}/{date}/{scope}", held.access_key_id()), QUERY);
        let parameters = format!(
            "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={credential}&X-Amz-Date={time}&X-Amz-Expires={lifetime}"
        );
        let token = held.session_token().map(|token| encode(token, QUERY));
        let mut mac = held.key(&date, scope)?;
        mac.update(format!("{ALGORITHM}\n{time}\n{date}/{scope}\n").as_bytes());
        Ok(Self {
            parameters,
            token: token.map_or_else(String::new, |token| format!("&X-Amz-Security-Token={token}")),
            mac,
            // At most seven days, which no date that a clock shows overflows by.
            expires_at: now + TimeDelta::seconds(lifetime.try_into().unwrap_or_default()),
        })
    }

    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// The query as it is signed, in the order of its names, up to where the operation's own parameters come:
    /// they begin with a small letter.
    pub fn canonical_query(&self, signed_headers: &[&str]) -> String {
        let (parameters, token) = (&self.parameters, &self.token);
        format!("{parameters}{token}&X-Amz-SignedHeaders={}", signed_headers.join("%3B"))
    }

    /// The query as the URL has it, up to where the signature comes.
    pub fn url_query(&self, signed_headers: &[&str]) -> String {
        format!("{}&X-Amz-SignedHeaders={}&X-Amz-Signature=", self.parameters, signed_headers.join("%3B"))
    }

    /// What [`Self::sign`] adds to a URL, in bytes.
    pub fn signature_length(&self) -> usize {
        2 * Sha256::output_size() + self.token.len()
    }

    /// Signs what was hashed, and ends the URL.
    pub fn sign(&self, canonical_request: Sha256, url: &mut String) {
        let mut mac = self.mac.clone();
        mac.update(&hex(canonical_request.finalize().into()));
        url.extend(hex(mac.finalize().into_bytes().into()).map(char::from));
        url.push_str(&self.token);
    }
}

pub(super) fn hash(text: &str) -> Sha256 {
    Sha256::new_with_prefix(text)
}

/// On the stack, where `hex::encode` would allocate.
fn hex(bytes: [u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}
