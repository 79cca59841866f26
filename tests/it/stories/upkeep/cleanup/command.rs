//! `overside cleanup` as people and cron see it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use chrono::TimeDelta;
use serde_json::Value;
use url::Url;

use super::{NAME, NO_GRACE, age, clean_until_empty};
use crate::support::api::{self, Repository};
use crate::support::trial::not_here;
use crate::support::{Stack, Store};

pub async fn told(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    for _ in 0..2 {
        let upload = repository.begin().await;
        upload.put(&api::content(1_000)).await;
        age(&stack, &upload).await;
    }
    let lines = |verb: &str, sessions: u64| {
        format!(
            "{sessions} expired sessions {verb} ended\n\
             {sessions} ended sessions {verb} cleaned up\n\
             0 blobs brought to their place\n\
             0 temporary objects {verb} swept\n\
             0 incomplete multipart uploads {verb} swept\n\
             0 old sessions {verb} forgotten\n\
             0 old entries of the audit log {verb} forgotten\n"
        )
    };
    for (flags, verb, sessions) in
        [(&["cleanup", "--dry-run"][..], "would be", 2), (&["cleanup"], "were", 2), (&["cleanup"], "were", 0)]
    {
        let done = stack.command(flags).await;
        assert_eq!((done.code, done.stdout), (Some(0), lines(verb, sessions)), "{}", done.stderr);
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn failures(stack: Arc<Stack>) {
    let bad_usage = [
        &["cleanup", "--sweep-grace", "soon"][..],
        &["cleanup", "--no-such-flag"],
        &["cleanup", "--storage", "gs://bucket"],
    ];
    for arguments in bad_usage {
        let done = stack.command(arguments).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
    }
    assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
    // Port 1 is nobody's.
    let mut unreachable = vec![(["--database", "postgres://nobody@127.0.0.1:1/none"], "--database")];
    if !matches!(stack.store, Store::S3 { .. }) {
        unreachable.push((["--storage", "file:///dev/null/store"], "/dev/null/store"));
    }
    for (flags, advice) in unreachable {
        let done = stack.command(&["cleanup", "--json", flags[0], flags[1]]).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{flags:?}: {}", done.stderr);
        assert!(done.stderr.contains("error: ") && done.stderr.contains(advice), "{}", done.stderr);
    }
    if matches!(stack.store, Store::S3 { .. }) {
        let done = stack.command(&["cleanup", "--json", "--s3-endpoint", "http://127.0.0.1:1"]).await;
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("overside doctor"), "{}", done.stderr);
        let report: Value = serde_json::from_str(&done.stdout).expect("the report of what was done");
        let steps = report["failed_steps"].as_array().expect("what failed").iter();
        let steps: Vec<_> = steps.map(|failed| failed["step"].as_str().expect("a name")).collect();
        assert_eq!(steps, ["sweep temporary objects", "sweep incomplete multipart uploads"]);
    }
}

/// The store refuses one list for ever: what the others tell of goes all the same, and the command says what failed.
pub async fn refused_listing(stack: Arc<Stack>) {
    let Store::S3 { endpoint, .. } = &stack.store else { not_here("it is about buckets") };
    let server = stack.server(&["--clean-interval", "1h"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    for refused in ["list-type=2", "uploads"] {
        let [expired, orphan] = [repository.begin().await, repository.begin().await];
        expired.put(&api::content(1_000)).await;
        age(&stack, &expired).await;
        orphan.sign(&[("size", "10000000"), ("mode", "multipart")]).await.expect(200);
        let forget = "DELETE FROM blob_upload_session WHERE transfer_mode = 'multipart' AND $1 < $2";
        assert_eq!(stack.database.write(forget, [-TimeDelta::hours(1), TimeDelta::zero()]).await, 1);
        tokio::time::sleep(Duration::from_millis(1_100)).await;

        let through = refusing(endpoint, refused).await;
        let flags = ["cleanup", "--json", "--sweep-grace", "1ms", "--s3-endpoint", &through];
        let done = stack.command(&flags).await;
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        let report: Value = serde_json::from_str(&done.stdout).expect("the report of what was done");
        assert_eq!(report["expired_sessions"], 1, "{report}");
        let (failed, swept) = match refused {
            "uploads" => ("sweep incomplete multipart uploads", 0),
            _ => ("sweep temporary objects", 1),
        };
        assert_eq!(report["failed_steps"][0]["step"], failed, "{report}");
        assert_eq!(report["swept_multipart_uploads"], swept, "{report}");
        // What a refused list keeps is found once it is given.
        clean_until_empty(&stack, &NO_GRACE).await;
    }
}

/// The store's address through a proxy that answers `403` to every GET whose query begins with this.
async fn refusing(endpoint: &Url, query: &'static str) -> String {
    let (target, client) = (endpoint.clone(), crate::support::http());
    let forward = move |request: axum::extract::Request| {
        let (mut url, client) = (target.clone(), client.clone());
        async move {
            let (parts, body) = request.into_parts();
            let asked = parts.uri.query().unwrap_or_default();
            if parts.method == "GET" && asked.split('&').any(|pair| pair.trim_end_matches('=') == query) {
                return (StatusCode::FORBIDDEN, HeaderMap::new(), Bytes::new());
            }
            url.set_path(parts.uri.path());
            url.set_query(parts.uri.query());
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
            let sent = client.request(parts.method, url).headers(parts.headers).body(body).send().await;
            let answer = sent.expect("the store answers");
            let (status, mut headers) = (answer.status(), answer.headers().clone());
            headers.remove("transfer-encoding");
            headers.remove("content-length");
            (status, headers, answer.bytes().await.expect("its body"))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(forward)).await });
    format!("http://{address}")
}

/// Somebody else is cleaning: the command waits for the end, and says so.
pub async fn in_turn(stack: Arc<Stack>) {
    assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
    if let Store::Filesystem { root } = &stack.store {
        std::fs::create_dir_all(root.join("blobs")).expect("a store that nobody serves");
    }
    let begun = "INSERT INTO chore (name, begun_at) SELECT 'clean', $1 WHERE $1 < $2";
    // Its lease runs for fifteen seconds, and nobody renews it.
    assert_eq!(stack.database.write(begun, [TimeDelta::zero(), TimeDelta::minutes(1)]).await, 1);
    let done = stack.command(&["cleanup"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("is cleaning; waiting"), "{done:?}");
    let again = stack.command(&["cleanup"]).await;
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "it gave its turn back");
}
