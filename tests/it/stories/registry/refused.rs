//! What is no manifest is refused with the reason, and nothing of it is kept.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;
use sqlx::Connection;

use super::NAME;
use crate::support::api::{Repository, digest_of};
use crate::support::database::Database;
use crate::support::image::{IMAGE, INDEX, LAYER, Manifest, descriptor};
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, assert_answer};

/// For an answer that waits for nobody, on a busy machine; less than the 30 seconds that a writer waits for another.
const PATIENCE: Duration = Duration::from_secs(20);
/// To see that somebody waits.
const HEAD_START: Duration = Duration::from_secs(1);

pub fn cases() -> Vec<Story> {
    vec![
        ("what_is_no_manifest_is_refused", refused),
        ("manifests_that_two_clients_could_read_as_two_things_are_refused", ambiguous),
        ("schema_1_is_refused", schema_1),
        ("json_as_deep_as_a_manifest_can_be_crashes_nothing", deep),
        ("a_manifest_that_will_be_refused_waits_for_no_writer_and_keeps_none_waiting", refused_unlocked),
    ]
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let before = repository.tagged("v1").await;
        let json = String::from_utf8(before.payload.to_vec()).expect("JSON");
        let size = before.with("layers", json!([{ "digest": digest_of(b"x"), "mediaType": LAYER }]));
        let negative = before.with("layers", json!([{ "digest": digest_of(b"x"), "size": -1 }]));
        let digest = before.with("layers", json!([{ "digest": "sha256:abc", "size": 1 }]));
        let algorithm =
            before.with("layers", json!([{ "digest": format!("md5:{}", "a".repeat(32)), "size": 1 }]));
        let text = |manifest: Manifest| String::from_utf8(manifest.payload.to_vec()).expect("JSON");
        let bodies = [
            String::new(),
            " \n".to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            format!("[{json}]"),
            format!("[2,\"{IMAGE}\"]"),
            "\"text\"".to_owned(),
            "{}".to_owned(),
            "<manifest/>".to_owned(),
            json[..json.len() - 1].to_owned(),
            format!("{json}}}"),
            format!("{json}{json}"),
            format!("\u{feff}{json}"),
            json.replace('"', "'"),
            json.replace("\"schemaVersion\":2", "\"schemaVersion\":\"2\""),
            json.replace("\"schemaVersion\":2", "\"schemaVersion\":3"),
            json.replace(",\"schemaVersion\":2", ""),
            text(before.with("layers", json!({}))),
            text(before.with("layers", json!([null]))),
            text(before.with("layers", json!([[]]))),
            text(before.with("config", json!("sha256"))),
            text(before.with("annotations", json!({ "a": 1 }))),
            text(before.with("annotations", json!(["a"]))),
            text(before.with("mediaType", json!(1))),
            text(before.with("mediaType", json!("no type"))),
            text(before.with("artifactType", json!("no type"))),
            text(before.with("subject", json!({ "digest": "x", "size": 1 }))),
            text(size),
            text(negative),
            text(digest),
            text(algorithm),
        ];
        for body in &bodies {
            let answer = repository.put_as("v1", Some(IMAGE), body.clone()).await;
            assert_eq!(answer.status, 400, "{body}");
            answer.refused(400, "MANIFEST_INVALID");
            repository.get(digest_of(body.as_bytes())).await.refused(404, "MANIFEST_UNKNOWN");
        }
        // Bytes that are no text.
        let bytes = [b"{\"mediaType\":\"".as_slice(), &[0xff, 0xfe, 0], b"\"}"].concat();
        repository.put_as("v1", Some(IMAGE), bytes).await.refused(400, "MANIFEST_INVALID");
        assert_eq!(repository.get("v1").await.expect(200).body, before.payload);
        assert_answer!(repository.put_as("v1", Some(INDEX), json).await.rendered(), @r#"
        400 Bad Request
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        {
          "errors": [
            {
              "code": "MANIFEST_INVALID",
              "message": "the manifest's mediaType is application/vnd.oci.image.manifest.v1+json, its Content-Type application/vnd.oci.image.index.v1+json; they have to be the same"
            }
          ]
        }
        "#);
    }
    .boxed()
}

fn ambiguous(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let both = image.with("manifests", json!([image.descriptor()]));
        for media_type in [IMAGE, INDEX, "application/vnd.example.manifest"] {
            let typed =
                Manifest { media_type: media_type.to_owned(), ..both.with("mediaType", json!(media_type)) };
            repository.put("both", &typed).await.refused(400, "MANIFEST_INVALID");
        }
        // Some readers take the first of two fields, others the last.
        let twice = |field: &str| {
            let text = String::from_utf8(image.payload.to_vec()).expect("JSON");
            text.replacen('{', &format!("{{{field},"), 1)
        };
        for field in [
            "\"layers\":[]".to_owned(),
            format!("\"mediaType\":\"{IMAGE}\""),
            format!("\"config\":{}", descriptor(LAYER, b"another")),
            "\"schemaVersion\":2".to_owned(),
        ] {
            let answer = repository.put_as("twice", Some(IMAGE), twice(&field)).await;
            let message = answer.refused(400, "MANIFEST_INVALID");
            assert!(message.contains("duplicate"), "{message}");
        }
        for tag in ["both", "twice"] {
            repository.get(tag).await.refused(404, "MANIFEST_UNKNOWN");
        }
    }
    .boxed()
}

fn schema_1(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let old = json!({
            "schemaVersion": 1, "name": NAME, "tag": "v1", "architecture": "amd64",
            "fsLayers": [{ "blobSum": digest_of(b"layer") }], "history": [{ "v1Compatibility": "{}" }],
            "signatures": [],
        });
        for media_type in [
            "application/vnd.docker.distribution.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "application/json",
        ] {
            let refused = repository.put("v1", &Manifest::of(media_type, &old)).await;
            assert_answer!(refused.rendered(), @r#"
            400 Bad Request
            content-type: application/json
            docker-distribution-api-version: registry/2.0
            {
              "errors": [
                {
                  "code": "MANIFEST_INVALID",
                  "message": "schemaVersion is 1; this registry takes version 2"
                }
              ]
            }
            "#);
        }
    }
    .boxed()
}

fn deep(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.tagged("v1").await;
        let text = String::from_utf8(image.payload.to_vec()).expect("JSON");
        let nested = |depth: usize, open: &str, close: &str| {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            text.replacen('{', &format!("{{\"x\":{value},"), 1)
        };
        let deepest = [nested(2_000_000, "[", "]"), nested(600_000, "{\"a\":", "}")];
        // In a field that nobody here knows it is as good as any other content.
        for (number, body) in deepest.iter().enumerate() {
            repository.put_as(format!("deep{number}"), Some(IMAGE), body.clone()).await.expect(201);
            assert!(repository.get(format!("deep{number}")).await.expect(200).body == body.as_bytes());
        }
        for field in ["annotations", "config", "layers", "subject", "mediaType"] {
            for body in &deepest {
                let body = body.replacen("\"x\":", &format!("\"{field}\":"), 1);
                repository.put_as("deep", Some(IMAGE), body).await.refused(400, "MANIFEST_INVALID");
            }
        }
        // Never closed.
        for open in ["[", "{\"a\":", "{\"layers\":["] {
            let body = open.repeat(3_000_000 / open.len());
            repository.put_as("deep", Some(IMAGE), body).await.refused(400, "MANIFEST_INVALID");
        }
        assert_eq!(repository.get("v1").await.expect(200).body, image.payload);
        assert!(!stack.logs().contains("panicked"));
    }
    .boxed()
}

/// On a database with one writer at a time. A connection of ours is that one, so whatever needs to write waits.
fn refused_unlocked(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Database::Sqlite { url } = &stack.database else { not_here("it is about SQLite") };
        let server = stack.server(&["--clean-interval", "1h", "--gc-interval", "1h"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let whole = repository.tagged("v1").await;
        let lacking = whole.with("layers", json!([descriptor(LAYER, b"never pushed")]));
        let mut writer = sqlx::SqliteConnection::connect(url).await.expect("the stack's SQLite opens");
        sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.expect("nobody else writes");
        let refused = tokio::time::timeout(PATIENCE, repository.put("v2", &lacking)).await;
        refused.expect("it waits for nobody").refused(404, "MANIFEST_BLOB_UNKNOWN");
        let written = tokio::time::timeout(HEAD_START, repository.put("v2", &whole)).await;
        assert!(written.is_err(), "the writer that is there is no obstacle to another: {written:?}");
        sqlx::query("ROLLBACK").execute(&mut writer).await.expect("it ends");
        repository.put("v2", &whole).await.expect(201);
    }
    .boxed()
}
