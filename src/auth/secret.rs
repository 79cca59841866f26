//! Secrets made here: 256 random bits, shown once, kept as their SHA-256. A slow hash would protect nothing: there is
//! nothing to guess.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use uuid::Uuid;

use crate::domain::secret::SecretHash;

const SECRET_LENGTH: usize = 32;
/// What scanners for leaked secrets find them by.
const PERSONAL_PREFIX: &str = "ovs_";

/// A secret on its way to whoever will use it. Has no `Debug` that would show it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; SECRET_LENGTH];
        rand::rng().fill_bytes(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Shows it: once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A personal access token: which one it is, and its secret. `ovs_<uuid>_<secret>`.
#[derive(Debug, Clone)]
pub struct PersonalToken {
    pub id: Uuid,
    pub secret: Secret,
}

impl PersonalToken {
    #[must_use]
    pub fn generate() -> Self {
        Self { id: Uuid::new_v4(), secret: Secret::generate() }
    }

    /// Shows it: once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PERSONAL_PREFIX}{}_{}", self.id.simple(), self.secret.reveal())
    }
}

/// A text that is no personal access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPersonalToken;

impl FromStr for PersonalToken {
    type Err = NoPersonalToken;

    fn from_str(text: &str) -> Result<Self, NoPersonalToken> {
        let (id, secret) = text
            .strip_prefix(PERSONAL_PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .ok_or(NoPersonalToken)?;
        let id = Uuid::try_parse(id).map_err(|_| NoPersonalToken)?;
        Ok(Self { id, secret: Secret(secret.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_as_it_was_shown_and_its_hash_is_of_it_alone() {
        let token = PersonalToken::generate();
        let read: PersonalToken = token.reveal().parse().unwrap_or_else(|_| panic!("it is one"));
        assert_eq!(read.id, token.id);
        assert!(token.secret.hash().is_of(read.secret.reveal()));
        assert!(!token.secret.hash().is_of(Secret::generate().reveal()));
        assert!(!format!("{token:?}").contains(token.secret.reveal()));
        for bad in ["", "ovs_", "ovs_x_y", "password", &token.secret.reveal()[1..]] {
            assert!(bad.parse::<PersonalToken>().is_err(), "{bad}");
        }
    }
}
