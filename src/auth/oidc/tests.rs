//! Each algorithm by a token that another library (Python's `cryptography`) has signed; the same claims in all of
//! them, until the year 2100.

use serde_json::Value;

use super::*;

const TOKENS: &str = include_str!("tests/tokens.json");
const ISSUER: &str = "https://ci.example";

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, Deserialize)]
struct Sample {
    algorithm: String,
    key: Value,
    token: String,
}

/// An issuer whose keys have been fetched a moment ago.
fn trusting(audience: &str, keys: &[&Value]) -> Result<Oidc, Box<dyn std::error::Error>> {
    let config = format!("issuer={ISSUER},audience={audience},projects=namespace").parse::<IssuerConfig>()?;
    let oidc = Oidc::new(&[config])?;
    let set = serde_json::from_value(serde_json::json!({ "keys": keys }))?;
    oidc.issuers[0].keys.set(set);
    Ok(oidc)
}

fn samples() -> Result<Vec<Sample>, serde_json::Error> {
    serde_json::from_str(TOKENS)
}

#[tokio::test]
async fn tokens_of_every_algorithm_that_issuers_use_are_taken() -> Outcome {
    let samples = samples()?;
    let keys: Vec<_> = samples.iter().map(|sample| &sample.key).collect();
    let oidc = trusting("overside", &keys)?;
    for sample in &samples {
        let bearer =
            oidc.verify(&sample.token).await.map_err(|error| format!("{}: {error:?}", sample.algorithm))?;
        assert_eq!((bearer.subject.as_str(), bearer.issuer.as_str()), ("job", ISSUER));
        assert_eq!(bearer.roles, [("team".parse()?, Role::Developer)]);
    }
    assert_eq!(samples.len(), VERIFIED.len());
    Ok(())
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() -> Outcome {
    let samples = samples()?;
    let oidc = trusting("another", &[&samples[0].key])?;
    assert!(matches!(oidc.verify(&samples[0].token).await, Err(OidcError::Invalid(_))));
    Ok(())
}

#[tokio::test]
async fn a_key_verifies_with_its_own_algorithm_alone() -> Outcome {
    let samples = samples()?;
    for sample in &samples {
        for other in samples.iter().filter(|other| other.algorithm != sample.algorithm) {
            // The token's key by name, and another one by nature.
            let mut key = other.key.clone();
            key["kid"] = sample.key["kid"].clone();
            let oidc = trusting("overside", &[&key])?;
            let verified = oidc.verify(&sample.token).await;
            assert!(verified.is_err(), "{} by a key for {}", sample.algorithm, other.algorithm);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_not_for_signing_or_not_named_verifies_nothing() -> Outcome {
    let sample = &samples()?[0];
    let mut encrypting = sample.key.clone();
    encrypting["use"] = "enc".into();
    let oidc = trusting("overside", &[&encrypting])?;
    assert!(matches!(oidc.verify(&sample.token).await, Err(OidcError::UnknownKey)));
    let mut renamed = sample.key.clone();
    renamed["kid"] = "another".into();
    let oidc = trusting("overside", &[&renamed])?;
    assert!(matches!(oidc.verify(&sample.token).await, Err(OidcError::UnknownKey)));
    Ok(())
}

#[tokio::test]
async fn whatever_a_token_says_of_itself_only_trusted_issuers_are_asked() -> Outcome {
    let oidc = Oidc::new(&["issuer=https://other.example,audience=overside".parse::<IssuerConfig>()?])?;
    for sample in samples()? {
        assert!(!oidc.is_of_issuer(&sample.token));
        assert!(matches!(oidc.verify(&sample.token).await, Err(OidcError::UnknownIssuer)));
    }
    for text in ["", "a.b.c", "password", "..", "ovs_1_2"] {
        assert!(!oidc.is_of_issuer(text), "{text}");
    }
    Ok(())
}
