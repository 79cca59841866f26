//! Large files: their parts go to the bucket, of whatever length their client cuts them.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Artifacts, refused};
use crate::stories::upkeep::quotas::usage;
use crate::support::api::{Answer, content, digest_of, seeded_content};
use crate::support::trial::Story;
use crate::support::{Stack, Store};

/// The least that a store takes of all parts but the last.
const PART: usize = 5 << 20;
const UNSUPPORTED: &str = "Multipart upload is not supported for the current artifact repository";

pub fn cases() -> Vec<Story> {
    vec![
        ("the_service_says_whether_parts_go_to_the_bucket", told),
        ("a_file_comes_together_of_parts_of_any_length", together),
        ("completing_twice_and_at_once_gives_one_file", twice),
        ("a_part_that_is_missing_or_other_than_named_is_said", missing),
        ("a_file_that_is_given_up_leaves_nothing", aborted),
        ("parts_that_come_to_too_much_are_discarded", too_much),
        ("where_parts_cannot_be_taken_the_file_is_sent_whole", whole),
        ("a_download_goes_to_the_bucket_or_says_to_ask_here", presigned),
    ]
}

fn json_to(artifacts: &Artifacts, verb: &str, directory: &str, body: &Value) -> RequestBuilder {
    artifacts.http.post(artifacts.url(&format!("mpu/{verb}/{directory}"))).json(body)
}

async fn begin(artifacts: &Artifacts, directory: &str, local: &str, parts: u64) -> Answer {
    Answer::to(json_to(artifacts, "create", directory, &json!({ "path": local, "num_parts": parts }))).await
}

/// Sends slices in the order of the credentials, as MLflow does, and says what it would.
async fn send(artifacts: &Artifacts, begun: &Value, slices: &[&[u8]]) -> Vec<Value> {
    let credentials = begun["credentials"].as_array().expect("credentials");
    let sending = credentials.iter().zip(slices).map(|(credential, slice)| async move {
        let mut put = artifacts.http.put(credential["url"].as_str().expect("a URL")).body(slice.to_vec());
        for (name, value) in credential["headers"].as_object().expect("headers") {
            put = put.header(name, value.as_str().expect("text"));
        }
        let sent = Answer::to(put).await.expect(200);
        let etag = sent.header("etag").expect("one").to_owned();
        json!({ "part_number": credential["part_number"], "etag": etag, "url": credential["url"] })
    });
    join_all(sending).await
}

fn completion(begun: &Value, local: &str, parts: &[Value]) -> Value {
    json!({ "path": local, "upload_id": begun["upload_id"], "parts": parts })
}

fn has_bucket(stack: &Stack) -> bool {
    matches!(stack.store, Store::S3 { .. })
}

fn told(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let url = format!("{}/api/3.0/mlflow/server-info", server.base_url());
        let info = Answer::to(crate::support::http().get(url)).await.expect(200).json();
        let is_direct = has_bucket(&stack);
        let expected = json!({
            "store_type": null, "workspaces_enabled": false,
            "multipart_uploads_enabled": is_direct, "multipart_downloads_enabled": is_direct,
        });
        assert_eq!(info, expected);
    }
    .boxed()
}

fn together(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if !has_bucket(&stack) {
            return;
        }
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        for (number, (local, sizes)) in [
            ("/home/me/big one.bin", vec![PART, PART, 17]),
            ("C:\\Users\\me\\big one.bin", vec![PART + 3, PART, PART + 1, 1]),
            ("big one.bin", vec![9]),
        ]
        .into_iter()
        .enumerate()
        {
            let bytes = seeded_content(number as u64, sizes.iter().sum());
            let mut rest = bytes.as_slice();
            let slices: Vec<_> = sizes.iter().map(|size| rest.split_off(..*size).expect("so many")).collect();
            let begun =
                begin(&artifacts, "team/7/model", local, slices.len() as u64).await.expect(200).json();
            assert_eq!(artifacts.list("team/7/model").await.len(), usize::from(number > 0));
            let parts = send(&artifacts, &begun, &slices).await;
            let complete =
                json_to(&artifacts, "complete", "team/7/model", &completion(&begun, local, &parts));
            assert_eq!(Answer::to(complete).await.expect(200).text(), "{}");
            assert!(artifacts.read("team/7/model/big one.bin").await.expect(200).body == bytes);
            let size = bytes.len() as u64;
            assert_eq!(artifacts.list("team/7/model").await, [("big one.bin".to_owned(), size)]);
            assert_eq!(stack.blob_hash(&digest_of(&bytes)).await, Some(digest_of(&bytes)));
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn twice(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if !has_bucket(&stack) {
            return;
        }
        let servers = [stack.server(&[]).await, stack.server(&[]).await];
        let replicas = [Artifacts::of(&servers[0]), Artifacts::of(&servers[1])];
        let bytes = content(PART + 5);
        let begun = begin(&replicas[0], "team", "big", 2).await.expect(200).json();
        let parts = send(&replicas[0], &begun, &[&bytes[..PART], &bytes[PART..]]).await;
        let body = completion(&begun, "big", &parts);
        let asked = (0..6).map(|number| json_to(&replicas[number % 2], "complete", "team", &body));
        for answer in join_all(asked.map(Answer::to)).await {
            answer.expect(200);
        }
        Answer::to(json_to(&replicas[1], "complete", "team", &body)).await.expect(200);
        assert_eq!(replicas[1].list("team").await, [("big".to_owned(), bytes.len() as u64)]);
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(usage(&stack, "team").await, [bytes.len() as u64, 0, 0]);
    }
    .boxed()
}

fn missing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if !has_bucket(&stack) {
            return;
        }
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        let bytes = content(PART + 5);
        let begun = begin(&artifacts, "team", "big", 2).await.expect(200).json();
        let mut parts = send(&artifacts, &begun, &[&bytes[..PART]]).await;
        let complete = async |parts: &[Value]| {
            Answer::to(json_to(&artifacts, "complete", "team", &completion(&begun, "big", parts))).await
        };
        let message = refused(&complete(&parts).await, 400, "INVALID_PARAMETER_VALUE");
        assert!(message.contains("part 2"), "{message}");
        assert_eq!(artifacts.list("team").await, []);
        parts = send(&artifacts, &begun, &[&bytes[..PART], &bytes[PART..]]).await;
        let mut other = parts.clone();
        other[1]["etag"] = json!("\"0123456789abcdef\"");
        let message = refused(&complete(&other).await, 400, "INVALID_PARAMETER_VALUE");
        assert!(message.contains("part 2 has another ETag"), "{message}");
        complete(&parts).await.expect(200);
        assert!(artifacts.read("team/big").await.expect(200).body == bytes);
        let unknown = json!({ "upload_id": "7", "path": "big", "parts": [] });
        refused(
            &Answer::to(json_to(&artifacts, "complete", "team", &unknown)).await,
            404,
            "RESOURCE_DOES_NOT_EXIST",
        );
        refused(
            &Answer::to(json_to(&artifacts, "complete", "other", &completion(&begun, "big", &parts))).await,
            404,
            "RESOURCE_DOES_NOT_EXIST",
        );
        let form =
            artifacts.http.post(artifacts.url("mpu/create/team")).body("{\"path\":\"x\",\"num_parts\":1}");
        refused(&Answer::to(form).await, 415, "INVALID_PARAMETER_VALUE");
    }
    .boxed()
}

fn aborted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if !has_bucket(&stack) {
            return;
        }
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        let begun = begin(&artifacts, "team", "big", 1).await.expect(200).json();
        send(&artifacts, &begun, &[b"bytes"]).await;
        let body = json!({ "path": "big", "upload_id": begun["upload_id"] });
        for _ in 0..2 {
            Answer::to(json_to(&artifacts, "abort", "team", &body)).await.expect(200);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        let complete =
            Answer::to(json_to(&artifacts, "complete", "team", &completion(&begun, "big", &[]))).await;
        refused(&complete, 404, "RESOURCE_DOES_NOT_EXIST");
        assert_eq!(artifacts.list("team").await, []);
    }
    .boxed()
}

/// It is known only when all of it is there.
fn too_much(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if !has_bucket(&stack) {
            return;
        }
        let server = stack.server(&["--max-blob-size", "6000000"]).await;
        let artifacts = Artifacts::of(&server);
        let bytes = content(PART);
        for (rest, limit, status, code) in
            [(900_000, None, 400, "INVALID_PARAMETER_VALUE"), (9, Some(5 << 20), 403, "PERMISSION_DENIED")]
        {
            let begun = begin(&artifacts, "team", "big", 2).await.expect(200).json();
            let parts = send(&artifacts, &begun, &[&bytes, &content(rest)]).await;
            if let Some(limit) = limit {
                // Set since.
                stack.database.limit("team", [limit, -1]).await;
            }
            let complete = json_to(&artifacts, "complete", "team", &completion(&begun, "big", &parts));
            refused(&Answer::to(complete).await, status, code);
            assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
            assert_eq!((stack.objects().await.len(), usage(&stack, "team").await), (0, [0; 3]));
        }
    }
    .boxed()
}

fn whole(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        stack.database.limit("full", [100_000, -1]).await;
        // Where room is limited no URL is without a length.
        for (project, parts) in [("full", 2), ("team", 0), ("team", 10_001)] {
            let message = refused(&begin(&artifacts, project, "big", parts).await, 501, "NOT_IMPLEMENTED");
            assert!(message.starts_with(UNSUPPORTED), "{message}");
        }
        let most = begin(&artifacts, "team", "big", 10_000).await;
        if has_bucket(&stack) {
            let most = most.expect(200).json();
            let credentials = most["credentials"].as_array().expect("credentials");
            assert_eq!(credentials.len(), 10_000);
            assert_eq!(credentials[9_999]["part_number"], 10_000);
            let abort = json!({ "path": "big", "upload_id": most["upload_id"] });
            Answer::to(json_to(&artifacts, "abort", "team", &abort)).await.expect(200);
        } else {
            let message = refused(&most, 501, "NOT_IMPLEMENTED");
            assert!(message.starts_with(UNSUPPORTED), "{message}");
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        refused(&begin(&artifacts, "team", "..", 2).await, 400, "INVALID_PARAMETER_VALUE");
    }
    .boxed()
}

fn presigned(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        let bytes = content(70_000);
        artifacts.put("team/7/a b", &bytes).await.expect(200);
        let asked = artifacts.http.get(artifacts.url("presigned/team/7/a b"));
        let told = Answer::to(asked).await.expect(200).json();
        assert_eq!(told["headers"], json!({}));
        assert_eq!(told.get("file_size"), has_bucket(&stack).then_some(&json!(70_000)));
        let part = artifacts.http.get(told["url"].as_str().expect("a URL")).header("range", "bytes=10-19");
        assert_eq!(Answer::to(part).await.expect(206).body, bytes[10..20]);
        let absent = artifacts.http.get(artifacts.url("presigned/team/7/other"));
        refused(&Answer::to(absent).await, 404, "RESOURCE_DOES_NOT_EXIST");
    }
    .boxed()
}
