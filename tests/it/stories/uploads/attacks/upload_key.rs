//! A key for uploads that may do nothing but put below `temp/`, as `MinIO` has it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;

use super::{assert_nothing_left, repository, send_with};
use crate::support::api::{content, digest_of, send, send_parts};
use crate::support::other_store::{OtherStore, UPLOAD_KEYS};
use crate::support::process::Server;
use crate::support::servers::Keys;
use crate::support::trial::not_here;
use crate::support::{Stack, Store};

const SIZE: usize = (5 << 20) + 1000;
const SECRET: &str = "OVERSIDE_S3_UPLOAD_SECRET_KEY";
const GUARD: &str = "x-amz-copy-source-if-match";

/// `overside` with a key for uploads.
async fn doctor(stack: &Stack, keys: Keys) -> Value {
    let mut doctor = stack.binary();
    doctor.args(["doctor", "--json", "--s3-upload-access-key", keys.access_key]).env(SECRET, keys.secret_key);
    let report = stack.run(&mut doctor).await;
    serde_json::from_str(&report.stdout).expect("--json prints JSON")
}

async fn server(stack: &Stack, keys: Keys) -> Server {
    let secret = stack.folder().join("secret");
    std::fs::write(&secret, keys.secret_key).expect("a file");
    let secret = secret.to_str().expect("text");
    let key = ["--s3-upload-access-key", keys.access_key, "--s3-upload-secret-key-file", secret];
    stack.server(&[&key[..], &["--part-size", "5MiB", "--probe-refresh"]].concat()).await
}

fn verdict(report: &Value) -> &str {
    let mut findings = report["findings"].as_array().expect("findings").iter();
    let found = findings.find(|finding| finding["subject"] == "upload key");
    found.and_then(|finding| finding["verdict"].as_str()).unwrap_or_else(|| panic!("{report}"))
}

pub fn restricted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { other: Some(OtherStore::Minio), endpoint, .. } = &stack.store else {
            not_here("only MinIO makes keys here")
        };
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
        let report = doctor(&stack, UPLOAD_KEYS).await;
        assert_eq!(verdict(&report), "good", "{report}");
        assert!(report["upload_policy"].is_null(), "{report}");

        let server = server(&stack, UPLOAD_KEYS).await;
        assert!(!stack.whole_logs().contains("protects nothing"));
        let secret = content(SIZE - 1);
        let other = crate::support::api::Repository::of(server.base_url(), "victim/app").push(&secret).await;
        stack.settled().await;
        let Store::S3 { prefix, .. } = &stack.store else { not_here("it is about buckets") };
        let source = format!("overside/{prefix}/{}", overside::storage::key::blob(&other).as_str());

        let (repository, mut uploads) = (repository(&server), Vec::new());
        for (mode, declared) in [("put", true), ("put", false), ("multipart", false)] {
            let bytes = content(SIZE + uploads.len());
            let (digest, size) = (digest_of(&bytes), bytes.len().to_string());
            let text = digest.to_string();
            let query = [("size", size.as_str()), ("mode", mode), ("digest", text.as_str())];
            let upload = repository.begin().await;
            let signed = upload.sign(&query[..2 + usize::from(declared)]).await.expect(200).json();
            let first = if mode == "put" { &signed } else { &signed["parts"][0] };
            let url = first["presigned_url"].as_str().expect("a URL");
            assert!(url.starts_with(endpoint.as_str()) && url.contains(UPLOAD_KEYS.access_key), "{url}");
            // The store itself refuses what the key may not.
            assert!(first["headers"][GUARD].is_null(), "{signed}");
            let taken = send_with(&upload, first, &[("x-amz-copy-source", &source)], Vec::new()).await;
            assert!(!taken, "{mode}: the key for uploads reads");
            if mode == "put" {
                send(&upload.http, &signed, bytes.clone()).await.expect(200);
            } else {
                send_parts(&upload.http, &signed, &bytes).await;
            }
            upload.finalize(&digest).await.expect(201);
            assert!(stack.blob_bytes(&digest).await == Some(bytes));
            uploads.push(upload);
        }
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}

pub fn unrestricted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { other: Some(OtherStore::Minio), .. } = &stack.store else {
            not_here("only MinIO makes keys here")
        };
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
        let keys = stack.store.keys();
        let report = doctor(&stack, keys).await;
        assert_eq!(verdict(&report), "warning", "{report}");
        assert!(report["upload_policy"].is_object(), "{report}");
        let server = server(&stack, keys).await;
        assert!(stack.whole_logs().contains("protects nothing"));
        // What else there is against copies is not left out for its sake.
        let upload = repository(&server).begin().await;
        let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
        assert!(signed["headers"][GUARD].is_string(), "{signed}");
    }
    .boxed()
}
