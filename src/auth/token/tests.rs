use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::KeyPair;
use serde_json::{Value, json};

use super::*;
use crate::domain::clock::Clock;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// Two services on one database, and one that has nothing to do with them.
struct Fixture {
    issuer: TokenIssuer,
    stored: StoredKey,
    keys: TokenKeys,
    now: DateTime<Utc>,
}

impl Fixture {
    fn new() -> std::result::Result<Self, TokenError> {
        let now = Clock::System.now();
        let stored = generate_key(now)?;
        let keys = TokenKeys::new(std::slice::from_ref(&stored))?;
        let issuer = TokenIssuer { service: "overside".to_owned(), lifetime: Duration::from_mins(5) };
        Ok(Self { issuer, stored, keys, now })
    }

    fn token(&self) -> std::result::Result<String, TokenError> {
        self.issuer.issue(&self.keys, &grants("team/app", Actions::NONE.with(Action::Pull)), self.now)
    }

    fn is_taken(&self, token: &str) -> bool {
        self.issuer.verify(&self.keys, token).is_ok()
    }

    /// The claims of a good token, changed, and signed with our own key.
    fn with_claim(
        &self,
        name: &str,
        value: Value,
    ) -> std::result::Result<String, Box<dyn std::error::Error>> {
        let mut claims = part(&self.token()?, 1)?;
        claims[name] = value;
        let header = Header { kid: Some(self.stored.id.to_string()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&self.stored.private_key))?)
    }
}

fn grants(repository: &str, actions: Actions) -> TokenGrants {
    let repositories = repository.parse().map(|name| (name, actions)).into_iter().collect();
    TokenGrants { name: Some("alice".to_owned()), account: Some(7), repositories, catalog: false }
}

/// One of a token's parts, read.
fn part(token: &str, index: usize) -> std::result::Result<Value, Box<dyn std::error::Error>> {
    let part = token.split('.').nth(index).ok_or("a token has three parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn a_token_says_what_it_was_issued_for() -> Outcome {
    let fixture = Fixture::new()?;
    let token = fixture.token()?;
    let header = part(&token, 0)?;
    assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!(fixture.stored.id.to_string())));
    let claims = part(&token, 1)?;
    assert_eq!(claims["access"], json!([{ "type": "repository", "name": "team/app", "actions": ["pull"] }]));
    let verified = fixture.issuer.verify(&fixture.keys, &token)?;
    assert_eq!(verified.name.as_deref(), Some("alice"));
    assert_eq!(verified.repositories, grants("team/app", Actions::NONE.with(Action::Pull)).repositories);
    assert!(!verified.catalog);
    Ok(())
}

#[test]
fn no_character_of_a_token_can_be_changed() -> Outcome {
    let fixture = Fixture::new()?;
    let token = fixture.token()?;
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes)?;
        // The last character of Base64 has bits that stand for nothing; those are refused as well.
        assert!(!fixture.is_taken(&changed), "character {index}");
    }
    for cut in [0, 1, token.len() / 2, token.len() - 1] {
        assert!(!fixture.is_taken(&token[..cut]), "cut at {cut}");
    }
    Ok(())
}

#[test]
fn a_scope_that_was_widened_by_hand_is_refused() -> Outcome {
    let fixture = Fixture::new()?;
    let token = fixture.token()?;
    let mut claims = part(&token, 1)?;
    claims["access"][0]["actions"] = json!(["pull", "push", "delete"]);
    let parts: Vec<_> = token.split('.').collect();
    assert!(!fixture.is_taken(&format!("{}.{}.{}", parts[0], encoded(&claims), parts[2])));
    Ok(())
}

#[test]
fn tokens_without_a_signature_or_with_one_that_anybody_can_make_are_refused() -> Outcome {
    let fixture = Fixture::new()?;
    let token = fixture.token()?;
    let claims = token.split('.').nth(1).unwrap_or_default();
    let kid = fixture.stored.id.to_string();
    for algorithm in ["none", "None", "NONE"] {
        let header = encoded(&json!({ "alg": algorithm, "typ": "JWT", "kid": kid }));
        assert!(!fixture.is_taken(&format!("{header}.{claims}.")), "{algorithm}");
    }
    // The public key as the secret of an HMAC: what a verifier that trusts the header falls for.
    let random = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &fixture.stored.private_key, &random);
    let public = pair.map_err(|error| error.to_string())?;
    let header = encoded(&json!({ "alg": "HS256", "typ": "JWT", "kid": kid }));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(public.public_key().as_ref())?;
    mac.update(format!("{header}.{claims}").as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    assert!(!fixture.is_taken(&format!("{header}.{claims}.{signature}")));
    Ok(())
}

#[test]
fn a_token_of_another_key_service_issuer_or_time_is_refused() -> Outcome {
    let fixture = Fixture::new()?;
    let (other, token) = (Fixture::new()?, fixture.token()?);
    assert!(!fixture.is_taken(&other.token()?), "another key");
    // Another key under the name of ours.
    let header = Header { kid: Some(fixture.stored.id.to_string()), ..Header::new(Algorithm::ES256) };
    let forged = jsonwebtoken::encode(
        &header,
        &part(&token, 1)?,
        &EncodingKey::from_ec_der(&other.stored.private_key),
    )?;
    assert!(!fixture.is_taken(&forged), "another key under our name");
    let (past, future) =
        ((fixture.now - TimeDelta::seconds(10)).timestamp(), (fixture.now + TimeDelta::hours(1)).timestamp());
    for (claim, value) in [
        ("aud", json!("another")),
        ("aud", Value::Null),
        ("iss", json!("another")),
        ("exp", json!(past)),
        ("exp", Value::Null),
        ("nbf", json!(future)),
        ("sub", json!(7)),
    ] {
        let token = fixture.with_claim(claim, value.clone())?;
        assert!(!fixture.is_taken(&token), "{claim}: {value}");
    }
    assert!(fixture.is_taken(&fixture.with_claim("jti", json!("any"))?), "what the others are changed from");
    assert!(!fixture.is_taken(&"a".repeat(MAX_TOKEN_LENGTH + 1)));
    Ok(())
}

#[test]
fn a_key_that_has_a_successor_still_verifies_what_it_signed() -> Outcome {
    let fixture = Fixture::new()?;
    let token = fixture.token()?;
    let successor = generate_key(fixture.now + TimeDelta::seconds(1))?;
    let both = TokenKeys::new(&[successor.clone(), fixture.stored.clone()])?;
    assert!(fixture.issuer.verify(&both, &token).is_ok());
    let newer = fixture.issuer.issue(&both, &grants("a", Actions::ALL), fixture.now)?;
    assert_eq!(key_id(&newer)?, successor.id.to_string());
    assert!(!fixture.is_taken(&newer), "a replica that has not seen the new key yet");
    assert!(TokenKeys::new(&[]).is_err());
    Ok(())
}
