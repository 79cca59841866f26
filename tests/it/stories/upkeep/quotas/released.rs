//! What comes back.

use std::io::Error;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use reqwest::Body;

use super::{NAME, PROJECT, usage};
use crate::support::api::{self, Repository, Upload, content, digest_of};
use crate::support::{Stack, raw};

const LIMIT: i64 = 20_000_000;

const LEASES: &str = "UPDATE blob_upload_session SET lease_expires_at = $1, due_at = expires_at
    WHERE lease_expires_at IS NOT NULL AND $1 < $2";

/// Lets the time of every open session be up.
async fn age(stack: &Stack) {
    const SQL: &str = "UPDATE blob_upload_session SET expires_at = $1, due_at = $1
        WHERE ended_at IS NULL AND $1 < $2";
    assert!(stack.database.write(SQL, [-TimeDelta::minutes(1), TimeDelta::zero()]).await > 0);
}

async fn clean(stack: &Stack) {
    let done = stack.command(&["cleanup"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
}

/// One upload of each kind with all its bytes in the store, which are held for it, not finalized.
async fn one_of_each(repository: &Repository, bytes: &[u8]) -> [Upload; 3] {
    let (put, multipart, proxied) =
        (repository.begin().await, repository.begin().await, repository.begin().await);
    put.put(bytes).await;
    let size = bytes.len().to_string();
    let signed = multipart.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    api::send_parts(&multipart.http, &signed, bytes).await;
    proxied.patch(None, bytes.to_vec()).await.expect(202);
    [put, multipart, proxied]
}

pub async fn ended(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    stack.database.limit(PROJECT, [LIMIT, -1]).await;
    let bytes = content(6_000);

    for upload in one_of_each(&repository, &bytes).await {
        let [_, held, _] = usage(&stack, PROJECT).await;
        upload.abort().await.expect(204);
        upload.abort().await.expect(204);
        assert_eq!(usage(&stack, PROJECT).await, [0, held - 6_000, 0]);
    }
    for upload in one_of_each(&repository, &bytes).await {
        let [_, held, _] = usage(&stack, PROJECT).await;
        upload.finalize(&digest_of(b"something else")).await.refused(400, "DIGEST_INVALID");
        assert_eq!(usage(&stack, PROJECT).await, [0, held - 6_000, 0]);
    }
    one_of_each(&repository, &bytes).await;
    assert_eq!(usage(&stack, PROJECT).await, [0, 18_000, 0]);
    age(&stack).await;
    assert_eq!(usage(&stack, PROJECT).await, [0, 18_000, 0]);
    clean(&stack).await;
    assert_eq!(usage(&stack, PROJECT).await, [0; 3]);
    // The same bytes by each way: what was held becomes what is there, once.
    for upload in one_of_each(&repository, &bytes).await {
        upload.finalize(&digest_of(&bytes)).await.expect(201);
        upload.finalize(&digest_of(&bytes)).await.expect(201);
    }
    assert_eq!(usage(&stack, PROJECT).await, [6_000, 0, 0]);
    // A body that breaks off in the middle, of a session that its client never learned of.
    let head = format!(
        "POST /v2/{NAME}/blobs/uploads/?digest={} HTTP/1.1\r\nhost: test\r\ncontent-length: 6000\r\n\r\nhalf",
        digest_of(&content(5_999))
    );
    raw::break_off(server.base_url(), head).await;
    assert_eq!(usage(&stack, PROJECT).await, [6_000, 0, 0]);
    clean(&stack).await;
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn killed(stack: Arc<Stack>) {
    let bytes = content(6_000);
    stack.server(&["--clean-interval", "1h"]).await.kill9();
    stack.database.limit(PROJECT, [LIMIT, -1]).await;
    for round in 0..3_u64 {
        let mut server = stack.server(&["--clean-interval", "1h"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let uploads = one_of_each(&repository, &bytes).await;
        // In the middle of a body, and of whatever finalizing does.
        let mut patch = tokio::spawn({
            let upload = repository.begin().await;
            async move {
                let body = endless(b"the beginning");
                let _ =
                    upload.http.patch(&upload.url).header("content-length", 9_000).body(body).send().await;
            }
        });
        let digest = digest_of(&bytes);
        let finalize = tokio::spawn({
            let [put, ..] = uploads.clone();
            async move { drop(put.http.put(&put.url).query(&[("digest", digest.to_string())]).send().await) }
        });
        tokio::time::sleep(Duration::from_millis(20 * round)).await;
        server.kill9();
        let _ = tokio::time::timeout(Duration::from_secs(10), &mut patch).await;
        patch.abort();
        finalize.await.expect("it ended");
        let [stored, held, _] = usage(&stack, PROJECT).await;
        assert!(held >= 12_000, "{held}: a crash gives nothing back by itself");
        assert!(stored == 0 || stored == 6_000, "{stored}");
        age(&stack).await;
        // Leases of the dead run out by themselves; here they have.
        stack.database.write(LEASES, [-TimeDelta::minutes(1), TimeDelta::zero()]).await;
        clean(&stack).await;
        assert_eq!(usage(&stack, PROJECT).await, [stored, 0, 0]);
    }
}

/// A body that never ends by itself.
fn endless(beginning: &'static [u8]) -> Body {
    Body::wrap_stream(stream::iter([Ok::<_, Error>(beginning)]).chain(stream::pending()))
}

pub async fn collected(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    stack.database.limit(PROJECT, [1_000_000, 10]).await;
    let image = repository.tagged("v1").await;
    let layers = usage(&stack, PROJECT).await[0] - image.payload.len() as u64;
    repository.delete(image.digest()).await.expect(202);
    assert_eq!(usage(&stack, PROJECT).await, [layers, 0, 0], "its layers stay for a grace");
    stack.settled().await;
    let done = stack.command(&["gc", "--gc-grace", "0s"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(usage(&stack, PROJECT).await, [0; 3]);
    assert_eq!(stack.objects().await, []);
    // Full, and empty again, as often as one likes.
    stack.database.limit(PROJECT, [6_000, -1]).await;
    for _ in 0..3 {
        let digest = repository.push(&content(6_000)).await;
        assert_eq!(usage(&stack, PROJECT).await, [6_000, 0, 0]);
        repository.delete_blob(&digest).await.expect(202);
        assert_eq!(usage(&stack, PROJECT).await, [0; 3]);
    }
}
