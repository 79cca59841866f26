//! Somebody opens in a browser what somebody else has pushed.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Answer, Repository};
use crate::support::image::{IMAGE, Manifest};
use crate::support::trial::Story;

const PAGE: &[u8] = b"<!doctype html><script>alert(document.domain)</script>";

pub fn cases() -> Vec<Story> {
    vec![
        ("a_page_among_the_blobs_is_kept_and_not_shown", blobs),
        ("a_manifest_has_a_registrys_type_or_is_served_as_none", manifests),
        ("nothing_that_is_answered_runs_in_a_browser", answers),
    ]
}

/// That a browser takes the answer for what it is said to be, and lets nothing in it run.
#[track_caller]
fn inert(answer: &Answer, what: &str) {
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    let policy = answer.header("content-security-policy").unwrap_or_default();
    let directives: Vec<_> = policy.split("; ").collect();
    assert_eq!(directives, ["sandbox", "default-src 'none'", "frame-ancestors 'none'"], "{what}");
}

fn blobs(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let in_one = repository.begin().await;
        in_one.put(PAGE).await;
        let digest = crate::support::api::digest_of(PAGE);
        in_one.finalize(&digest).await.expect(201);
        let proxied = repository.push(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").await;
        stack.settled().await;
        for digest in [digest, proxied] {
            inert(&Answer::to(repository.http.get(repository.url(digest))).await, "what the service says");
            // Wherever the bytes come from.
            let read = repository.read(&digest).await.expect(200);
            assert_eq!(read.header("content-type"), Some("application/octet-stream"));
            assert_eq!(read.header("content-disposition"), Some("attachment"));
        }
    }
    .boxed()
}

fn manifests(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let page = image.with("annotations", json!({ "a": "<script>alert(1)</script>" }));
        for media_type in ["text/html", "image/svg+xml", "application/xhtml+xml", "text/plain"] {
            // By its header, by its field, by both.
            let said = page.with("mediaType", json!(media_type));
            let unsaid = page.with("mediaType", serde_json::Value::Null);
            for (header, manifest) in [(Some(media_type), &unsaid), (None, &said), (Some(media_type), &said)]
            {
                let refused = repository.put_as("page", header, manifest.payload.clone()).await;
                let message = refused.refused(400, "MANIFEST_INVALID");
                assert!(message.contains(media_type) && message.contains(IMAGE), "{message}");
            }
        }
        repository.get("page").await.refused(404, "MANIFEST_UNKNOWN");
        // What an earlier version took.
        stack.database.run("UPDATE manifest SET media_type = 'text/html'".to_owned()).await;
        for answer in [repository.get("v1").await, repository.head("v1").await] {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
            inert(&answer, "a manifest");
        }
        let custom = "application/vnd.example.manifest.v3+json";
        let kept = Manifest { media_type: custom.to_owned(), ..image.with("mediaType", json!(custom)) };
        repository.put("custom", &kept).await.expect(201);
        assert_eq!(repository.get("custom").await.header("content-type"), Some(custom));
    }
    .boxed()
}

fn answers(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let http = crate::support::http();
        for (method, path, status) in [
            ("GET", "/v2/", 401),
            ("GET", "/v2/%3Cscript%3E/tags/list", 401),
            ("GET", "/v2/team/app/tags/list?last=%3Cscript%3E", 401),
            ("GET", "/service/token?scope=%3Cscript%3E", 200),
            ("GET", "/service/token", 200),
            ("GET", "/api/v2.0/projects", 200),
            ("GET", "/api/v2.0/users/current", 401),
            ("GET", "/healthz", 200),
            ("GET", "/readyz", 200),
            ("GET", "/%3Cscript%3E", 404),
            ("DELETE", "/healthz", 405),
            ("PUT", "/signed/nothing", 403),
        ] {
            let method = method.parse().expect("a method");
            let answer = Answer::to(http.request(method, format!("{}{path}", server.base_url()))).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            inert(&answer, path);
        }
    }
    .boxed()
}
