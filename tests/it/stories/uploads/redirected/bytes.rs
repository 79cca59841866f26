//! What arrives is not always what was to be sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{NAME, blob, follow, push_manifest, redirect, sent, status};
use crate::stories::upkeep::quotas::usage;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, digest_of};

/// For an answer that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(15);

pub async fn wrong(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (bytes, upload) = (blob(0), repository.begin().await);
    let other: Vec<u8> = bytes.iter().rev().copied().collect();
    let (digest, found) = (digest_of(&bytes), digest_of(&other));
    let url = redirect(&upload, &bytes, &digest).await;
    // A store that holds the URL to the digest refuses it.
    if follow(&upload, &url, &other).await.status < 300 {
        let message = push_manifest(&repository, &[digest]).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
        // The worker may have been faster: then the reason is the session's to tell.
        assert!(message.contains("push that first"), "{message}");
        assert_eq!(status(&upload).await, "failed");
    }
    push_manifest(&repository, &[digest]).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
    for digest in [digest, found] {
        assert_eq!(Answer::to(repository.http.head(repository.url(digest))).await.status, 404);
    }
    // Only the config, whose manifest was refused.
    stack.settled().await;
    assert_eq!(stack.objects().await.len(), 1);
    assert_eq!(usage(&stack, "team").await, [2, 0, 0]);
    // And the true bytes are welcome.
    let (_, digest) = sent(&repository, &bytes).await;
    push_manifest(&repository, &[digest]).await.expect(201);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn none(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    // What is not limited is not reserved.
    stack.database.limit("team", [1 << 40, -1]).await;
    let (bytes, upload) = (blob(0), repository.begin().await);
    let digest = digest_of(&bytes);
    let url = redirect(&upload, &bytes, &digest).await;
    let began = Instant::now();
    push_manifest(&repository, &[digest]).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(Answer::to(repository.http.head(repository.url(digest))).await.status, 404);
    upload.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
    assert!(began.elapsed() < AT_ONCE, "nobody is waited for who is still sending: {:?}", began.elapsed());
    assert_eq!(status(&upload).await, "uploading");
    assert_eq!(usage(&stack, "team").await[1], bytes.len() as u64);
    follow(&upload, &url, &bytes).await.expect(200);
    push_manifest(&repository, &[digest]).await.expect(201);
}

pub async fn of_another_length(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (bytes, upload) = (blob(0), repository.begin().await);
    let url = redirect(&upload, &bytes, &digest_of(&bytes)).await;
    for other in [&bytes[1..], &[&bytes[..], b"x"].concat()] {
        let status = follow(&upload, &url, other).await.status;
        assert!((400..500).contains(&status), "{status}");
    }
    assert_eq!(stack.store.leftovers().await, Vec::<String>::new());
    assert_eq!(status(&upload).await, "uploading");
}

/// By the holder of a URL that lives on.
pub async fn replaced(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (bytes, upload) = (blob(0), repository.begin().await);
    let other: Vec<u8> = bytes.iter().rev().copied().collect();
    let digest = digest_of(&bytes);
    let url = redirect(&upload, &bytes, &digest).await;
    follow(&upload, &url, &bytes).await.expect(200);
    push_manifest(&repository, &[digest]).await.expect(201);
    follow(&upload, &url, &other).await;
    assert!(repository.read(&digest).await.expect(200).body == bytes);
    assert_eq!(stack.blob_hash(&digest).await, Some(digest));
    let cleanup = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
    assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.blob_hash(&digest).await, Some(digest));
}
