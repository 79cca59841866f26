//! `POST /c/login` and `GET /c/log_out`, as Harbor has them.

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::auth::secret::Secret;
use crate::http::browser_session::{
    NO_TOKEN, PRE_SESSION, SESSION, TOKEN, cookie, cookies, from_own_page, has_token, set_cookie, token,
};
use crate::http::error::HttpError;
use crate::http::extract::{Parameters, whole};
use crate::http::gate::Visitor;
use crate::http::origin::Origin;
use crate::service::{Service, ServiceError};

/// A form with a name and a password.
const MAX_FORM: usize = 16 * 1024;
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Takes a token too: else a page of another site could sign somebody in as whoever made that page.
pub(in crate::http) async fn sign_in(
    service: &Service,
    visitor: Visitor,
    request: Request,
) -> Result<Response, HttpError> {
    let (parts, body) = request.into_parts();
    let origin = visitor.origin();
    from_own_page(&parts.headers, origin.as_ref()).map_err(ServiceError::Forbidden)?;
    let secret = cookie(&parts.headers, PRE_SESSION);
    if !secret.as_ref().is_some_and(|secret| has_token(&parts.headers, secret)) {
        let refused = HttpError::from(ServiceError::Forbidden(NO_TOKEN)).with_harbors_code();
        let mut response = refused.into_response();
        response.headers_mut().extend(pre_session(secret, origin.as_ref()));
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        return Ok(response);
    }
    let invalid = |message: String| HttpError::new(StatusCode::BAD_REQUEST, "", message);
    let body = whole(body, MAX_FORM).await;
    let body = body.map_err(|broken| invalid(broken.unwrap_or("the form is too long").to_owned()))?;
    let form = Parameters::of_form(&body);
    let field = |name: &'static str| {
        let value = form.once(name).map_err(invalid)?;
        value.ok_or_else(|| invalid(format!("the form needs {name}=")))
    };
    let (name, password) = (field("principal")?, field("password")?);
    let (caller, id) = service.begin_browser_session(name, password, visitor.address()).await?;
    visitor.identify_as(service, &caller)?;
    // Whoever had the browser before is out, also where they had somebody else use their session.
    for before in cookies(&parts.headers, SESSION) {
        service.end_browser_session(&before).await?;
    }
    Ok(with_session(id.reveal(), origin.as_ref()).into_response())
}

pub(in crate::http) async fn sign_out(
    service: &Service,
    visitor: Visitor,
    request: Request,
) -> Result<Response, HttpError> {
    let origin = visitor.origin();
    from_own_page(request.headers(), origin.as_ref()).map_err(ServiceError::Forbidden)?;
    // A cookie that comes twice signs nobody in, but whoever leaves means all of them.
    for id in cookies(request.headers(), SESSION) {
        service.end_browser_session(&id).await?;
    }
    Ok(with_session("", origin.as_ref()).into_response())
}

/// Cookie and token of a session that has just begun; an empty one has ended.
fn with_session(id: &str, origin: Option<&Origin>) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, NO_STORE)]);
    headers.insert(SET_COOKIE, set_cookie(SESSION, id, origin));
    if let Ok(token) = HeaderValue::try_from(token(id))
        && !id.is_empty()
    {
        headers.insert(TOKEN, token);
    }
    headers
}

/// What it takes to sign in: a cookie, unless there is one, and its token.
pub(super) fn pre_session(secret: Option<String>, origin: Option<&Origin>) -> HeaderMap {
    let secret = secret.unwrap_or_else(|| Secret::generate().reveal().to_owned());
    let mut headers = HeaderMap::new();
    headers.insert(SET_COOKIE, set_cookie(PRE_SESSION, &secret, origin));
    if let Ok(token) = HeaderValue::try_from(token(&secret)) {
        headers.insert(TOKEN, token);
    }
    headers
}
