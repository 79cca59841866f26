//! One upload from the beginning to the end, as `docs/protocol.md` tells it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use reqwest::header::LOCATION;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::support::trial::Story;
use crate::support::{self, Stack};

/// Graceful shutdown with nothing in flight.
const TERMINATE_LIMIT: Duration = Duration::from_secs(30);
/// What the service may hold resident, in bytes, whatever passes through it.
const MEMORY_LIMIT: u64 = 32 << 20;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_blob_is_begun_presigned_put_finalized_and_read_back", whole),
        ("the_command_line_puts_a_file_and_gets_it_back", by_command_line),
        ("sigterm_ends_the_service", terminated),
    ]
}

fn whole(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let mut server = stack.server(&[]).await;
        let content = b"cargo worked straight between the ship and a lighter alongside".repeat(1000);
        let digest = put(server.base_url(), "team/app/model", &content).await;

        assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(content.as_slice()));
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        let memory = server.memory();
        assert!(memory.now <= memory.peak && memory.peak < MEMORY_LIMIT, "{memory:?}");
        server.kill9();

        let cleanup = stack.command(&["cleanup", "--json"]).await;
        assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
        let report: Value = serde_json::from_str(&cleanup.stdout).expect("--json prints JSON");
        assert!(report.is_object(), "{report}");
    }
    .boxed()
}

fn by_command_line(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let (here, back) = (stack.folder().join("cargo"), stack.folder().join("cargo.back"));
        let content = b"a lighter takes what a quay need not see".repeat(300_000);
        std::fs::write(&here, &content).expect("a file");
        let run = async |arguments: &[&str]| {
            let done = stack.command(arguments).await;
            assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
        };

        let (here, base) = (here.display().to_string(), server.base_url());
        run(&["put", &here, "team/cargo", "--server", base, "--mode", "multipart"]).await;
        let from = format!("team/cargo@{}", digest_of(&content));
        run(&["get", &from, "-o", &back.display().to_string(), "--server", base]).await;

        assert_eq!(std::fs::read(back).expect("what came back"), content);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn terminated(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let mut server = stack.server(&[]).await;
        let status = server.terminate(TERMINATE_LIMIT).await.expect("it ends by itself");
        assert_eq!(status.code(), Some(0));
    }
    .boxed()
}

/// One blob by one presigned PUT.
async fn put(base: &str, name: &str, content: &[u8]) -> Digest {
    let client = support::http();
    let digest = digest_of(content);

    let begun = client.post(format!("{base}/v2/{name}/blobs/uploads/")).send().await.expect("an answer");
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let location = begun.headers()[LOCATION].to_str().expect("ASCII").to_owned();
    let upload = url::Url::parse(base).and_then(|base| base.join(&location)).expect("a URL");

    let size = content.len().to_string();
    let query = [("presigned", "true"), ("size", &size), ("digest", &digest.to_string())];
    let signed = client.get(upload.clone()).query(&query).send().await.expect("an answer");
    assert_eq!(signed.status(), StatusCode::OK);
    let signed: Value = signed.json().await.expect("JSON");
    assert_eq!(signed["mode"], "put");
    let stored = send(&client, &signed, content).await;
    assert!(stored.is_success(), "the store answered {stored}");

    let query = [("digest", digest.to_string())];
    let finalized = client.put(upload).query(&query).send().await.expect("an answer");
    let (status, headers) = (finalized.status(), finalized.headers().clone());
    assert_eq!(status, StatusCode::CREATED, "{}", finalized.text().await.unwrap_or_default());
    assert_eq!(headers["docker-content-digest"], digest.to_string());
    digest
}

async fn send(client: &Client, signed: &Value, content: &[u8]) -> StatusCode {
    let mut request = client.put(signed["presigned_url"].as_str().expect("a URL")).body(content.to_vec());
    for (name, value) in signed["headers"].as_object().expect("headers") {
        request = request.header(name, value.as_str().expect("text"));
    }
    request.send().await.expect("an answer").status()
}

fn digest_of(content: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(content);
    hasher.finish()
}
