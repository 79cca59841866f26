//! A CI platform that issues tokens to its jobs, played by this file.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use overside::auth::token::StoredKey;
use overside::domain::clock::Clock;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::tokens::token;
use super::{PRIVATE, PUBLIC, Town, Visitor};
use crate::support::Stack;
use crate::support::api::Answer;

/// The keys that it shows, and whether it answers at all.
type Shown = Arc<Mutex<Vec<Value>>>;

struct Platform {
    url: String,
    key: StoredKey,
    shown: Shown,
    serving: tokio::task::JoinHandle<()>,
}

impl Platform {
    async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let key = StoredKey::generate(Clock::System.now()).expect("a key");
        let shown: Shown = Arc::new(Mutex::new(vec![jwk(&key)]));
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let keys = Arc::clone(&shown);
        let routes = axum::Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(discovery) }))
            .route(
                "/keys",
                get(move || async move { Json(json!({ "keys": *keys.lock().expect("no panic") })) }),
            );
        let serving = tokio::spawn(async move {
            let _ = axum_serve(listener, routes).await;
        });
        Self { url, key, shown, serving }
    }

    /// What `--oidc` takes.
    fn flag(&self) -> String {
        format!("issuer={},audience=overside,user=actor,projects=namespace", self.url)
    }

    fn claims(&self) -> Value {
        let now = Clock::System.now();
        json!({
            "iss": self.url, "aud": "overside", "sub": "job:7", "actor": "build-7", "namespace": format!("{PRIVATE}/app"),
            "iat": now.timestamp(), "nbf": now.timestamp(), "exp": (now + TimeDelta::minutes(10)).timestamp(),
        })
    }

    fn token(&self, claims: &Value) -> String {
        signed(&self.key, claims)
    }
}

fn signed(key: &StoredKey, claims: &Value) -> String {
    overside::auth::ring::install();
    let header = Header { kid: Some(key.id.to_string()), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&key.private_key)).expect("a token")
}

fn jwk(key: &StoredKey) -> Value {
    let random = ring::rand::SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.private_key, &random).expect("a key");
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]));
    json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id.to_string(), "x": x, "y": y })
}

/// `axum::serve`, which the service itself has no use for.
async fn axum_serve(listener: TcpListener, routes: axum::Router) -> std::io::Result<()> {
    // Its connections end with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let routes = routes.clone();
        connections.spawn(async move {
            let service = hyper_util::service::TowerToHyperService::new(routes);
            let stream = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
        });
    }
}

pub async fn accepted(stack: Arc<Stack>) {
    let platform = Platform::new().await;
    let town = Town::new(&stack, &["--oidc", &platform.flag()]).await;
    let job = platform.token(&platform.claims());
    // As a bearer, as the password of a client that knows nothing else, and by way of a token of ours.
    let scope = format!("repository:{PRIVATE}/app:pull,push,delete");
    let bearer = Visitor::bearer("job", &job);
    let basic = Visitor::basic("job", "whoever", &job);
    let ours = Visitor::bearer("job", &token(&town.server, &basic, &[&scope]).await);
    for (visitor, content) in [(&bearer, "one"), (&basic, "two"), (&ours, "three")] {
        let repository = visitor.repository(&town.server, &format!("{PRIVATE}/app"));
        let digest = repository.push(content.as_bytes()).await;
        assert_eq!(repository.read(&digest).await.expect(200).body, content.as_bytes());
    }
    // One and the same, whatever way they came in.
    let upload = bearer.repository(&town.server, &format!("{PRIVATE}/app")).begin().await;
    let row = upload.row(&stack).await;
    assert_eq!(row.user_id, Some(format!("build-7@{}", platform.url)));
    Answer::to(ours.http.delete(&upload.url)).await.expect(204);
    // A developer deletes nothing, and is nobody in other projects.
    let digest = overside::domain::digest::Digest::EMPTY;
    let delete = bearer.http.delete(town.url(&format!("/v2/{PRIVATE}/app/blobs/{digest}")));
    Answer::to(delete).await.refused(403, "DENIED");
    let push = bearer.http.post(town.url(&format!("/v2/{PUBLIC}/app/blobs/uploads/")));
    Answer::to(push).await.refused(403, "DENIED");

    // Linked to a user, it is that user.
    let accounts = crate::support::accounts::Accounts::of(&stack).await;
    accounts.federated("builder", &platform.url, "build-8").await;
    accounts.member(PUBLIC, "builder", overside::domain::access::Role::Developer).await;
    let mut claims = platform.claims();
    claims["actor"] = json!("build-8");
    let builder = Visitor::bearer("builder", &platform.token(&claims));
    let upload = builder.repository(&town.server, &format!("{PUBLIC}/app")).begin().await;
    assert_eq!(upload.row(&stack).await.user_id.as_deref(), Some("builder"));
    assert_eq!(upload.abort().await.status, 204);
}

pub async fn refused(stack: Arc<Stack>) {
    let (platform, stranger) = (Platform::new().await, Platform::new().await);
    let town = Town::new(&stack, &["--oidc", &platform.flag()]).await;
    let good = platform.claims();
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        platform.token(&claims)
    };
    let hour_ago = (Clock::System.now() - TimeDelta::hours(1)).timestamp();
    let in_an_hour = (Clock::System.now() + TimeDelta::hours(1)).timestamp();
    let unsigned =
        URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": platform.key.id.to_string() }).to_string());
    let claims = URL_SAFE_NO_PAD.encode(good.to_string());
    // The keys' names are public: a stranger may use ours.
    let namesake = StoredKey { id: platform.key.id, ..stranger.key.clone() };
    for (what, token) in [
        ("another audience", with("aud", json!("another"))),
        ("no audience", with("aud", Value::Null)),
        ("expired", with("exp", json!(hour_ago))),
        ("no end", with("exp", Value::Null)),
        ("not yet", with("nbf", json!(in_an_hour))),
        ("nobody's", with("actor", Value::Null)),
        ("another issuer", stranger.token(&stranger.claims())),
        ("our issuer by another key", signed(&namesake, &good)),
        ("our issuer by an unknown key", signed(&stranger.key, &good)),
        ("no signature", format!("{unsigned}.{claims}.")),
    ] {
        for visitor in [Visitor::bearer("job", &token), Visitor::basic("job", "job", &token)] {
            for path in ["/v2/", "/service/token"] {
                let answer = Answer::to(visitor.http.get(town.url(path))).await;
                assert_eq!(answer.status, 401, "{what}: {path}: {}", answer.text());
            }
        }
    }
    // A minute either way is what clocks are allowed to be apart.
    let late = (Clock::System.now() - TimeDelta::seconds(30)).timestamp();
    let visitor = Visitor::bearer("job", &with("exp", json!(late)));
    Answer::to(visitor.http.get(town.url("/v2/"))).await.expect(200);
}

pub async fn rotated(stack: Arc<Stack>) {
    let mut platform = Platform::new().await;
    let town = Town::new(&stack, &["--oidc", &platform.flag()]).await;
    let ask = async |token: &str| Answer::to(Visitor::bearer("job", token).http.get(town.url("/v2/"))).await;
    let first = platform.token(&platform.claims());
    ask(&first).await.expect(200);
    platform.key = StoredKey::generate(Clock::System.now()).expect("a key");
    let second = platform.token(&platform.claims());
    ask(&second).await.refused(401, "UNAUTHORIZED");
    platform.shown.lock().expect("no panic").push(jwk(&platform.key));
    // Unknown keys are looked for every few seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    ask(&second).await.expect(200);
    ask(&first).await.expect(200);
    platform.serving.abort();
    tokio::time::sleep(Duration::from_secs(6)).await;
    ask(&second).await.expect(200);
    // Whose key cannot be had is not told to be wrong.
    let unknown = signed(&StoredKey::generate(Clock::System.now()).expect("a key"), &platform.claims());
    let answer = ask(&unknown).await;
    assert_eq!(answer.header("retry-after"), Some("1"));
    answer.refused(503, "UNAVAILABLE");
}
