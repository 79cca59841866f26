//! Registries that mean their clients ill.

use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::future::FutureExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::NAME;
use crate::support::Stack;
use crate::support::api::digest_of;
use crate::support::command_line::CommandLine;
use crate::support::trial::Story;

/// Sets the clipboard, clears the screen by a control character of eight bits, goes back over its own line, and turns
/// the direction of writing.
const NAMES: [&str; 4] = ["\u{1b}]52;c;ZXZpbA==\u{7}", "\u{9b}2J", "v1\r\nv2", "v\u{202e}1"];

pub fn cases() -> Vec<Story> {
    vec![
        ("nothing_that_a_registry_says_moves_the_terminal", |s| said(s).boxed()),
        ("no_download_writes_through_a_link_that_somebody_has_planted", |s| planted(s).boxed()),
        ("a_password_goes_to_no_other_host_that_was_not_named", |s| realm(s).boxed()),
    ]
}

/// Where a registry is that answers so.
async fn registry(answer: impl Fn(&Method, &str) -> Response + Clone + Send + Sync + 'static) -> String {
    serve(move |request| answer(request.method(), request.uri().path())).await
}

async fn serve(answer: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let url = format!("http://{}", listener.local_addr().expect("a bound address"));
    let answer = move |request: Request| {
        let answered = answer(&request);
        async move { answered }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    url
}

fn is_harmless(printed: &str) -> bool {
    !printed.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}')
}

async fn said(stack: Arc<Stack>) {
    let url = registry(|_, path| match path {
        "/v2/_catalog" => Json(json!({ "repositories": NAMES })).into_response(),
        path if path.ends_with("/tags/list") => Json(json!({ "tags": NAMES })).into_response(),
        _ => {
            let body = json!({ "errors": [{ "code": NAMES[1], "message": NAMES[0..3].concat() }] });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    })
    .await;
    let overside = CommandLine::new(&stack, "client", &url);
    for command in [&["ls"][..], &["tags", NAME]] {
        let printed = overside.done(command).await;
        assert!(is_harmless(&printed), "{printed:?}");
        assert_eq!(printed.lines().count(), NAMES.len(), "each name is one line: {printed:?}");
        let printed = overside.done(&[command, &["--json"]].concat()).await;
        assert!(is_harmless(&printed), "{printed:?}");
        assert_eq!(
            serde_json::from_str::<Value>(&printed).expect("JSON"),
            json!(NAMES),
            "scripts get all of it"
        );
    }
    let complaint = overside.failed(1, &["inspect", &format!("{NAME}:v1")]).await;
    assert!(is_harmless(&complaint) && complaint.lines().count() == 1, "{complaint:?}");
    assert!(complaint.contains("\\u001b]52;c"), "what was said is still told: {complaint:?}");
}

async fn planted(stack: Arc<Stack>) {
    let blob = "an ordinary blob";
    let url = registry(move |method, _| match *method {
        Method::HEAD => [(CONTENT_LENGTH, blob.len())].into_response(),
        _ => blob.into_response(),
    })
    .await;
    let overside = CommandLine::new(&stack, "client", &url);
    let digest = digest_of(blob.as_bytes());
    let get = ["get", &format!("{NAME}@{digest}"), "-o", "got"];
    let partial = overside.path(&format!("got.{}.partial", &digest.hex()[..16]));
    overside.write("precious", "mine, and longer than what is fetched");
    std::os::unix::fs::symlink(overside.path("precious"), &partial).expect("a link of our own");
    let complaint = overside.failed(1, &get).await;
    assert!(complaint.contains("link") && complaint.contains(".partial"), "{complaint}");
    assert_eq!(overside.read("precious"), b"mine, and longer than what is fetched");
    std::fs::remove_file(&partial).expect("the link is still there");
    overside.done(&get).await;
    assert_eq!(overside.read("got"), blob.as_bytes());
}

/// A registry that lets in whoever has its token, and the host that it turns to: that is reached as a proxy is, by
/// whatever name. What came to the host is told.
async fn turning() -> (String, String, Arc<Mutex<String>>, Arc<Mutex<Vec<HeaderMap>>>) {
    let reached = Arc::new(Mutex::new(Vec::new()));
    let tell = reached.clone();
    let victim = serve(move |request| {
        tell.lock().expect("what came").push(request.headers().clone());
        Json(json!({ "token": "granted" })).into_response()
    })
    .await;
    let realm = Arc::new(Mutex::new(String::new()));
    let named = realm.clone();
    let registry = serve(move |request| {
        let is_in = request.headers().get(AUTHORIZATION).is_some_and(|value| value == "Bearer granted");
        match request.uri().path() {
            "/token" => Json(json!({ "token": "granted" })).into_response(),
            _ if is_in => Json(json!({ "repositories": [NAME] })).into_response(),
            _ => {
                let challenge = format!("Bearer realm=\"{}/token\"", named.lock().expect("a realm"));
                (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
            }
        }
    })
    .await;
    realm.lock().expect("a realm").clone_from(&registry);
    (registry, victim, realm, reached)
}

async fn realm(stack: Arc<Stack>) {
    const ELSEWHERE: &str = "http://sign-in.invalid";
    let (url, victim, realm, reached) = turning().await;
    let overside = CommandLine::new(&stack, "client", &url);
    let run = async |arguments: &[&str]| {
        let mut command = overside.command(arguments);
        command.env("http_proxy", &victim).env("no_proxy", "127.0.0.1");
        stack.run_with_input("secret\n", &command).await
    };
    let login = ["login", &url, "--username", "alice", "--password-stdin"];
    let done = run(&login).await;
    assert_eq!((done.code, done.stderr.contains("gets")), (Some(0), false), "{}", done.stderr);
    assert_eq!(run(&["ls"]).await.code, Some(0));

    // Whoever signed in was told of nobody else.
    ELSEWHERE.clone_into(&mut realm.lock().expect("a realm"));
    for command in [&["ls"][..], &login] {
        let refused = run(command).await;
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("--token-service {ELSEWHERE}")), "{}", refused.stderr);
    }
    assert_eq!(reached.lock().expect("what came").len(), 0);

    let done = run(&["ls", "--token-service", ELSEWHERE]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(reached.lock().expect("what came")[0].contains_key(AUTHORIZATION));
    let done = run(&[&login[..], &["--token-service", ELSEWHERE]].concat()).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains(&format!("checked by {ELSEWHERE}: yours goes there")), "{}", done.stderr);
}
