//! Redirected uploads that come to nothing.

use std::sync::Arc;

use chrono::TimeDelta;

use super::{NAME, blob, follow, push_manifest, redirect, status};
use crate::stories::upkeep::quotas::usage;
use crate::support::Stack;
use crate::support::api::{Repository, digest_of};

pub async fn aborted(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (bytes, upload) = (blob(0), repository.begin().await);
    let digest = digest_of(&bytes);
    let url = redirect(&upload, &bytes, &digest).await;
    upload.abort().await.expect(204);
    assert_eq!(usage(&stack, "team").await, [0, 0, 0]);
    // The client had not noticed.
    follow(&upload, &url, &bytes).await.expect(200);
    push_manifest(&repository, &[digest]).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(status(&upload).await, "aborted");
    nothing_is_left(&stack).await;
}

pub async fn expired(stack: Arc<Stack>) {
    const PUT_BACK: &str = "UPDATE blob_upload_session SET expires_at = $1, due_at = $1 WHERE $1 <= $2";
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    stack.database.limit("team", [1 << 40, -1]).await;
    let (bytes, upload) = (blob(0), repository.begin().await);
    let digest = digest_of(&bytes);
    let url = redirect(&upload, &bytes, &digest).await;
    assert_eq!(usage(&stack, "team").await, [0, bytes.len() as u64, 0]);
    assert_eq!(stack.database.write(PUT_BACK, [TimeDelta::minutes(-1), TimeDelta::zero()]).await, 1);
    let cleanup = stack.command(&["cleanup"]).await;
    assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
    upload.state().await.refused(410, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(usage(&stack, "team").await, [0, 0, 0]);
    follow(&upload, &url, &bytes).await;
    push_manifest(&repository, &[digest]).await.refused(404, "MANIFEST_BLOB_UNKNOWN");
    nothing_is_left(&stack).await;
}

async fn nothing_is_left(stack: &Stack) {
    let cleanup = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
    assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
