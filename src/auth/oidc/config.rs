//! What an operator says of an issuer, and what its claims come to.

use std::str::FromStr;

use serde_json::{Map, Value};
use url::{Host, Url};

use super::{Bearer, MAX_SUBJECT_LENGTH, OidcError};
use crate::domain::access::{ProjectName, Role};
use crate::log_text::plain;

/// One issuer, and what its claims mean here: `issuer=URL,audience=NAME[,user=CLAIM][,projects=CLAIM][,role=ROLE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// Exactly as tokens have it in `iss`.
    pub issuer: String,
    /// What `aud` must name.
    pub audience: String,
    /// The claim that names whoever the token is for.
    pub user_claim: String,
    /// The claim that names projects, as a text or a list of texts; of `group/app` the first segment.
    pub projects_claim: Option<String>,
    /// What the bearer is in those.
    pub role: Role,
}

impl IssuerConfig {
    pub(super) fn bearer(&self, claims: &Map<String, Value>) -> Result<Bearer, OidcError> {
        let missing = || OidcError::ClaimMissing(self.user_claim.clone());
        // It is written into the audit log and into sessions.
        let is_name =
            |text: &&str| (1..=MAX_SUBJECT_LENGTH).contains(&text.chars().count()) && *plain(text) == **text;
        let subject = claims.get(&self.user_claim).and_then(Value::as_str).filter(is_name);
        let named = self.projects_claim.as_ref().and_then(|claim| claims.get(claim));
        let texts = match named {
            Some(Value::String(text)) => vec![text.as_str()],
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        // Platforms whose names have upper case letters do not tell them from lower case.
        let project = |text: &str| text.split('/').next()?.to_ascii_lowercase().parse::<ProjectName>().ok();
        let roles = texts.into_iter().filter_map(project).map(|project| (project, self.role));
        Ok(Bearer {
            issuer: self.issuer.clone(),
            subject: subject.ok_or_else(missing)?.to_owned(),
            roles: roles.collect(),
        })
    }
}

impl FromStr for IssuerConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut issuer, mut audience, mut projects_claim) = (None, None, None);
        let (mut user_claim, mut role) = ("sub".to_owned(), Role::Developer);
        for field in text.split(',') {
            let (name, value) =
                field.split_once('=').ok_or_else(|| format!("{field:?} is not NAME=VALUE"))?;
            let value = value.trim().to_owned();
            if value.is_empty() {
                return Err(format!("{name}= needs a value"));
            }
            match name.trim() {
                "issuer" => issuer = Some(value),
                "audience" => audience = Some(value),
                "user" => user_claim = value,
                "projects" => projects_claim = Some(value),
                "role" => role = value.parse().map_err(|error| format!("role=: {error}"))?,
                other => {
                    return Err(format!("{other}= is none of issuer, audience, user, projects and role"));
                }
            }
        }
        let issuer = issuer.ok_or("issuer= is missing: the URL that tokens have in iss")?;
        let url = Url::parse(&issuer).map_err(|error| format!("issuer=: {error}"))?;
        if !is_safe(&url) {
            return Err(
                "issuer= is an https URL: whoever can change its keys can sign in as anybody".to_owned()
            );
        }
        let audience = audience.ok_or("audience= is missing: what tokens for this service have in aud")?;
        Ok(Self { issuer, audience, user_claim, projects_claim, role })
    }
}

/// Whether what is read there is what its owner wrote.
pub(super) fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> IssuerConfig {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn an_issuer_is_said_in_one_line() {
        let full =
            config("issuer=https://ci.example,audience=overside,user=actor,projects=namespace,role=guest");
        assert_eq!((full.user_claim.as_str(), full.role), ("actor", Role::Guest));
        let short = config("issuer=http://127.0.0.1:1,audience=a");
        assert_eq!(
            (short.user_claim.as_str(), short.projects_claim, short.role),
            ("sub", None, Role::Developer)
        );
        for bad in [
            "",
            "issuer=https://ci.example",
            "audience=a",
            "issuer=http://ci.example,audience=a",
            "issuer=https://ci.example,audience=",
            "issuer=https://ci.example,audience=a,role=king",
            "issuer=https://ci.example,audience=a,colour=red",
            "issuer=ci,audience=a",
        ] {
            assert!(bad.parse::<IssuerConfig>().is_err(), "{bad}");
        }
    }

    #[test]
    fn claims_name_projects_by_their_first_segment_and_nothing_else() {
        let config = config("issuer=https://ci.example,audience=a,projects=path");
        let bearer = |path: Value| {
            let claims = serde_json::json!({ "sub": "job", "path": path });
            config.bearer(claims.as_object().unwrap_or(&Map::new()))
        };
        let projects = |path| {
            bearer(path)
                .map(|bearer| bearer.roles.into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(projects("Team/App".into()).ok(), Some(vec!["team".to_owned()]));
        assert_eq!(
            projects(serde_json::json!(["a", "b/c", 7, "../x", ""])).ok(),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(projects(Value::Null).ok(), Some(vec![]));
        let long = "x".repeat(256);
        for nobody in [Value::from(7), "".into(), "a\nb".into(), "\u{1b}[31mroot".into(), long.into()] {
            let nobody = serde_json::json!({ "sub": nobody });
            assert!(config.bearer(nobody.as_object().unwrap_or(&Map::new())).is_err(), "{nobody}");
        }
    }
}
