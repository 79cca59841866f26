//! URLs outlive their uploads: what is sent to them then.

use std::sync::Arc;

use super::{NAME, clean, report};
use crate::support::api::{self, Repository};
use crate::support::{Stack, Store};

pub async fn puts(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(3_000);
    let digest = api::digest_of(&content);
    let (completed, aborted) = (repository.begin().await, repository.begin().await);
    let query = [("size", "3000")];
    let signed =
        [completed.sign(&query).await.expect(200).json(), aborted.sign(&query).await.expect(200).json()];
    api::send(&completed.http, &signed[0], content.clone()).await.expect(200);
    completed.finalize(&digest).await.expect(201);
    aborted.abort().await.expect(204);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());

    let other = vec![7; 3_000];
    for signed in &signed {
        let late = api::send(&completed.http, signed, other.clone()).await;
        match &stack.store {
            // The bucket knows the URL's own end alone.
            Store::S3 { .. } => assert_eq!(late.status, 200, "{}", late.text()),
            // The service takes these itself, and knows better.
            Store::Filesystem { .. } => drop(late.refused(404, "BLOB_UPLOAD_UNKNOWN")),
        }
    }
    let left = stack.temp_leftovers().await.len() as u64;
    assert_eq!(left, if matches!(stack.store, Store::S3 { .. }) { 2 } else { 0 });
    assert_eq!(clean(&stack, &[]).await, report(0, 0, left, 0));

    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.blob_bytes(&digest).await, Some(content));
    assert_eq!(stack.objects().await.len(), 1);
    // And the sessions are what they were.
    completed.finalize(&digest).await.expect(201);
    aborted.state().await.expect(200);
    aborted.finalize(&digest).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
}
