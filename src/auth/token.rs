//! Access tokens of ours: JSON Web Tokens (RFC 7519) signed with ES256, as the Docker token specification has them
//! ("Token Authentication Implementation"): short-lived, and good for exactly the access that they name.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::access::{Action, Actions, TokenGrants};
use crate::domain::secret::StoredKey;

/// Who issues them: other tokens that the same keys might sign are none.
const ISSUER: &str = "overside";
/// How far the clocks of two replicas may be apart.
const LEEWAY: Duration = Duration::from_secs(5);
/// Longest token that is looked at: grants for a hundred repositories.
pub(crate) const MAX_TOKEN_LENGTH: usize = 48 * 1024;
const REPOSITORY: &str = "repository";
const REGISTRY: &str = "registry";
const CATALOG: &str = "catalog";

/// Why a token is not taken. Clients are told no more than that.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not valid")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    #[error("the token is signed with a key that is not known")]
    UnknownKey,
    #[error("the token is longer than {MAX_TOKEN_LENGTH} bytes")]
    TooLong,
    #[error("the signing key cannot be used")]
    Key,
}

/// Makes a new key pair.
///
/// # Errors
///
/// [`TokenError::Key`] where the system gives no randomness.
pub fn generate_key(now: DateTime<Utc>) -> Result<StoredKey, TokenError> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let pkcs8 = pkcs8.map_err(|_| TokenError::Key)?;
    Ok(StoredKey { id: Uuid::new_v4(), private_key: pkcs8.as_ref().to_vec(), created_at: now })
}

/// The keys that tokens are signed and verified with: the newest signs.
#[derive(Clone)]
pub(crate) struct TokenKeys {
    newest: (String, EncodingKey),
    verifying: HashMap<String, DecodingKey>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKeys").field("newest", &self.newest.0).finish_non_exhaustive()
    }
}

impl TokenKeys {
    /// Of keys in any order; at least one.
    pub fn new(keys: &[StoredKey]) -> Result<Self, TokenError> {
        super::ring::install();
        let newest = keys.iter().max_by_key(|key| (key.created_at, key.id)).ok_or(TokenError::Key)?;
        let public = |key: &StoredKey| {
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.private_key, &random);
            let pair = pair.map_err(|_| TokenError::Key)?;
            Ok((key.id.to_string(), DecodingKey::from_ec_der(pair.public_key().as_ref())))
        };
        let verifying = keys.iter().map(public).collect::<Result<_, TokenError>>()?;
        Ok(Self { newest: (newest.id.to_string(), EncodingKey::from_ec_der(&newest.private_key)), verifying })
    }

    #[must_use]
    pub fn knows(&self, key_id: &str) -> bool {
        self.verifying.contains_key(key_id)
    }
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// Empty for an anonymous one.
    sub: String,
    /// The id of the account, which its name may outlive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<i64>,
    aud: String,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: Vec<Access>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// Signs and reads the tokens of one service.
#[derive(Debug, Clone)]
pub(crate) struct TokenIssuer {
    /// `aud`: a token for another service is none here.
    pub service: String,
    pub lifetime: Duration,
}

impl TokenIssuer {
    /// A token that says `grants`.
    pub fn issue(
        &self,
        keys: &TokenKeys,
        grants: &TokenGrants,
        now: DateTime<Utc>,
    ) -> Result<String, TokenError> {
        let repositories = grants.repositories.iter().map(|(name, actions)| Access {
            kind: REPOSITORY.to_owned(),
            name: name.to_string(),
            actions: actions.iter().map(|action| action.to_string()).collect(),
        });
        let catalog = grants.catalog.then(|| Access {
            kind: REGISTRY.to_owned(),
            name: CATALOG.to_owned(),
            actions: vec!["*".to_owned()],
        });
        let lifetime = TimeDelta::from_std(self.lifetime).unwrap_or(TimeDelta::minutes(1));
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: grants.name.clone().unwrap_or_default(),
            account: grants.account,
            aud: self.service.clone(),
            exp: (now + lifetime).timestamp(),
            nbf: now.timestamp(),
            iat: now.timestamp(),
            jti: Uuid::new_v4().to_string(),
            access: repositories.chain(catalog).collect(),
        };
        let header = Header { kid: Some(keys.newest.0.clone()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &keys.newest.1)?)
    }

    /// What a token says, if it is one of ours for this service and has not expired.
    pub fn verify(&self, keys: &TokenKeys, token: &str) -> Result<TokenGrants, TokenError> {
        let key_id = key_id(token)?;
        let key = keys.verifying.get(&key_id).ok_or(TokenError::UnknownKey)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[&self.service]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)?.claims;
        let repositories =
            claims.access.iter().filter(|access| access.kind == REPOSITORY).filter_map(|access| {
                let actions: Actions =
                    access.actions.iter().filter_map(|action| action.parse::<Action>().ok()).collect();
                Some((access.name.parse().ok()?, actions))
            });
        Ok(TokenGrants {
            name: (!claims.sub.is_empty()).then_some(claims.sub),
            account: claims.account,
            repositories: repositories.collect(),
            catalog: claims.access.iter().any(|access| access.kind == REGISTRY && access.name == CATALOG),
        })
    }
}

/// Which key a token says it is signed with; a token of ours always does, in a form of our own.
pub(crate) fn key_id(token: &str) -> Result<String, TokenError> {
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(TokenError::TooLong);
    }
    jsonwebtoken::decode_header(token)?.kid.ok_or(TokenError::UnknownKey)
}

#[cfg(test)]
mod tests;
