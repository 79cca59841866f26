//! Who is let in: every request of every front door comes through here, once it is known which endpoint it is for.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::endpoint::{Endpoint, Need};
use super::error::HttpError;
use crate::domain::access::{Action, Caller, ProjectReference};
use crate::domain::name::RepositoryName;
use crate::service::{Auth, Credentials, Requirement, Service, ServiceError};

/// Where tokens are to be had.
pub(super) const TOKEN_PATH: &str = "/service/token";
/// Longest name and secret together, in bytes: an OIDC token of a few groups, and room to spare.
const MAX_CREDENTIALS: usize = 64 * 1024;

/// The other end of the connection, as an extension of the request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What an endpoint is called for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    None,
    Repository(&'a RepositoryName),
    Project(&'a ProjectReference),
    Robot(i64),
    User(i64),
}

/// What a request has that says who sends it.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    credentials: Result<Credentials, &'static str>,
    address: Option<IpAddr>,
}

impl Visitor {
    pub fn of(request: &axum::extract::Request) -> Self {
        let address = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        Self { credentials: credentials(request.headers()), address }
    }

    pub const fn new(credentials: Credentials, address: Option<IpAddr>) -> Self {
        Self { credentials: Ok(credentials), address }
    }

    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Who it is.
    pub async fn identify(self, service: &Service) -> Result<Caller, ServiceError> {
        match self.credentials {
            Ok(credentials) => service.authenticate(credentials, self.address).await,
            // Whatever was sent, it is not what somebody signs in with.
            Err(_) if service.auth().is_none() => service.authenticate(Credentials::None, self.address).await,
            Err(_) => Err(ServiceError::CredentialsInvalid),
        }
    }
}

/// Lets a caller in, or says why not and how to.
pub(super) async fn admit(
    service: &Service,
    visitor: Visitor,
    endpoint: Endpoint,
    target: Target<'_>,
) -> Result<Caller, HttpError> {
    let Some(requirement) = requirement(endpoint.need(), target) else { return Err(HttpError::not_found()) };
    let admitted = async {
        let caller = visitor.identify(service).await?;
        service.authorize(&caller, &requirement).await?;
        Ok(caller)
    };
    admitted.await.map_err(|error| challenged(service, error, scope(endpoint, target).as_deref()))
}

/// None where an endpoint's path does not name what its need is about.
fn requirement(need: Need, target: Target<'_>) -> Option<Requirement> {
    Some(match (need, target) {
        (Need::Nothing, _) => Requirement::Nothing,
        (Need::Client, _) => Requirement::Client,
        (Need::Account, _) => Requirement::Account,
        (Need::Administrator, _) => Requirement::Administrator,
        (Need::Catalog, _) => Requirement::Catalog,
        (Need::Repository(action), Target::Repository(name)) => Requirement::Repository(name.clone(), action),
        (Need::Project(right), Target::Project(project)) => Requirement::Project(project.clone(), right),
        (Need::Robot, Target::Robot(id)) => Requirement::Robot(id),
        (Need::User, Target::User(id)) => Requirement::User(id),
        _ => return None,
    })
}

/// With the way to sign in, where that would help (RFC 9110 §11.6.1; Docker, "Token Authentication Specification"): with
/// a token for `scope`, or at the front doors where tokens are none, with a name and a secret.
pub(super) fn challenged(service: &Service, error: ServiceError, scope: Option<&str>) -> HttpError {
    let problem = match error {
        ServiceError::ScopeInsufficient => ",error=\"insufficient_scope\"",
        ServiceError::CredentialsInvalid => ",error=\"invalid_token\"",
        _ => "",
    };
    let http = HttpError::from(error);
    let Some(auth) = service.auth().filter(|_| http.status() == StatusCode::UNAUTHORIZED) else {
        return http;
    };
    let challenge = match scope {
        None => "Basic realm=\"overside\"".to_owned(),
        Some(scope) => {
            let scope = if scope.is_empty() { String::new() } else { format!(",scope=\"{scope}\"") };
            format!("Bearer realm=\"{}\",service=\"{}\"{scope}{problem}", realm(auth), auth.issuer.service)
        }
    };
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => http.with_header(WWW_AUTHENTICATE, challenge),
        Err(_) => http,
    }
}

/// What a token has to be for; none where tokens of ours are not taken.
fn scope(endpoint: Endpoint, target: Target<'_>) -> Option<String> {
    let actions = match endpoint.need() {
        Need::Client => return Some(String::new()),
        Need::Catalog => return Some("registry:catalog:*".to_owned()),
        // Whoever pushes looks first whether a blob is there. Some clients ask for one token and keep that (oras for
        // Python): it is to be good for what they are about to do, as far as they may.
        Need::Repository(_) if endpoint == Endpoint::DescribeBlob => "pull,push",
        Need::Repository(Action::Pull) => "pull",
        Need::Repository(Action::Push) => "pull,push",
        Need::Repository(Action::Delete) => "delete",
        Need::Nothing | Need::Account | Need::Administrator | Need::Project(_) | Need::Robot | Need::User => {
            return None;
        }
    };
    match target {
        Target::Repository(name) => Some(format!("repository:{name}:{actions}")),
        _ => None,
    }
}

fn realm(auth: &Auth) -> String {
    format!("{}{TOKEN_PATH}", auth.public_url.as_str().trim_end_matches('/'))
}

fn credentials(headers: &HeaderMap) -> Result<Credentials, &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next(), values.next()) else { return Err("more than one") };
    let Some(value) = value else { return Ok(Credentials::None) };
    let text = value.to_str().map_err(|_| "not ASCII")?;
    let (scheme, rest) = text.split_once(' ').ok_or("no scheme")?;
    if rest.len() > MAX_CREDENTIALS {
        return Err("too long");
    }
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credentials::Bearer(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err("another scheme");
    }
    let decoded = STANDARD.decode(rest).map_err(|_| "not Base64")?;
    let decoded = String::from_utf8(decoded).map_err(|_| "not UTF-8")?;
    let (name, secret) = decoded.split_once(':').ok_or("no colon")?;
    Ok(Credentials::Basic { name: name.to_owned(), secret: secret.to_owned() })
}
