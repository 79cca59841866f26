//! Sessions of browsers in requests: the cookie that has a session's id, and what keeps pages of other sites from using it.
//! The names are Harbor's (goharbor/harbor, `src/server/middleware/csrf`): what was written for those works.

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use super::endpoint::Door;
use super::extract::header;
use super::origin::Origin;

/// Has a session's id.
pub(super) const SESSION: &str = "sid";
/// Has what a token is made of before there is a session.
pub(super) const PRE_SESSION: &str = "_gorilla_csrf";
/// Given with answers, expected with requests that change something: no page of another site can read it.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-harbor-csrf-token");
/// What browsers say of the page that asks (W3C, "Fetch Metadata Request Headers").
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Longest value of a cookie of ours, in bytes: they have 43.
const MAX_VALUE: usize = 128;
/// Values of one cookie that are looked at where all of them are meant.
const MOST_VALUES: usize = 4;

const OTHER_SITE: &str = "this was sent by a page of another site; send it from this service's own page. \
    Behind a proxy the service has to know its own address: --public-url";
pub(super) const NO_TOKEN: &str = "CSRF token invalid: send the X-Harbor-CSRF-Token that the last answer had, \
    with the cookies that it set";

/// The session that a request is signed in with: none where there is another way to sign in, or an answer is asked for on
/// behalf of another site. The error says why a change is refused.
pub(super) fn session(request: &Request) -> Result<Option<String>, &'static str> {
    let Some(id) = named(request) else { return Ok(None) };
    let from_here = from_own_page(request.headers(), request.extensions().get());
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(from_here.is_ok().then_some(id));
    }
    from_here?;
    if has_token(request.headers(), &id) { Ok(Some(id)) } else { Err(NO_TOKEN) }
}

/// The session that a request's cookie names, at the front doors that the page uses. Whoever signs in otherwise has none:
/// a program beside the page is nobody else for a cookie.
fn named(request: &Request) -> Option<String> {
    let takes = matches!(Door::of(request.uri().path()), Door::Api | Door::Registry | Door::Tus);
    let headers = request.headers();
    if takes && !headers.contains_key(AUTHORIZATION) { cookie(headers, SESSION) } else { None }
}

/// A cookie's value. One that comes twice, as from another path or a neighbouring host, is nobody's.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = values(headers, name);
    let (value, None) = (found.next()?, found.next()) else { return None };
    may_be_ours(value).then(|| value.to_owned())
}

/// A cookie's values where it may come several times.
pub(super) fn cookies(headers: &HeaderMap, name: &str) -> Vec<String> {
    values(headers, name).filter(|value| may_be_ours(value)).take(MOST_VALUES).map(str::to_owned).collect()
}

/// One that is no text is empty here: it counts, and hides no other.
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
        (key == name.as_bytes()).then(|| std::str::from_utf8(value).unwrap_or_default())
    })
}

const fn may_be_ours(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_VALUE
}

/// Fails where a browser says that a page of another site asks. A program says nothing.
pub(super) fn from_own_page(headers: &HeaderMap, own: Option<&Origin>) -> Result<(), &'static str> {
    let site = headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin" || site == "none");
    // The hosts alone: behind a proxy the service may not know that it is asked by TLS.
    let host = |url: &str| url.split_once("://")?.1.split('/').next()?.parse::<Authority>().ok();
    let is_own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(host);
        origin.is_some() && origin == own.and_then(|own| host(&own.url("")))
    };
    let origin = headers.get_all(ORIGIN).iter().all(is_own);
    if site && origin { Ok(()) } else { Err(OTHER_SITE) }
}

/// What whoever has this id, or this cookie of [`PRE_SESSION`], shows with each change.
pub(super) fn token(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::new_with_prefix("csrf ").chain_update(secret).finalize())
}

pub(super) fn has_token(headers: &HeaderMap, secret: &str) -> bool {
    header(headers, &TOKEN).is_some_and(|shown| shown.as_bytes().ct_eq(token(secret).as_bytes()).into())
}

/// The line that has a browser keep a cookie: no script reads it, and no page of another site sends it.
pub(super) fn set_cookie(name: &str, value: &str, origin: Option<&Origin>) -> HeaderValue {
    let url = origin.and_then(|origin| Url::parse(&origin.url("/")).ok());
    let path = url.as_ref().map_or("/", Url::path);
    let secure = if url.as_ref().is_some_and(|url| url.scheme() == "https") { "; Secure" } else { "" };
    let ends = if value.is_empty() { "; Max-Age=0" } else { "" };
    let line = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}{ends}");
    // Made of what is in URLs.
    HeaderValue::try_from(line).unwrap_or(HeaderValue::from_static(""))
}

/// Gives whoever has a session the token of their next change. What they see is kept nowhere.
pub(super) async fn with_token(request: Request, next: Next) -> Response {
    let id = named(&request);
    let mut response = next.run(request).await;
    if let Some(token) = id.and_then(|id| HeaderValue::try_from(token(&id)).ok()) {
        response.headers_mut().insert(TOKEN, token);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
