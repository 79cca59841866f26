//! Tokens of others: issuers that an operator trusts (OIDC Core 1.0, OIDC Discovery 1.0), so that a CI job signs in with what its platform gives it and no secret is stored.

mod config;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use url::Url;

use super::ring::{self, VERIFIED};
use super::token::MAX_TOKEN_LENGTH;
use crate::domain::access::{ProjectName, Role};

pub use config::IssuerConfig;
use config::is_safe;
use keys::Keys;

/// How far an issuer's clock may be from ours: what most verifiers allow.
const LEEWAY: Duration = Duration::from_mins(1);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer of an issuer, in bytes; Google's keys are 2 KiB.
const MAX_ANSWER: usize = 512 * 1024;
/// Longest claim that says who somebody is, in characters: `sub` itself has at most 255 (OIDC Core 1.0 §2).
const MAX_SUBJECT_LENGTH: usize = 255;
const DISCOVERY: &str = ".well-known/openid-configuration";

/// Who bears a token, as its claims tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub issuer: String,
    /// The value of the user claim.
    pub subject: String,
    pub roles: Vec<(ProjectName, Role)>,
}

impl Bearer {
    /// Its name where no user is linked to it. No user's name has a colon.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}@{}", self.subject, self.issuer)
    }
}

/// Why a token is not taken; for the log.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("the token is longer than {MAX_TOKEN_LENGTH} bytes")]
    TooLong,
    #[error("the token is not valid")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    #[error("the token's issuer is not trusted here")]
    UnknownIssuer,
    #[error("the token is signed with a key or algorithm that its issuer does not name")]
    UnknownKey,
    #[error(
        "the token has no claim {0:?} with a text of at most {MAX_SUBJECT_LENGTH} characters on one line"
    )]
    ClaimMissing(String),
    /// Nothing is wrong with the token as far as anybody knows.
    #[error("the keys of {issuer} cannot be had: {reason}")]
    Unreachable { issuer: String, reason: String },
}

/// Trusted issuers and their keys.
#[derive(Debug, Default)]
pub struct Oidc {
    issuers: Vec<Arc<Issuer>>,
}

#[derive(Debug)]
struct Issuer {
    config: IssuerConfig,
    http: reqwest::Client,
    keys: Keys,
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Debug, Deserialize)]
struct IssuerClaim {
    iss: String,
}

impl Oidc {
    /// Nothing is fetched until a token asks for it: an issuer that is away must not keep the service from starting.
    pub fn new(configs: &[IssuerConfig]) -> Result<Self, reqwest::Error> {
        ring::install();
        // Fails only where a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let issuer = |config: &IssuerConfig| {
            // Keys come from where the operator said, and from nowhere else.
            let http = reqwest::Client::builder()
                .timeout(FETCH_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .build()?;
            Ok(Arc::new(Issuer { config: config.clone(), http, keys: Keys::default() }))
        };
        Ok(Self { issuers: configs.iter().map(issuer).collect::<Result<_, reqwest::Error>>()? })
    }

    /// Whether a token says that it is of an issuer trusted here. Nothing of it is believed.
    #[must_use]
    pub fn is_of_issuer(&self, token: &str) -> bool {
        token.len() <= MAX_TOKEN_LENGTH && self.issuer(token).is_some()
    }

    /// Who bears a token, if it is valid for this service now.
    pub async fn verify(&self, token: &str) -> Result<Bearer, OidcError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(OidcError::TooLong);
        }
        let issuer = self.issuer(token).ok_or(OidcError::UnknownIssuer)?;
        let header = jsonwebtoken::decode_header(token)?;
        if !VERIFIED.contains(&header.alg) {
            return Err(OidcError::UnknownKey);
        }
        let key = issuer.key(header.kid.as_deref()).await?;
        if key
            .common
            .key_algorithm
            .is_some_and(|algorithm| algorithm.to_string() != format!("{:?}", header.alg))
        {
            return Err(OidcError::UnknownKey);
        }
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&issuer.config.issuer]);
        validation.set_audience(&[&issuer.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        let claims = jsonwebtoken::decode(token, &DecodingKey::from_jwk(&key)?, &validation)?.claims;
        issuer.config.bearer(&claims)
    }

    fn issuer(&self, token: &str) -> Option<&Arc<Issuer>> {
        let claimed: IssuerClaim = insecure_decode_claims(token).ok()?;
        self.issuers.iter().find(|issuer| issuer.config.issuer == claimed.iss)
    }
}

impl Issuer {
    async fn fetch(&self) -> Result<JwkSet, String> {
        let base = self.config.issuer.trim_end_matches('/');
        let url = Url::parse(&format!("{base}/{DISCOVERY}")).map_err(|error| error.to_string())?;
        let discovery: Discovery = self.get(url).await?;
        if discovery.issuer != self.config.issuer {
            return Err(format!("it calls itself {}", discovery.issuer));
        }
        let keys = Url::parse(&discovery.jwks_uri).map_err(|error| format!("jwks_uri: {error}"))?;
        if !is_safe(&keys) {
            return Err(format!("its keys are at {keys}, which is not https"));
        }
        self.get(keys).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: Url) -> Result<T, String> {
        let answer =
            self.http.get(url.clone()).send().await.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("{url} answers {}", answer.status()));
        }
        let mut answer = answer;
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
            if body.len() + bytes.len() > MAX_ANSWER {
                return Err(format!("{url} answers with more than {MAX_ANSWER} bytes"));
            }
            body.extend_from_slice(&bytes);
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }
}

#[cfg(test)]
mod tests;
