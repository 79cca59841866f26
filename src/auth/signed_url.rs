//! Requests that whoever holds a key has signed, as Ollama signs those for a token (ollama v0.33, `auth/auth.go` and
//! `server/auth.go`): `Authorization: <public key>:<signature>`, both in Base64, over method, URL and the hash of no body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::domain::ssh_key::SshKey;

/// Base64 of the SHA-256, in hexadecimal digits, of a body that has no bytes.
const NO_BODY: &str =
    "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ==";

/// A key and what it has signed; nothing is known of either before [`Self::is_of_get`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlSignature {
    pub key: SshKey,
    signature: Vec<u8>,
}

impl UrlSignature {
    /// Reads an `Authorization` header of this form.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (key, signature) = header.split_once(':')?;
        Some(Self { key: SshKey::from_base64(key)?, signature: STANDARD.decode(signature).ok()? })
    }

    /// Whether the key signed a `GET` of this whole URL.
    #[must_use]
    pub fn is_of_get(&self, url: &str) -> bool {
        let signed = format!("GET,{url},{NO_BODY}");
        UnparsedPublicKey::new(&ED25519, self.key.as_bytes())
            .verify(signed.as_bytes(), &self.signature)
            .is_ok()
    }
}
