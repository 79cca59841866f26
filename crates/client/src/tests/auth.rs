//! Signing in, as registries and their token services ask for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use overside_protocol::reference::Reference;
use serde_json::json;
use tokio::net::TcpListener;

use super::server::{digest_of, name};
use crate::{Credential, Error, Registry, Repository};

const BLOB: &[u8] = b"behind a redirect";

#[derive(Debug, Default)]
struct World {
    base: String,
    /// Where blobs are, on another host.
    elsewhere: String,
    wants_basic: bool,
    /// The only token that is taken, by its number.
    valid: u32,
    /// What the token service was asked, with who asked.
    tokens: Vec<(BTreeMap<String, String>, Option<String>)>,
    refuses_tokens: bool,
    /// `Authorization` of every request for a blob's bytes at the other host.
    told_elsewhere: Vec<Option<String>>,
    requests: usize,
}

#[derive(Debug, Clone, Default)]
struct FakeRegistry(Arc<Mutex<World>>);

impl FakeRegistry {
    async fn start() -> Self {
        let registry = Self::default();
        for is_elsewhere in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let router = if is_elsewhere {
                registry.world().elsewhere = base;
                Router::new().fallback(elsewhere)
            } else {
                registry.world().base = base;
                Router::new().fallback(answer)
            };
            let router = router.with_state(registry.clone());
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        registry
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn repository(&self, credential: Option<Credential>) -> Repository {
        let builder = Registry::builder(&self.world().base).credentials(credential);
        builder.build().unwrap().repository(name())
    }
}

fn alice() -> Credential {
    Credential::basic("alice", "secret")
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode("alice:secret"))
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(AUTHORIZATION)?.to_str().unwrap().to_owned())
}

async fn elsewhere(State(registry): State<FakeRegistry>, request: Request) -> Response {
    registry.world().told_elsewhere.push(authorization(request.headers()));
    BLOB.into_response()
}

async fn answer(State(registry): State<FakeRegistry>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/token" {
        let text = match head.method {
            Method::POST => axum::body::to_bytes(body, 10_000).await.unwrap(),
            _ => head.uri.query().unwrap_or_default().to_owned().into(),
        };
        let asked = url::form_urlencoded::parse(&text).into_owned().collect();
        let mut world = registry.world();
        world.tokens.push((asked, authorization(&head.headers)));
        if world.refuses_tokens {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        world.valid += 1;
        return Json(json!({ "access_token": format!("token-{}", world.valid) })).into_response();
    }
    let mut world = registry.world();
    world.requests += 1;
    let expected = if world.wants_basic { basic() } else { format!("Bearer token-{}", world.valid) };
    if authorization(&head.headers) != Some(expected) {
        let challenge = if world.wants_basic {
            "Basic realm=\"x\"".to_owned()
        } else {
            format!("Bearer realm=\"{}/token\",service=\"the registry\",scope=\"other:x:y\"", world.base)
        };
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response();
    }
    match (&head.method, head.uri.path().contains("/blobs/")) {
        (&Method::HEAD, true) => [(CONTENT_LENGTH, BLOB.len())].into_response(),
        (_, true) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, format!("{}/signed", world.elsewhere))])
            .into_response(),
        _ => Json(json!({ "tags": ["v1"], "name": "x" })).into_response(),
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_for_each_right_and_again_when_it_is_refused() {
    let registry = FakeRegistry::start().await;
    let repository = registry.repository(Some(alice()));
    for _ in 0..3 {
        assert_eq!(repository.tags().await.unwrap().unwrap(), ["v1"]);
    }
    {
        let mut world = registry.world();
        let [(asked, who)] = &world.tokens[..] else { panic!("{:?}", world.tokens) };
        assert_eq!(who.as_deref(), Some(basic().as_str()));
        assert_eq!(asked["service"], "the registry");
        assert_eq!(asked["scope"], "repository:team/app/model:pull");
        assert_eq!(world.requests, 4, "one to learn what is wanted");
        // As when a key is rotated, or the token has run out.
        world.valid += 1;
    }
    repository.tags().await.unwrap();
    repository.blob_size(&digest_of(BLOB)).await.unwrap();
    repository.registry().ping().await.unwrap();
    let world = registry.world();
    let scopes: Vec<_> = world.tokens.iter().map(|(asked, _)| asked["scope"].as_str()).collect();
    let pull = "repository:team/app/model:pull";
    // Where we name no right the registry's own is asked for.
    assert_eq!(scopes, [pull, pull, "other:x:y"]);
}

#[tokio::test]
async fn requests_at_once_sign_in_by_themselves() {
    for wants_basic in [false, true] {
        let registry = FakeRegistry::start().await;
        registry.world().wants_basic = wants_basic;
        let repository = registry.repository(Some(alice()));
        let asking = (0..8).map(|_| repository.tags());
        for tags in futures_util::future::join_all(asking).await {
            assert_eq!(tags.unwrap().unwrap(), ["v1"]);
        }
    }
}

#[tokio::test]
async fn a_name_and_password_go_to_a_registry_that_asks_for_them_and_to_nobody_else() {
    let registry = FakeRegistry::start().await;
    registry.world().wants_basic = true;
    let folder = tempfile::tempdir().unwrap();
    let repository = registry.repository(Some(alice()));
    let download = repository.download(&digest_of(BLOB));
    let size = download.save(folder.path().join("blob")).await.unwrap();
    assert_eq!(size, BLOB.len() as u64);
    let world = registry.world();
    assert_eq!(world.told_elsewhere, [None]);
    assert_eq!(world.tokens.len(), 0);
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_and_never_shown_to_the_registry() {
    let registry = FakeRegistry::start().await;
    let repository = registry.repository(Some(Credential::IdentityToken("refresh".to_owned())));
    repository.tags().await.unwrap();
    let world = registry.world();
    let [(asked, who)] = &world.tokens[..] else { panic!("{:?}", world.tokens) };
    assert_eq!((asked["grant_type"].as_str(), asked["refresh_token"].as_str()), ("refresh_token", "refresh"));
    assert_eq!(*who, None);
}

#[tokio::test]
async fn whoever_is_not_let_in_hears_why_and_nothing_is_tried_again() {
    let registry = FakeRegistry::start().await;
    registry.world().refuses_tokens = true;
    let tag = Reference::Tag("v1".parse().unwrap());
    for (credential, told) in
        [(None, "wants to know who you are"), (Some(alice()), "refused the credentials")]
    {
        let is_signed_in = credential.is_some();
        let error = registry.repository(credential).resolve(&tag).await.unwrap_err();
        assert!(
            matches!(&error, Error::Unauthorized { signed_in, .. } if *signed_in == is_signed_in),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(told) && text.contains("/token") && !text.contains("secret"), "{text}");
    }
    registry.world().wants_basic = true;
    let error = registry.repository(None).resolve(&tag).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unauthorized { peer, .. } if peer.starts_with("http://127.0.0.1:")),
        "{error}"
    );
    let world = registry.world();
    assert_eq!((world.tokens.len(), world.requests), (2, 3));
}
