//! A registry that means its clients ill: whatever it answers, nothing goes where it should not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, LINK, LOCATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use overside_protocol::upload::UploadId;
use overside_protocol::wire::PRESIGNS;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::server::{content, digest_of, name};
use crate::{Credential, Error, Registry, Repository, UnsafeDestination as Unsafe};

const METADATA: &str = "http://169.254.169.254/latest/api/token";

/// Answers every request by itself.
type Answers = dyn Fn(&Method, &str, &Hostile) -> Response + Send + Sync;

/// The registry, and a host that it would like its clients to speak to.
#[derive(Clone)]
struct Hostile {
    registry: SocketAddr,
    victim: SocketAddr,
    answers: Arc<Answers>,
    /// Headers of what reached the victim.
    reached: Arc<Mutex<Vec<HeaderMap>>>,
    requests: Arc<Mutex<usize>>,
    folder: Arc<TempDir>,
}

impl Hostile {
    async fn start(answers: impl Fn(&Method, &str, &Self) -> Response + Send + Sync + 'static) -> Self {
        let [registry, victim] =
            [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
        let [registry, victim] = [registry.unwrap(), victim.unwrap()];
        let hostile = Self {
            registry: registry.local_addr().unwrap(),
            victim: victim.local_addr().unwrap(),
            answers: Arc::new(answers),
            reached: Arc::default(),
            requests: Arc::default(),
            folder: Arc::new(TempDir::new().unwrap()),
        };
        let router = Router::new().fallback(answer).with_state(hostile.clone());
        tokio::spawn(async move { axum::serve(registry, router).await });
        let router = Router::new().fallback(reached).with_state(hostile.clone());
        tokio::spawn(async move { axum::serve(victim, router).await });
        hostile
    }

    /// Says that it gives presigned URLs, and gives this one.
    async fn presigning(url: impl Fn(&Self) -> String + Send + Sync + 'static, headers: Value) -> Self {
        Self::start(move |method, path, hostile| match (method, path) {
            (&Method::POST, _) => {
                let put = json!({"mode": "put", "method": "PUT", "presigned_url": url(hostile), "size": 10,
                    "headers": headers, "expires_at": "2100-01-01T00:00:00Z"});
                let id = [("docker-upload-uuid", UploadId::generate().to_string())];
                (StatusCode::ACCEPTED, id, Json(put)).into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        })
        .await
    }

    fn repository(&self) -> Repository {
        let builder = Registry::builder(format!("http://{}", self.registry));
        let builder = builder.credentials(Credential::basic("alice", "secret"));
        // What is nobody's token service is none where its owner names it either.
        let builder = builder.token_services([METADATA.parse().unwrap()]);
        builder.build().unwrap().repository(name())
    }

    /// Its repository, for a client that has seen the registry at a public address.
    fn distant_repository(&self) -> Repository {
        let repository = self.repository();
        repository.registry.destinations.pretend_public();
        repository
    }

    fn file(&self) -> PathBuf {
        let path = self.folder.path().join("file");
        std::fs::write(&path, content(10)).unwrap();
        path
    }

    async fn put(&self, repository: &Repository) -> Error {
        repository.put(self.file()).send().await.unwrap_err()
    }

    async fn get(&self, repository: &Repository) -> Error {
        repository.download(&digest_of(b"")).save(self.folder.path().join("got")).await.unwrap_err()
    }

    fn victim(&self) -> String {
        format!("http://{}/", self.victim)
    }

    fn assert_nothing_reached(&self) {
        assert!(self.reached.lock().unwrap().is_empty(), "{:?}", self.reached.lock().unwrap());
    }
}

async fn answer(State(hostile): State<Hostile>, request: Request) -> Response {
    *hostile.requests.lock().unwrap() += 1;
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut response = (hostile.answers)(request.method(), &path, &hostile);
    response.headers_mut().insert(PRESIGNS, "1".parse().unwrap());
    response
}

async fn reached(State(hostile): State<Hostile>, request: Request) -> Response {
    hostile.reached.lock().unwrap().push(request.headers().clone());
    Json(json!({ "token": "x" })).into_response()
}

#[track_caller]
fn assert_refused(error: &Error, expected: Unsafe) {
    assert!(matches!(error, Error::Destination { reason, .. } if *reason == expected), "{error}");
}

#[tokio::test]
async fn a_presigned_url_leads_neither_to_metadata_nor_from_public_to_private() {
    let hostile = Hostile::presigning(|_| METADATA.to_owned(), json!({})).await;
    assert_refused(&hostile.put(&hostile.repository()).await, Unsafe::LinkLocal);
    let hostile = Hostile::presigning(Hostile::victim, json!({})).await;
    assert_refused(&hostile.put(&hostile.distant_repository()).await, Unsafe::Private);
    let named = |hostile: &Hostile| format!("http://localhost:{}/", hostile.victim.port());
    let hostile = Hostile::presigning(named, json!({})).await;
    assert_refused(&hostile.put(&hostile.distant_repository()).await, Unsafe::Private);
    hostile.assert_nothing_reached();
    let with_password = |hostile: &Hostile| format!("http://aws:token@{}/", hostile.victim);
    let hostile = Hostile::presigning(with_password, json!({})).await;
    assert_refused(&hostile.put(&hostile.repository()).await, Unsafe::HasCredential);
    hostile.assert_nothing_reached();
}

#[tokio::test]
async fn only_headers_that_an_upload_needs_are_sent_for_a_registry() {
    for name in [
        "Host",
        "Authorization",
        "Cookie",
        "X-aws-ec2-metadata-token-ttl-seconds",
        "Metadata-Flavor",
        "Metadata",
        "X-Forwarded-For",
        "x-amz-copy-source",
        "Transfer-Encoding",
    ] {
        let hostile = Hostile::presigning(Hostile::victim, json!({ name: "1" })).await;
        let error = hostile.put(&hostile.repository()).await;
        assert!(matches!(error, Error::Protocol { .. }) && error.to_string().contains(name), "{error}");
        hostile.assert_nothing_reached();
    }
    let needed = json!({"content-type": "a/b", "x-amz-checksum-sha256": "x", "X-Amz-Copy-Source-If-Match": "y",
        "x-amz-server-side-encryption": "AES256"});
    let hostile = Hostile::presigning(Hostile::victim, needed.clone()).await;
    hostile.put(&hostile.repository()).await;
    let reached = hostile.reached.lock().unwrap();
    for (name, value) in needed.as_object().unwrap() {
        assert_eq!(reached[0].get(name).map(|told| told.to_str().unwrap()), value.as_str(), "{name}");
    }
    assert_eq!(reached[0].get(AUTHORIZATION), None);
}

#[tokio::test]
async fn neither_redirects_nor_upload_locations_lead_astray() {
    for (place, is_distant, why) in
        [(METADATA.to_owned(), false, Unsafe::LinkLocal), (String::new(), true, Unsafe::Private)]
    {
        let answers = move |method: &Method, _: &str, hostile: &Hostile| {
            let place = if place.is_empty() { hostile.victim() } else { place.clone() };
            match *method {
                Method::HEAD => [("content-length", "10")].into_response(),
                _ => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, place)]).into_response(),
            }
        };
        let hostile = Hostile::start(answers.clone()).await;
        let repository = if is_distant { hostile.distant_repository() } else { hostile.repository() };
        assert_refused(&hostile.get(&repository).await, why);
        hostile.assert_nothing_reached();

        let hostile = Hostile::start(move |method, path, hostile| match *method {
            Method::HEAD => StatusCode::NOT_FOUND.into_response(),
            _ => (StatusCode::ACCEPTED, answers(method, path, hostile).headers().clone()).into_response(),
        })
        .await;
        let repository = if is_distant { hostile.distant_repository() } else { hostile.repository() };
        let (sender, chunks) = tokio::sync::mpsc::channel(2);
        sender.try_send(Ok("some bytes".into())).unwrap();
        drop(sender);
        let error = repository.put_stream(chunks).send().await.unwrap_err();
        assert_refused(&error, why);
        hostile.assert_nothing_reached();
    }
}

/// A registry with this token service.
async fn with_realm(realm: impl Fn(&Hostile) -> String + Send + Sync + 'static) -> Hostile {
    Hostile::start(move |_, _, hostile| {
        let challenge = format!("Bearer realm=\"{}\",service=\"x\"", realm(hostile));
        (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
    })
    .await
}

#[tokio::test]
async fn a_password_goes_to_no_metadata_service_and_from_a_public_registry_to_no_private_one() {
    let hostile = with_realm(|_| METADATA.to_owned()).await;
    assert_refused(&hostile.repository().registry().ping().await.unwrap_err(), Unsafe::LinkLocal);
    let hostile = with_realm(Hostile::victim).await;
    assert_refused(&hostile.distant_repository().registry().ping().await.unwrap_err(), Unsafe::Private);
    hostile.assert_nothing_reached();
    // Both on one private network: as it was meant.
    let error = hostile.repository().registry().ping().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(hostile.reached.lock().unwrap()[0].contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn a_token_service_on_another_host_is_told_of_before_it_gets_a_password() {
    for (realm, elsewhere) in
        [("http://localhost:9/token", Some("http://localhost:9/token")), ("http://127.0.0.1:9/token", None)]
    {
        let hostile = with_realm(move |_| realm.to_owned()).await;
        let told = hostile.repository().registry().token_service_elsewhere().await.unwrap();
        assert_eq!(told.as_ref().map(url::Url::as_str), elsewhere);
        assert_eq!(*hostile.requests.lock().unwrap(), 1, "it is only looked at");
    }
    let hostile = with_realm(|_| "https://auth.example/token".to_owned()).await;
    let error = hostile.repository().registry().token_service_elsewhere().await.unwrap_err();
    assert!(
        matches!(&error, Error::TokenService { service, .. } if service == "https://auth.example"),
        "{error}"
    );
}

#[tokio::test]
async fn a_listing_without_end_ends() {
    type Page = fn(usize) -> Value;
    let (same, empty): (Page, Page) = (|_| json!(["v1"]), |_| json!([]));
    let growing: Page = |page| json!(vec![format!("v{page}-{}", "x".repeat(100)); 60_000]);
    for (page, told) in
        [(same, "does not advance"), (empty, "does not advance"), (growing, "lists more than")]
    {
        let hostile = Hostile::start(move |_, _, hostile| {
            let number = *hostile.requests.lock().unwrap();
            let next = format!("</v2/team/app/model/tags/list?last={number}>; rel=\"next\"");
            ([(LINK, next)], Json(json!({ "tags": page(number) }))).into_response()
        })
        .await;
        let error = hostile.repository().tags().await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert!(*hostile.requests.lock().unwrap() < 30);
    }
}

#[tokio::test]
async fn what_a_registry_says_is_cut_and_made_harmless() {
    let message = format!("\u{1b}]52;c;ZXZpbA==\u{7}\nsigned in{}", "x".repeat(2_000_000));
    let hostile = Hostile::start(move |_, _, _| {
        let body = json!({"errors": [{"code": "\u{9b}2J", "message": message}]});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    })
    .await;
    let text = hostile.repository().tags().await.unwrap_err().to_string();
    assert!(text.len() < 5_000 && !text.contains(char::is_control), "{text:?}");

    let hostile =
        Hostile::start(|_, _, _| Json(json!({"tags": "\u{1b}[2J".repeat(1000)})).into_response()).await;
    let text = hostile.repository().tags().await.unwrap_err().to_string();
    assert!(text.len() < 5_000 && !text.contains(char::is_control), "{text:?}");
}
