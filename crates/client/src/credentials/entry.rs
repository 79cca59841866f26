//! One entry of `auths` in such a file: the registry that it is for, and the credential in it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Credential, canonical};

/// Everything may be missing: Docker leaves `{}` for registries whose credentials a helper has.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    auth: String,
    identitytoken: String,
    // Read by Docker, written by other programs.
    username: String,
    password: String,
}

/// The entry is no credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidEntry;

impl Entry {
    /// None where nothing is kept.
    pub fn credential(&self) -> Result<Option<Credential>, InvalidEntry> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identitytoken.clone())));
        }
        if self.auth.is_empty() {
            let (username, password) = (self.username.clone(), self.password.clone());
            return Ok((!username.is_empty()).then_some(Credential::Basic { username, password }));
        }
        let decoded = STANDARD.decode(&self.auth).map_err(|_| InvalidEntry)?;
        let decoded = String::from_utf8(decoded).map_err(|_| InvalidEntry)?;
        let (username, password) = decoded.split_once(':').ok_or(InvalidEntry)?;
        // Very old versions of Docker padded it with zero bytes.
        let (username, password) = (username.to_owned(), password.trim_matches('\0').to_owned());
        Ok(Some(Credential::Basic { username, password }))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

/// An entry as Docker writes it.
pub(super) fn to_json(credential: &Credential) -> Value {
    match credential {
        Credential::Basic { username, password } => {
            json!({ "auth": STANDARD.encode(format!("{username}:{password}")) })
        }
        Credential::IdentityToken(token) => json!({ "identitytoken": token }),
    }
}

/// How closely an entry's key fits, if it does: the length of the namespace that it is for, 0 for a whole registry.
///
/// Keys are hosts, URLs from the days of the first protocol (`https://host/v1/`), and podman's `host/namespace`.
pub(super) fn rank(key: &str, host: &str, repository: Option<&str>) -> Option<usize> {
    let stripped = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let (key_host, path) = stripped.unwrap_or(key).split_once('/').unwrap_or((stripped.unwrap_or(key), ""));
    if canonical(key_host) != canonical(host) {
        return None;
    }
    let namespace = path.trim_end_matches('/');
    if stripped.is_some() || matches!(namespace, "" | "v1" | "v2") {
        return Some(0);
    }
    let rest = repository?.strip_prefix(namespace)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(namespace.len())
}
