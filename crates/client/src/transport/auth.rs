//! Signing in to a registry: Basic, or a token of the registry's token service (distribution spec 1.1.1,
//! "Authentication"; Docker's token specification).

pub(crate) mod fields;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::lock::Mutex;
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use overside_protocol::name::RepositoryName;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;

use super::CALL_TIMEOUT;
use super::address::peer;
use super::answer::{read_limited, read_refusal};
use super::destination::Destinations;
use super::token_service::is_trusted;
use crate::credentials::Credential;
use crate::{Error, Refusal, Result};

/// Where a token service says nothing else (Docker's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_mins(1);
/// In seconds. Tokens live minutes or hours; a day is as good as for ever.
const MAX_LIFETIME: f64 = 86_400.0;
/// A token that ends so soon may end on its way.
const MARGIN: Duration = Duration::from_secs(5);
/// Largest answer of a token service that is read: tokens travel in headers, which are shorter everywhere.
const MAX_TOKEN_ANSWER: usize = 256 * 1024;
/// As whom a refresh token is used; token services want some name.
const CLIENT_ID: &str = "overside";

/// The right that a request needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// An API that knows no tokens and wants name and password themselves: Harbor's.
    Password,
    /// Rights as token services name them; an empty list where it is enough to be signed in.
    Rights(Vec<String>),
}

/// How a registry wants its clients to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String>, scope: Option<String> },
}

struct Token {
    value: String,
    ends: Instant,
}

/// Signs requests to one registry in, as the registry asks for.
pub(crate) struct Authenticator {
    credential: Option<Credential>,
    /// Token services that its owner has named.
    named: Vec<Url>,
    state: Mutex<AuthState>,
}

#[derive(Default)]
struct AuthState {
    challenge: Option<Challenge>,
    tokens: HashMap<Scope, Token>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

impl Scope {
    /// For requests that only need the caller to be signed in.
    pub const NONE: Self = Self::Rights(Vec::new());

    pub fn catalog() -> Self {
        Self::Rights(vec!["registry:catalog:*".to_owned()])
    }

    pub fn pull(name: &RepositoryName) -> Self {
        Self::Rights(vec![format!("repository:{name}:pull")])
    }

    pub fn push(name: &RepositoryName) -> Self {
        Self::Rights(vec![format!("repository:{name}:pull,push")])
    }

    pub fn delete(name: &RepositoryName) -> Self {
        Self::Rights(vec![format!("repository:{name}:delete,pull")])
    }

    pub fn mount(to: &RepositoryName, from: &RepositoryName) -> Self {
        Self::Rights(vec![format!("repository:{to}:pull,push"), format!("repository:{from}:pull")])
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl Authenticator {
    pub fn new(credential: Option<Credential>, named: Vec<Url>) -> Self {
        Self { credential, named, state: Mutex::default() }
    }

    fn apply_basic(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credential {
            Some(Credential::Basic { username, password }) => request.basic_auth(username, Some(password)),
            _ => request,
        }
    }

    /// The password that goes with a name, if that is what one signs in with.
    pub fn password(&self) -> Option<&str> {
        match &self.credential {
            Some(Credential::Basic { password, .. }) => Some(password),
            _ => None,
        }
    }

    pub const fn has_credential(&self) -> bool {
        self.credential.is_some()
    }

    /// Adds the credential or token that the registry is known to want, and gives the token. Adds nothing before the
    /// registry has sent a challenge.
    pub async fn apply(
        &self,
        destinations: &Destinations,
        request: RequestBuilder,
        scope: &Scope,
    ) -> Result<(RequestBuilder, Option<String>)> {
        let Scope::Rights(rights) = scope else { return Ok((self.apply_basic(request), None)) };
        // Held while a token is fetched: those that need the same one wait for it instead of asking again.
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenge.clone() else { return Ok((request, None)) };
        match challenge {
            Challenge::Basic => Ok((self.apply_basic(request), None)),
            Challenge::Bearer { realm, service, scope: asked } => {
                let valid = state.tokens.get(scope).filter(|token| token.ends > Instant::now() + MARGIN);
                let value = if let Some(token) = valid {
                    token.value.clone()
                } else {
                    let token = self
                        .fetch(destinations, &realm, service.as_deref(), rights, asked.as_deref())
                        .await?;
                    let value = token.value.clone();
                    state.tokens.insert(scope.clone(), token);
                    value
                };
                Ok((request.header(AUTHORIZATION, format!("Bearer {value}")), Some(value)))
            }
        }
    }

    /// Takes over the challenge of a 401 to a request with the token `refused`. False if the credential cannot answer it.
    pub async fn accept_challenge(
        &self,
        registry: &Url,
        headers: &HeaderMap,
        scope: &Scope,
        refused: Option<&str>,
    ) -> Result<bool> {
        if *scope == Scope::Password {
            return Ok(false);
        }
        let chosen = choose_challenge(headers);
        if let Some(Challenge::Bearer { realm, .. }) = &chosen {
            check_realm(registry, realm)?;
            if self.has_credential() {
                self.trust(registry, realm)?;
            }
        }
        let mut state = self.state.lock().await;
        // Another request may have been given a new one meanwhile.
        if state.tokens.get(scope).is_some_and(|token| Some(token.value.as_str()) == refused) {
            state.tokens.remove(scope);
        }
        let can_answer = match &chosen {
            None => false,
            Some(Challenge::Basic) => matches!(self.credential, Some(Credential::Basic { .. })),
            Some(Challenge::Bearer { .. }) => true,
        };
        state.challenge = chosen;
        Ok(can_answer)
    }

    /// The token service that a registry's 401 names, where that is another host: passwords go there.
    pub fn token_service_elsewhere(&self, registry: &Url, headers: &HeaderMap) -> Result<Option<Url>> {
        let Some(Challenge::Bearer { realm, .. }) = choose_challenge(headers) else { return Ok(None) };
        check_realm(registry, &realm)?;
        self.trust(registry, &realm)?;
        Ok(Some(realm).filter(|realm| realm.host() != registry.host()))
    }

    fn trust(&self, registry: &Url, realm: &Url) -> Result<()> {
        if is_trusted(registry, realm, &self.named) {
            return Ok(());
        }
        Err(Error::TokenService { registry: peer(registry), service: peer(realm) })
    }

    async fn fetch(
        &self,
        destinations: &Destinations,
        realm: &Url,
        service: Option<&str>,
        rights: &[String],
        asked: Option<&str>,
    ) -> Result<Token> {
        let http = destinations.to(realm)?;
        // What the registry names itself is asked for where we know nothing better.
        let asked = asked.filter(|_| rights.is_empty()).into_iter().flat_map(str::split_whitespace);
        let scopes: Vec<_> = rights.iter().map(String::as_str).chain(asked).collect();
        let request = match &self.credential {
            Some(Credential::IdentityToken(refresh_token)) => {
                let mut form = vec![
                    ("grant_type", "refresh_token".to_owned()),
                    ("refresh_token", refresh_token.clone()),
                    ("client_id", CLIENT_ID.to_owned()),
                    ("scope", scopes.join(" ")),
                ];
                form.extend(service.map(|service| ("service", service.to_owned())));
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                http.post(realm.clone())
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form)
            }
            credential => {
                let mut url = realm.clone();
                {
                    let mut query = url.query_pairs_mut();
                    query.extend_pairs(service.map(|service| ("service", service)));
                    query.extend_pairs(scopes.iter().map(|scope| ("scope", *scope)));
                }
                let request = http.get(url);
                match credential {
                    Some(Credential::Basic { username, password }) => {
                        request.basic_auth(username, Some(password))
                    }
                    _ => request,
                }
            }
        };
        let service = peer(realm);
        let response = request.timeout(CALL_TIMEOUT).send().await;
        let response = response.map_err(|error| Error::transport(&service, error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_limited(response, MAX_TOKEN_ANSWER, &service).await?;
        if !status.is_success() {
            let request = Some(format!("GET {service}{}", realm.path()));
            let refusal = Refusal { request, ..read_refusal(status, &headers, &body) };
            return Err(if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
                Error::Unauthorized { peer: service, signed_in: self.has_credential(), refusal }
            } else {
                Error::Refused(refusal)
            });
        }
        let answer = serde_json::from_slice::<TokenAnswer>(&body).ok();
        let lifetime = answer.as_ref().and_then(|answer| answer.expires_in).map(Duration::from_secs);
        let value = answer.and_then(|answer| {
            let mut tokens = [answer.token, answer.access_token].into_iter().flatten();
            tokens.find(|token| !token.is_empty())
        });
        // What no header can carry is none.
        let value = value.filter(|value| HeaderValue::from_str(value).is_ok());
        let value = value.ok_or_else(|| Error::protocol(&service, "no token"))?;
        let lifetime = lifetime.unwrap_or_default().max(DEFAULT_LIFETIME);
        let ends = Instant::now().checked_add(lifetime).unwrap_or_else(Instant::now);
        Ok(Token { value, ends })
    }
}

/// A password that was to be encrypted goes nowhere unencrypted, to no port of this machine either: anybody on it may
/// have opened that.
fn check_realm(registry: &Url, realm: &Url) -> Result<()> {
    if registry.scheme() == "https" && realm.scheme() != "https" {
        return Err(Error::protocol(&peer(registry), "a token service without HTTPS"));
    }
    Ok(())
}

/// Where a registry sends whoever has to sign in, if that is a URL.
pub(crate) fn realm(headers: &HeaderMap) -> Option<Url> {
    match choose_challenge(headers)? {
        Challenge::Bearer { realm, .. } => Some(realm),
        Challenge::Basic => None,
    }
}

fn choose_challenge(headers: &HeaderMap) -> Option<Challenge> {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
    let mut challenges: Vec<_> = lines.flat_map(parse_challenges).collect();
    let is_bearer = |challenge: &Challenge| matches!(challenge, Challenge::Bearer { .. });
    let chosen = challenges.iter().position(is_bearer).unwrap_or_default();
    (!challenges.is_empty()).then(|| challenges.swap_remove(chosen))
}

/// One line of `WWW-Authenticate` (RFC 9110 §11.6.1), `Bearer realm="…",service="…",scope="…"`: it may have several
/// challenges, as of registries that take passwords as well (`Basic realm="…", Bearer realm="…"`). What cannot be read
/// ends it.
fn parse_challenges(line: &str) -> Vec<Challenge> {
    ChallengeParser::new(line).map_while(Result::ok).filter_map(|read| challenge(&read)).collect()
}

fn challenge(read: &ChallengeRef<'_>) -> Option<Challenge> {
    if read.scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !read.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let text = |name: &str| {
        let (_, value) = read.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.to_unescaped()).filter(|text| !text.is_empty())
    };
    let realm = text("realm")?.parse::<Url>().ok()?;
    if !matches!(realm.scheme(), "http" | "https") {
        return None;
    }
    Some(Challenge::Bearer { realm, service: text("service"), scope: text("scope") })
}

/// Services write seconds as a number, whole or not, and some as text (Azure's `"3599"`). What is none is not said.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    let seconds = seconds.filter(|seconds| *seconds >= 0.0);
    Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.min(MAX_LIFETIME)).as_secs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_any_line_never_panics(line in ".{0,100}", rest in "[a-z=\", ]{0,60}") {
            let _ = parse_challenges(&line);
            let _ = parse_challenges(&format!("Bearer {rest}"));
        }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let realm = realm.parse().unwrap_or_else(|error| panic!("{error}"));
            let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
            Challenge::Bearer { realm, service, scope }
        };
        let line = r#"Bearer realm="https://auth.example/token",service="reg.example",scope="repository:a/b:pull,push""#;
        let auth = "https://auth.example/token";
        assert_eq!(
            parse_challenges(line),
            [bearer(auth, Some("reg.example"), Some("repository:a/b:pull,push"))]
        );
        assert_eq!(
            parse_challenges(r#"bearer Realm="http://127.0.0.1:1/t", error=insufficient_scope"#),
            [bearer("http://127.0.0.1:1/t", None, None)]
        );
        assert_eq!(parse_challenges(r#"Basic realm="x""#), [Challenge::Basic]);
        assert_eq!(parse_challenges("Basic"), [Challenge::Basic]);
        // Several in one line, with what separates them in quotes as well.
        let two = r#"Negotiate, Basic realm="a, Bearer b",Bearer service="x \"y\", z" , realm = "https://auth.example/token""#;
        assert_eq!(parse_challenges(two), [Challenge::Basic, bearer(auth, Some(r#"x "y", z"#), None)]);
        for other in ["", "Bearer", "Negotiate abc==", r#"Bearer realm="file:///etc/passwd""#, "Bearer realm"]
        {
            assert_eq!(parse_challenges(other), [], "{other}");
        }
    }

    #[test]
    fn a_lifetime_is_a_number_however_it_is_written() {
        let lifetime = |told: &str| {
            let answer = format!(r#"{{"token":"t","expires_in":{told}}}"#);
            serde_json::from_str::<TokenAnswer>(&answer).expect("an answer").expires_in
        };
        for (told, expected) in [("300", Some(300)), ("299.9", Some(299)), (r#""3599""#, Some(3599))] {
            assert_eq!(lifetime(told), expected, "{told}");
        }
        for nothing in ["null", r#""soon""#, "-1", "[]"] {
            assert_eq!(lifetime(nothing), None, "{nothing}");
        }
        assert_eq!(lifetime("1e300"), Some(86_400));
    }
}
