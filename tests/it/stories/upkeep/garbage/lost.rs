//! Objects that somebody else removed or changed.

use std::sync::Arc;
use std::time::Duration;

use overside::storage::key;
use serde_json::Value;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository};

/// A look behind an answer takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn pushed_again(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(5_000);
    let digest = repository.push(&content).await;
    stack.settled().await;
    stack.store.lose(&digest).await;
    // The one client that meets it; a store does not tell us that it did.
    let _ = Answer::to(repository.http.get(repository.url(digest))).await;
    let asked = async {
        while Answer::to(repository.http.head(repository.url(digest))).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("it is asked for again");
    assert_eq!(repository.push(&content).await, digest);
    assert_eq!(repository.read(&digest).await.expect(200).body, content);
}

pub(super) async fn verified(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let contents = [1_000, 1_001, 1_002].map(api::content);
    let mut digests = Vec::new();
    for content in &contents {
        digests.push(repository.push(content).await);
    }
    stack.settled().await;
    stack.store.lose(&digests[0]).await;
    stack.store.write(key::blob(&digests[1]).as_str(), &[7; 1_001]).await;
    assert_eq!(verify(&stack, &[], 1).await, [3, 1, 0, 0], "sizes alone");
    assert_eq!(verify(&stack, &["--deep"], 1).await, [3, 1, 1, 0]);
    assert_eq!(api::digest_of(&repository.read(&digests[2]).await.expect(200).body), digests[2]);

    assert_eq!(verify(&stack, &["--deep", "--repair"], 1).await, [3, 1, 1, 0]);
    for (digest, status) in digests.iter().zip([404, 404, 200]) {
        assert_eq!(Answer::to(repository.http.head(repository.url(digest))).await.status, status, "{digest}");
    }
    assert_eq!(verify(&stack, &[], 1).await, [3, 0, 0, 2], "nobody has pushed them again");
    for content in &contents[..2] {
        repository.push(content).await;
    }
    stack.settled().await;
    assert_eq!(verify(&stack, &["--deep"], 0).await, [3, 0, 0, 0]);
}

/// Blobs checked, missing, wrong and lost before.
async fn verify(stack: &Stack, flags: &[&str], code: i32) -> [u64; 4] {
    let done = stack.command(&[&["verify", "--json"], flags].concat()).await;
    assert_eq!(done.code, Some(code), "{done:?}");
    let report: Value = serde_json::from_str(&done.stdout).expect("--json prints JSON and nothing else");
    ["checked_blobs", "missing_blobs", "wrong_blobs", "lost_blobs"]
        .map(|field| report[field].as_u64().expect(field))
}
