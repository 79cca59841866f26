//! A CI platform that issues tokens to its jobs, played by this file.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use overside::auth::token::generate_key;
use overside::domain::clock::Clock;
use overside::domain::secret::StoredKey;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::tokens::token;
use super::{PRIVATE, PUBLIC, Town, Visitor};
use crate::support::Stack;
use crate::support::api::Answer;

/// How long it takes the platform to say that it fails: longer than all else that the story does meanwhile.
const FAILING: Duration = Duration::from_secs(4);

/// The keys that it shows, and whether it answers at all.
type Shown = Arc<Mutex<Vec<Value>>>;

struct Platform {
    url: String,
    key: StoredKey,
    shown: Shown,
    /// Whether it fails, after a while.
    fails: Arc<AtomicBool>,
    /// How often somebody has begun to look for its keys.
    asked: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl Platform {
    async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let key = generate_key(Clock::System.now()).expect("a key");
        let shown: Shown = Arc::new(Mutex::new(vec![jwk(&key)]));
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let keys = Arc::clone(&shown);
        let (fails, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_failing, counted) = (Arc::clone(&fails), Arc::clone(&asked));
        let discover = move || async move {
            counted.fetch_add(1, SeqCst);
            if is_failing.load(SeqCst) {
                tokio::time::sleep(FAILING).await;
                return Err(axum::http::StatusCode::BAD_GATEWAY);
            }
            Ok(Json(discovery))
        };
        let routes = axum::Router::new().route("/.well-known/openid-configuration", get(discover)).route(
            "/keys",
            get(move || async move { Json(json!({ "keys": *keys.lock().expect("no panic") })) }),
        );
        let serving = tokio::spawn(async move {
            let _ = axum_serve(listener, routes).await;
        });
        Self { url, key, shown, fails, asked, serving }
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
    platform.key = generate_key(Clock::System.now()).expect("a key");
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
    let unknown = signed(&generate_key(Clock::System.now()).expect("a key"), &platform.claims());
    let answer = ask(&unknown).await;
    assert_eq!(answer.header("retry-after"), Some("1"));
    answer.refused(503, "UNAVAILABLE");
}

pub async fn failing(stack: Arc<Stack>) {
    let platform = Platform::new().await;
    let town = Town::new(&stack, &["--oidc", &platform.flag()]).await;
    let ask = async |token: &str| Answer::to(Visitor::bearer("job", token).http.get(town.url("/v2/"))).await;
    let known = platform.token(&platform.claims());
    ask(&known).await.expect(200);
    let unknown = || signed(&generate_key(Clock::System.now()).expect("a key"), &platform.claims());
    ask(&unknown()).await.refused(401, "UNAUTHORIZED");
    assert_eq!(platform.asked.load(SeqCst), 1, "its keys are a moment old");
    platform.fails.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;

    let strangers: Vec<_> = (0..12)
        .map(|_| {
            let (token, url) = (unknown(), town.url("/v2/"));
            tokio::spawn(async move { Answer::to(Visitor::bearer("stranger", &token).http.get(url)).await })
        })
        .collect();
    let begun = Instant::now();
    while platform.asked.load(SeqCst) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody asks the platform");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..3 {
        ask(&known).await.expect(200);
    }
    assert!(
        strangers.iter().any(|stranger| !stranger.is_finished()),
        "whose key is known did not wait for it"
    );
    for stranger in strangers {
        stranger.await.expect("a task").refused(503, "UNAVAILABLE");
    }
    assert_eq!(platform.asked.load(SeqCst), 2, "all of them asked together");
    // It is not asked again at once, and to say so takes no time.
    let begun = Instant::now();
    for _ in 0..3 {
        ask(&unknown()).await.refused(503, "UNAVAILABLE");
    }
    assert!(begun.elapsed() < FAILING, "{:?}", begun.elapsed());
    assert_eq!(platform.asked.load(SeqCst), 2);
    ask(&known).await.expect(200);
}

pub async fn logged(stack: Arc<Stack>) {
    let platform = Platform::new().await;
    let town = Town::new(&stack, &["--oidc", &platform.flag(), "--log", "debug"]).await;
    let claims = URL_SAFE_NO_PAD.encode(platform.claims().to_string());
    let colours = "\u{1b}[31m\u{9b}2J\nERROR forged \u{202e}";
    for header in [
        json!({ "alg": colours }),
        json!({ "alg": "ES256", "kid": colours }),
        json!({ "alg": "ES256", "typ": colours, "jku": colours }),
        json!({ "alg": "ES256", "kid": [colours] }),
        json!({ "alg": format!("{colours}{}", "x".repeat(20_000)) }),
    ] {
        let token = format!("{}.{claims}.AAAA", URL_SAFE_NO_PAD.encode(header.to_string()));
        for visitor in [Visitor::bearer("odd", &token), Visitor::basic("odd", "odd", &token)] {
            Answer::to(visitor.http.get(town.url("/v2/"))).await.refused(401, "UNAUTHORIZED");
        }
    }
    // What is signed and still no name.
    let mut named = platform.claims();
    named["actor"] = json!(colours);
    let visitor = Visitor::bearer("odd", &platform.token(&named));
    Answer::to(visitor.http.get(town.url("/v2/"))).await.refused(401, "UNAUTHORIZED");
    let path = format!("{}{}", town.url("/v2/"), "x".repeat(60_000));
    Answer::to(crate::support::http().get(path)).await;

    let logs = stack.whole_logs();
    assert!(logs.contains("a token of another issuer was refused"), "{logs}");
    for acting in ['\u{1b}', '\u{9b}', '\u{202e}'] {
        assert!(!logs.contains(acting), "{acting:?} is in the log");
    }
    assert!(!logs.lines().any(|line| line.starts_with("ERROR")), "a line was forged");
    let longest = logs.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 10_000, "a line has {longest} bytes");
}
