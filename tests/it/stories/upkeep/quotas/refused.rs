//! What does not fit.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use reqwest::Body;
use serde_json::json;
use sqlx::Connection;

use super::{NAME, PROJECT, careful, short, short_of, usage, with_digest};
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository, content, digest_of};
use crate::support::database::Database;
use crate::support::image;
use crate::support::trial::not_here;

const LIMIT: i64 = 10_000;
/// For answers that wait for nobody, on a busy machine; less than the 30 seconds that a writer waits for another.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn before_a_byte(stack: Arc<Stack>) {
    let server = stack.server(&["--part-size", "5MiB"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    stack.database.limit(PROJECT, [LIMIT, -1]).await;
    let kept = repository.push(&content(2_000)).await;
    let told = short(8_001, 8_000, 10_000);
    let bytes = content(8_001);
    let digest = digest_of(&bytes);

    // One request that begins and signs: there is no URL, and no session.
    for mode in ["put", "multipart"] {
        let query = [("presigned", "true"), ("size", "8001"), ("mode", mode)];
        let begin =
            repository.http.post(repository.url("uploads/")).query(&query).header("content-length", 0);
        assert_eq!(Answer::to(begin).await.refused(403, "DENIED"), told);
        let upload = repository.begin().await;
        assert_eq!(upload.sign(&[("size", "8001"), ("mode", mode)]).await.refused(403, "DENIED"), told);
        // Another size is still to be had: nothing was declared.
        upload.sign(&[("size", "8000"), ("mode", mode)]).await.expect(200);
        upload.sign(&[("size", "8000"), ("mode", mode)]).await.expect(200);
        assert_eq!(usage(&stack, PROJECT).await, [2_000, 8_000, 0]);
        let message = upload.sign(&[("size", "1"), ("mode", mode)]).await.refused(400, "SIZE_INVALID");
        assert!(message.contains("declared"), "{message}");
        upload.abort().await.expect(204);
        assert_eq!(usage(&stack, PROJECT).await, [2_000, 0, 0]);
    }

    let monolithic = careful("POST", &with_digest(&repository.url("uploads/"), &digest), &bytes).await;
    assert_eq!(monolithic.refused(), told);
    let upload = repository.begin().await;
    assert_eq!(careful("PATCH", &upload.url, &bytes).await.refused(), told);
    assert_eq!(careful("PUT", &with_digest(&upload.url, &digest), &bytes).await.refused(), told);
    // What fits is taken, and the chunk after it is looked at by itself.
    let chunk = careful("PATCH", &upload.url, &bytes[..5_000]).await;
    assert!(chunk.is_sent && chunk.status() == 202, "{}", chunk.answer);
    let refused = careful("PATCH", &upload.url, &bytes[5_000..]).await;
    assert_eq!(refused.refused(), short(3_001, 3_000, 10_000));
    assert_eq!(usage(&stack, PROJECT).await, [2_000, 5_000, 0]);
    let fits = content(8_000);
    upload.abort().await.expect(204);
    assert_eq!(repository.push(&fits).await, digest_of(&fits));
    assert_eq!(usage(&stack, PROJECT).await, [10_000, 0, 0]);
    assert_eq!(repository.read(&kept).await.expect(200).body.len(), 2_000);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    let mut stored: Vec<u64> = stack.objects().await.into_iter().map(|(_, size)| size).collect();
    stored.sort_unstable();
    assert_eq!(stored, [2_000, 8_000]);
}

/// On a database with one writer at a time. A connection of ours is that one, so whatever needs to write waits.
pub async fn unlocked(stack: Arc<Stack>) {
    let Database::Sqlite { url } = &stack.database else { not_here("it is about SQLite") };
    let server = stack.server(&["--clean-interval", "1h", "--gc-interval", "1h"]).await;
    let [repository, source] = [NAME, "elsewhere/app"].map(|name| Repository::of(server.base_url(), name));
    let image = repository.tagged("v1").await;
    let larger = image.padded(10_001);
    let digest = source.push(&content(10_001)).await;
    let session = repository.begin().await;
    stack.database.limit(PROJECT, [LIMIT, 1]).await;
    let mut writer = sqlx::SqliteConnection::connect(url).await.expect("the stack's SQLite opens");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.expect("nobody else writes");
    let begin = |query: &[(&str, &str)]| {
        let begin = repository.http.post(repository.url("uploads/")).query(query);
        Answer::to(begin.header("content-length", 0))
    };
    let size = ("size", "10001");
    tokio::time::timeout(PATIENCE, async {
        repository.put("v1", &larger).await.refused(403, "DENIED");
        repository.put("v2", &image).await.refused(403, "DENIED");
        let mount = [("mount", digest.to_string()), ("from", "elsewhere/app".to_owned())];
        let mount =
            repository.http.post(repository.url("uploads/")).query(&mount).header("content-length", 0);
        Answer::to(mount).await.refused(403, "DENIED");
        begin(&[("presigned", "true"), ("mode", "put"), size]).await.refused(403, "DENIED");
        session.sign(&[("mode", "put"), size]).await.refused(403, "DENIED");
    })
    .await
    .expect("it waits for nobody");
    sqlx::query("ROLLBACK").execute(&mut writer).await.expect("it ends");
    repository.put("v1", &image).await.expect(201);
}

/// A body that says no length, in pieces.
fn chunked(bytes: &[u8]) -> Body {
    let pieces: Vec<_> = bytes.chunks(1_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    Body::wrap_stream(stream::iter(pieces))
}

pub async fn streamed(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    stack.database.limit(PROJECT, [LIMIT, -1]).await;
    let bytes = content(15_000);
    let upload = repository.begin().await;
    let message = upload.patch(None, chunked(&bytes)).await.refused(403, "DENIED");
    assert!(message.contains("has 0 of 10000 left") || message.contains("of 10000 left"), "{message}");
    // What had come until then is the upload's, to the byte, and so is its room.
    let received = upload.state().await.expect(200).json()["received_offset"].as_u64().expect("an offset");
    assert!(received <= 10_000, "{received}");
    assert_eq!(usage(&stack, PROJECT).await, [0, received, 0]);
    let rest = &bytes[usize::try_from(received).expect("small")..10_000];
    upload.patch(None, chunked(rest)).await.expect(202);
    assert_eq!(usage(&stack, PROJECT).await, [0, 10_000, 0]);
    let message = upload.patch(None, chunked(b"x")).await.refused(403, "DENIED");
    assert_eq!(message, short(1, 0, 10_000));
    upload.finalize(&digest_of(&bytes[..10_000])).await.expect(201);
    assert_eq!(usage(&stack, PROJECT).await, [10_000, 0, 0]);

    // In one request, whose session its client never learns of.
    let query = [("digest", digest_of(&bytes).to_string())];
    let push = repository.http.post(repository.url("uploads/")).query(&query).body(chunked(&bytes));
    Answer::to(push).await.refused(403, "DENIED");
    assert_eq!(usage(&stack, PROJECT).await, [10_000, 0, 0]);
    // What is held ahead is held only while it may be needed.
    stack.database.limit(PROJECT, [1 << 40, -1]).await;
    let upload = repository.begin().await;
    upload.patch(None, chunked(&bytes)).await.expect(202);
    assert_eq!(usage(&stack, PROJECT).await, [10_000, 15_000, 0]);
    upload.finalize(&digest_of(&bytes)).await.expect(201);
    assert_eq!(usage(&stack, PROJECT).await, [25_000, 0, 0]);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn in_the_database(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let [repository, sibling, source] =
        [NAME, "team/other", "elsewhere/app"].map(|name| Repository::of(server.base_url(), name));
    let digest = source.push(&content(6_000)).await;
    let text = digest.to_string();
    let mount = async |to: &Repository| {
        let query = [("mount", text.as_str()), ("from", "elsewhere/app")];
        Answer::to(to.http.post(to.url("uploads/")).query(&query)).await
    };
    stack.database.limit(PROJECT, [5_999, -1]).await;
    assert_eq!(mount(&repository).await.refused(403, "DENIED"), short(6_000, 5_999, 5_999));
    Answer::to(repository.http.head(repository.url(digest))).await.expect(404);
    stack.database.limit(PROJECT, [6_000, -1]).await;
    mount(&repository).await.expect(201);
    mount(&sibling).await.expect(201);
    assert_eq!(usage(&stack, PROJECT).await, [6_000, 0, 0]);

    let image = image::index(&[]);
    let length = image.payload.len() as u64;
    assert_eq!(repository.put("v1", &image).await.refused(403, "DENIED"), short(length, 0, 6_000));
    stack.database.limit(PROJECT, [6_000 + i64::try_from(length).expect("small"), 1]).await;
    repository.put("v1", &image).await.expect(201);
    repository.put("v1", &image).await.expect(201);
    assert_eq!(repository.put("v2", &image).await.refused(403, "DENIED"), short_of("tags", 1, 0, 1));
    let other = image.with("annotations", json!({ "a": "b" }));
    let length = other.payload.len() as u64;
    let message = repository.put("v1", &other).await.refused(403, "DENIED");
    assert_eq!(message, short(length, 0, 6_000 + image.payload.len() as u64));
    assert_eq!(repository.tags().await, ["v1"]);
    assert_eq!(repository.get("v1").await.expect(200).body, image.payload);
    assert_eq!(usage(&stack, PROJECT).await, [6_000 + image.payload.len() as u64, 0, 1]);
    // Of each tag deleted another one may come.
    repository.delete("v1").await.expect(202);
    repository.put("v2", &image).await.expect(201);
}

pub async fn without_a_size(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let earlier = repository.begin().await;
    earlier.sign(&[]).await.expect(200);
    stack.database.limit(PROJECT, [LIMIT, -1]).await;
    let begin = repository.http.post(repository.url("uploads/")).query(&[("presigned", "true")]);
    let message = Answer::to(begin.header("content-length", 0)).await.refused(400, "SIZE_INVALID");
    assert_eq!(message, "project team has a limit on its bytes; ask with size=, the blob's length in bytes");
    assert_eq!(earlier.sign(&[]).await.refused(400, "SIZE_INVALID"), message);
    assert_eq!(repository.begin().await.sign(&[]).await.refused(400, "SIZE_INVALID"), message);
    earlier.sign(&[("size", "10000")]).await.expect(200);
    // The size is known from here on.
    earlier.sign(&[]).await.expect(200);
    assert_eq!(usage(&stack, PROJECT).await, [0, 10_000, 0]);
    // Elsewhere it goes on as before.
    Repository::of(server.base_url(), "teams/app").begin().await.sign(&[]).await.expect(200);
}

pub async fn found_too_large(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let mut uploads = Vec::new();
    for length in [10_001, 10_000] {
        let (upload, bytes) = (repository.begin().await, content(length));
        let signed = upload.sign(&[]).await.expect(200).json();
        assert!(api::send(&upload.http, &signed, bytes.clone()).await.status < 300);
        uploads.push((upload, digest_of(&bytes)));
    }
    stack.database.limit(PROJECT, [LIMIT, -1]).await;
    let [(large, large_digest), (fitting, digest)] = &uploads[..] else { unreachable!("two of them") };
    let told = short(10_001, 10_000, 10_000);
    assert_eq!(large.finalize(large_digest).await.refused(403, "DENIED"), told);
    assert_eq!(large.finalize(large_digest).await.refused(403, "DENIED"), told, "for good");
    let state = large.state().await.expect(200).json();
    assert_eq!(
        (&state["status"], &state["failure"]["code"]),
        (&json!("failed"), &json!("DENIED")),
        "{state}"
    );
    repository.read(large_digest).await.refused(404, "BLOB_UNKNOWN");
    assert_eq!(usage(&stack, PROJECT).await, [0; 3]);
    fitting.finalize(digest).await.expect(201);
    assert_eq!(usage(&stack, PROJECT).await, [10_000, 0, 0]);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.objects().await.len(), 1);
}

pub async fn lowered(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    stack.database.limit(PROJECT, [1_000_000, 10]).await;
    let image = repository.tagged("v1").await;
    let bytes = content(1_000);
    let open = repository.begin().await;
    let signed = open.sign(&[("size", "1000")]).await.expect(200).json();
    stack.database.limit(PROJECT, [0, 0]).await;
    let [used, reserved, tags] = usage(&stack, PROJECT).await;
    assert_eq!((reserved, tags), (1_000, 1));
    let query = [("presigned", "true"), ("size", "1")];
    let begin = repository.http.post(repository.url("uploads/")).query(&query).header("content-length", 0);
    assert_eq!(Answer::to(begin).await.refused(403, "DENIED"), short(1, 0, 0));
    // What had its room has it, what adds nothing is taken, and everything can be read and deleted.
    open.sign(&[]).await.expect(200);
    assert!(api::send(&open.http, &signed, bytes.clone()).await.status < 300);
    open.finalize(&digest_of(&bytes)).await.expect(201);
    repository.put("v1", &image).await.expect(201);
    repository.get("v1").await.expect(200);
    assert_eq!(usage(&stack, PROJECT).await, [used + 1_000, 0, 1]);
    repository.delete(image.digest()).await.expect(202);
    repository.delete_blob(&digest_of(&bytes)).await.expect(202);
    assert_eq!(usage(&stack, PROJECT).await, [used - image.payload.len() as u64, 0, 0]);
}
