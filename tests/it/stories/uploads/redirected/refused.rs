//! Who and what is not redirected.

use std::sync::Arc;

use serde_json::json;

use super::{CONTAINERD, NAME, SIZE, blob, follow, put, put_as, redirect, status};
use crate::stories::upkeep::quotas::usage;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, content, digest_of};

/// What clients call themselves that take a redirect for a success, or for an error, or want more of the store than its
/// plain 200.
const OTHERS: [&str; 9] = [
    "containerd/2.1.9+unknown",
    "containerd/1.7.29",
    "buildkit/v0.25.2",
    "docker/28.5.2 go/go1.24.9 git-commit/89c5e8f kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/28.5.2 \\(linux\\))",
    "containers/5.36.2 (github.com/containers/image)",
    "skopeo/1.18.0",
    "regclient/regctl (v0.11.7)",
    "oras/1.3.6",
    "curl/8.14.1",
];

pub async fn unknown(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    for (seed, agent) in OTHERS.iter().enumerate() {
        let (bytes, upload) = (blob(seed), repository.begin().await);
        let digest = digest_of(&bytes);
        Answer::to(put_as(agent, &upload, &bytes, &digest)).await.expect(201);
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
    }
}

pub async fn small(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let bytes = content(SIZE - 1);
    Answer::to(put(&repository.begin().await, &bytes, &digest_of(&bytes))).await.expect(201);
    // What has begun to come in this way goes on so.
    let (bytes, upload) = (blob(0), repository.begin().await);
    upload.patch(None, bytes[..10].to_vec()).await.expect(202);
    Answer::to(put(&upload, &bytes[10..], &digest_of(&bytes))).await.expect(201);
    // And no body is none to send elsewhere.
    let upload = repository.begin().await;
    upload.put(&blob(1)).await;
    Answer::to(put(&upload, &[], &digest_of(&blob(1)))).await.expect(201);
}

pub async fn turned_off(stack: Arc<Stack>) {
    let server = stack.server(&["--redirect-uploads", "off"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let push = async |seed| {
        let bytes = blob(seed);
        Answer::to(put(&repository.begin().await, &bytes, &digest_of(&bytes))).await.status
    };
    assert_eq!(push(0).await, 201);
    let set = async |value: serde_json::Value| {
        let url = format!("{}/api/v2.0/configurations", server.base_url());
        Answer::to(repository.http.put(url).json(&value)).await.expect(200);
    };
    set(json!({ "redirect_uploads": "auto" })).await;
    assert_eq!(push(1).await, 307);
    set(json!({ "redirect_uploads_above": 2 * SIZE })).await;
    assert_eq!(push(2).await, 201);
    set(json!({ "redirect_uploads_above": 0 })).await;
    assert_eq!(push(3).await, 307);
    set(json!({ "redirect_uploads_above": -1 })).await;
    assert_eq!(push(4).await, 201);
    set(json!({ "redirect_uploads": null, "redirect_uploads_above": null })).await;
    assert_eq!(push(5).await, 201);
}

pub async fn otherwise(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (bytes, upload) = (blob(0), repository.begin().await);
    let digest = digest_of(&bytes);
    let first = redirect(&upload, &bytes, &digest).await;
    upload.patch(None, bytes.clone()).await.refused(400, "BLOB_UPLOAD_INVALID");
    upload.sign(&[("size", &bytes.len().to_string())]).await.refused(400, "BLOB_UPLOAD_INVALID");
    let (longer, other) = (blob(1), content(SIZE + 3)[3..].to_vec());
    Answer::to(put(&upload, &longer, &digest)).await.refused(400, "SIZE_INVALID");
    Answer::to(put(&upload, &bytes, &digest_of(&other))).await.refused(400, "DIGEST_INVALID");
    // Sent again it is redirected again, whatever its client says that it is now.
    let again = Answer::to(put_as("something/1.0", &upload, &bytes, &digest)).await.expect(307);
    let again = again.header("location").expect("a Location").to_owned();
    follow(&upload, &again, &bytes).await.expect(200);
    follow(&upload, &first, &bytes).await;
    upload.finalize(&digest).await.expect(201);
    Answer::to(put(&upload, &bytes, &digest)).await.expect(201);
}

pub async fn full(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    stack.database.limit("team", [i64::try_from(SIZE * 3 / 2).expect("small"), -1]).await;
    let (bytes, upload) = (blob(0), repository.begin().await);
    let digest = digest_of(&bytes);
    let url = redirect(&upload, &bytes, &digest).await;
    // Reserved once, however often it is redirected.
    redirect(&upload, &bytes, &digest).await;
    // And what is refused takes no room.
    Answer::to(put(&upload, &blob(9), &digest)).await.refused(400, "SIZE_INVALID");
    assert_eq!(usage(&stack, "team").await, [0, bytes.len() as u64, 0]);
    let (more, second) = (blob(1), repository.begin().await);
    Answer::to(put_as(CONTAINERD, &second, &more, &digest_of(&more))).await.refused(403, "DENIED");
    assert_eq!(status(&second).await, "pending");
    follow(&upload, &url, &bytes).await.expect(200);
    upload.finalize(&digest).await.expect(201);
    assert_eq!(usage(&stack, "team").await, [bytes.len() as u64, 0, 0]);
    let third = Answer::to(put(&repository.begin().await, &more, &digest_of(&more))).await;
    third.refused(403, "DENIED");
    stack.settled().await;
}
