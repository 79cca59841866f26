//! Passwords: argon2id (RFC 9106) with OWASP's parameters, 19 MiB and two passes, which are this crate's default.

use std::fmt;
use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use serde::Deserialize;

use super::secret::Secret;

/// Shortest password taken (NIST SP 800-63B §5.1.1.2).
pub const MIN_PASSWORD_LENGTH: usize = 8;
/// Longest one, in bytes: hashing must not be a way to keep the server busy.
pub const MAX_PASSWORD_LENGTH: usize = 1024;

/// Compared against where there is no such user, so that the answer takes as long.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hash("nobody's").unwrap_or_default());

/// Why a password is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} bytes")]
    Length,
    #[error("the password could not be hashed")]
    Hash(#[from] argon2::password_hash::Error),
}

/// A password on its way to being hashed. Has no `Debug` that would show it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn generate() -> Self {
        Self(Secret::generate().reveal().to_owned())
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Hashes a new password: tens of milliseconds, off the runtime.
pub fn hash_new(password: &str) -> Result<String, PasswordError> {
    if !(MIN_PASSWORD_LENGTH..=MAX_PASSWORD_LENGTH).contains(&password.len()) {
        return Err(PasswordError::Length);
    }
    Ok(hash(password)?)
}

/// Whether a password is the one that was hashed; as slow where there is no hash.
#[must_use]
pub fn verify(password: &str, stored: Option<&str>) -> bool {
    // Longer ones were never taken.
    let password = if password.len() > MAX_PASSWORD_LENGTH { "" } else { password };
    let parsed = PasswordHash::new(stored.unwrap_or(&NOBODYS));
    let fits =
        parsed.is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok());
    fits && stored.is_some()
}

fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_and_no_other() {
        let hash = hash_new("correct horse").unwrap_or_else(|error| panic!("{error}"));
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify("correct horse", Some(&hash)));
        assert!(!verify("wrong horse", Some(&hash)) && !verify("", Some(&hash)));
        assert!(!verify("nobody's", None) && !verify("x", Some("no hash")));
        assert!(hash_new("short").is_err() && hash_new(&"x".repeat(1025)).is_err());
    }
}
