//! Who is let in: every request of every front door comes through here, once it is known which endpoint it is for.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::access_log;
use super::browser_session;
use super::connections::Connection;
use super::endpoint::{Door, Endpoint, Need};
use super::error::HttpError;
use super::extract::content_length;
use super::origin::{Origin, Peer};
use super::permit::Permit;
use crate::domain::access::{Action, Caller, ProjectReference};
use crate::domain::name::RepositoryName;
use crate::service::{Credentials, Requirement, Service, ServiceError};

/// Where tokens are to be had.
pub(super) const TOKEN_PATH: &str = "/service/token";
/// What browsers say of how they will use an answer (W3C, "Fetch Metadata Request Headers").
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Longest name and secret together, in bytes: an OIDC token of a few groups, and room to spare.
const MAX_CREDENTIALS: usize = 64 * 1024;

/// What an endpoint is called for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    None,
    Repository(&'a RepositoryName),
    Project(&'a ProjectReference),
    Robot(i64),
    User(i64),
    /// The user who asks.
    Oneself,
}

/// What a request has that says who sends it.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    credentials: Result<Credentials, Unusable>,
    address: Option<IpAddr>,
    has_body: bool,
    /// What the request came on.
    connection: Option<Arc<Connection>>,
    origin: Option<Origin>,
    /// A script of a page asks.
    is_script: bool,
}

/// What was sent is no way to sign in.
#[derive(Debug, Clone, Copy)]
enum Unusable {
    Unreadable,
    /// Somebody else may have had a browser send it.
    Forged(&'static str),
}

impl Visitor {
    pub fn of(request: &axum::extract::Request) -> Self {
        let address = request.extensions().get::<Peer>().map(|peer| peer.0);
        let has_body = content_length(request.headers()) != Some(0) && !request.body().is_end_stream();
        let connection = request.extensions().get::<Arc<Connection>>().cloned();
        let origin = request.extensions().get().cloned();
        let session = browser_session::session(request).map_err(Unusable::Forged);
        let credentials = session.and_then(|session| match session {
            Some(id) => Ok(Credentials::Session(id)),
            None => credentials(request.headers()).map_err(|_| Unusable::Unreadable),
        });
        let mode = request.headers().get(FETCH_MODE);
        let is_script = mode.is_some_and(|mode| mode != "navigate");
        Self { credentials, address, has_body, connection, origin, is_script }
    }

    /// The same visitor, who signs in with this.
    pub fn with(self, credentials: Credentials) -> Self {
        Self { credentials: Ok(credentials), ..self }
    }

    /// Says who it is where a signed URL has said so.
    pub fn identify_as(&self, service: &Service, caller: &Caller) -> Result<(), ServiceError> {
        if let Some(connection) = self.connection.as_ref().filter(|_| service.auth().is_some()) {
            connection.identify(caller.name())?;
        }
        if let Some(name) = caller.name() {
            access_log::record_user(name);
        }
        service.admit_request(caller)
    }

    /// Where it sends whoever has to sign in.
    pub fn origin(&self) -> Option<Origin> {
        self.origin.clone()
    }

    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// Who it is. Whoever signs in is counted also where the answer is no.
    pub async fn identify(self, service: &Service) -> Result<Caller, ServiceError> {
        let credentials = match self.credentials {
            Ok(credentials) => credentials,
            // Whatever was sent, it is not what somebody signs in with.
            Err(_) if service.auth().is_none() => Credentials::None,
            Err(Unusable::Unreadable) => return Err(ServiceError::CredentialsInvalid),
            Err(Unusable::Forged(why)) => return Err(ServiceError::Forbidden(why)),
        };
        let caller = service.authenticate(credentials, self.address).await?;
        if let Some(connection) = &self.connection {
            connection.identify(caller.name())?;
        }
        if let Some(name) = caller.name() {
            access_log::record_user(name);
            service.admit_request(&caller)?;
        }
        Ok(caller)
    }
}

/// Lets a caller in, or says why not and how to. The permit is to be kept until the answer is there.
pub(super) async fn admit(
    service: &Service,
    visitor: Visitor,
    endpoint: Endpoint,
    target: Target<'_>,
) -> Result<(Caller, Permit), HttpError> {
    let Some(requirement) = requirement(endpoint.need(), target) else { return Err(HttpError::not_found()) };
    let (origin, is_script) = (visitor.origin(), visitor.is_script);
    let admitted = async {
        let has_body = visitor.has_body;
        let caller = visitor.identify(service).await?;
        service.authorize(&caller, &requirement).await?;
        // Stock clients ask without credentials first, and many of them may share an address: being sent to sign in
        // is not counted.
        if caller.name().is_none() {
            service.admit_request(&caller)?;
        }
        let permit = Permit::take(service, endpoint, has_body).await?;
        Ok((caller, permit))
    };
    admitted.await.map_err(|error: ServiceError| match scope(endpoint, target) {
        // A page signs in by a form of its own: told of `Basic`, a browser would ask in its window.
        None if is_script => error.into(),
        scope => challenged(service, error, scope.as_deref(), origin.as_ref()),
    })
}

/// None where an endpoint's path does not name what its need is about.
fn requirement(need: Need, target: Target<'_>) -> Option<Requirement> {
    Some(match (need, target) {
        (Need::Nothing, _) => Requirement::Nothing,
        (Need::Client, _) => Requirement::Client,
        (Need::Account, _) | (Need::User, Target::Oneself) => Requirement::Account,
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
pub(super) fn challenged(
    service: &Service,
    error: ServiceError,
    scope: Option<&str>,
    origin: Option<&Origin>,
) -> HttpError {
    let problem = match error {
        ServiceError::ScopeInsufficient | ServiceError::NotPermitted { .. } => {
            ",error=\"insufficient_scope\""
        }
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
            format!("Bearer realm=\"{}\",service=\"{}\"{scope}{problem}", realm(origin), auth.issuer.service)
        }
    };
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => http.with_header(WWW_AUTHENTICATE, challenge),
        Err(_) => http,
    }
}

/// What a token has to be for; none where tokens of ours are not taken.
fn scope(endpoint: Endpoint, target: Target<'_>) -> Option<String> {
    // They are for repositories of the registry, and named in its challenges alone.
    if endpoint.door() != Door::Registry {
        return None;
    }
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

fn realm(origin: Option<&Origin>) -> String {
    origin.map_or_else(|| TOKEN_PATH.to_owned(), |origin| origin.url(TOKEN_PATH))
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
        // Clients that know tokens alone carry a name and a secret as one. No token has a colon.
        if let Some((name, secret)) = rest.split_once(':') {
            return Ok(Credentials::Basic { name: name.to_owned(), secret: secret.to_owned() });
        }
        return Ok(Credentials::Bearer(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err("another scheme");
    }
    let decoded = STANDARD.decode(rest).map_err(|_| "not Base64")?;
    let decoded = String::from_utf8(decoded).map_err(|_| "not UTF-8")?;
    let (name, secret) = decoded.split_once(':').ok_or("no colon")?;
    // What clients send that have an empty entry in their configuration.
    if name.is_empty() && secret.is_empty() {
        return Ok(Credentials::None);
    }
    Ok(Credentials::Basic { name: name.to_owned(), secret: secret.to_owned() })
}
