//! What happens while a blob is being removed.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use overside::domain::digest::Digest;
use overside::storage::key;

use super::{NAME, NO_GRACE, collect, published, report};
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::{Stack, Store};

/// Lets a collector have claimed every blob and have died, with so much left of its right.
async fn claim(stack: &Stack, left: TimeDelta) {
    const POSTGRES: &str =
        "UPDATE blob SET unlinked_at = $1, removal_id = gen_random_uuid(), removing_until = $2";
    const SQLITE: &str = "UPDATE blob SET unlinked_at = $1, removal_id = randomblob(16), removing_until = $2";
    let sql = match stack.store {
        Store::S3 { .. } => POSTGRES,
        Store::Filesystem { .. } => SQLITE,
    };
    assert!(stack.database.write(sql, [-TimeDelta::hours(1), left]).await > 0);
}

async fn remove_object(stack: &Stack, path: &str) {
    match &stack.store {
        Store::S3 { client, prefix, .. } => {
            let delete = client.delete_object().bucket(crate::support::servers::BUCKET);
            delete.key(format!("{prefix}/{path}")).send().await.expect("it is deleted");
        }
        Store::Filesystem { root } => std::fs::remove_file(root.join(path)).expect("it is deleted"),
    }
}

pub async fn outlasted(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    for is_deleted in [false, true] {
        let digest = repository.push(b"wanted again").await;
        stack.settled().await;
        repository.delete_blob(&digest).await.expect(202);
        // From before the claim: the right to delete ends no earlier, however long writing it takes.
        let end = Instant::now() + Duration::from_millis(1_400);
        claim(&stack, TimeDelta::milliseconds(1_500)).await;
        if is_deleted {
            let objects = stack.objects().await;
            remove_object(&stack, &objects[0].0).await;
        }
        repository.push(b"wanted again").await;
        assert!(Instant::now() >= end, "the right to delete had not ended");
        assert_eq!(repository.read(&digest).await.expect(200).body.as_ref(), b"wanted again");
        assert_eq!(published(&stack).await, [digest]);
        assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 0, 0, 0));
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn mounted(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let [ours, theirs] = ["ours/model", "theirs/model"].map(|name| Repository::of(server.base_url(), name));
    let digest = ours.push(b"on its way out").await;
    stack.settled().await;
    ours.delete_blob(&digest).await.expect(202);
    claim(&stack, TimeDelta::minutes(5)).await;
    let query = [("mount", digest.to_string()), ("from", "ours/model".to_owned())];
    let mount = theirs.http.post(theirs.url("uploads/")).query(&query).header("content-length", 0);
    Answer::to(mount).await.expect(202);
    theirs.read(&digest).await.refused(404, "BLOB_UNKNOWN");
}

pub async fn taken_over(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let digest = repository.push(b"half removed").await;
    stack.settled().await;
    repository.delete_blob(&digest).await.expect(202);
    claim(&stack, TimeDelta::minutes(5)).await;
    assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 0, 0, 0), "somebody may be at it");
    assert_eq!(published(&stack).await, [digest]);
    claim(&stack, -TimeDelta::seconds(1)).await;
    assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 1, 0, 12));
    assert_eq!(published(&stack).await, []);
}

/// Lets a replica be about to publish as this digest, with so much left of its lease.
async fn publish(stack: &Stack, digest: &Digest, left: TimeDelta) {
    let sql = format!(
        "UPDATE blob_upload_session SET status = 'finalizing', transfer_mode = 'put', claimed_digest = {},
            lease_owner = upload_uuid, lease_expires_at = $1, updated_at = $2 WHERE status IN ('pending', 'finalizing')",
        stack.database.bytes(digest)
    );
    assert_eq!(stack.database.write(sql.leak(), [left, TimeDelta::zero()]).await, 1);
}

pub async fn strays(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let kept = repository.push(b"kept").await;
    stack.settled().await;
    let stray = digest_of(b"stray");
    stack.store.write(key::blob(&stray).as_str(), b"stray").await;
    assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 0, 0, 0), "an hour has not passed");
    repository.read(&stray).await.refused(404, "BLOB_UNKNOWN");

    // Stores tell ages in whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    repository.begin().await;
    publish(&stack, &stray, TimeDelta::minutes(5)).await;
    let swept = collect(&stack, &["--sweep-grace", "1ms"]).await;
    assert_eq!(swept, report(0, 0, 0, 0), "its row may come any moment");
    publish(&stack, &stray, -TimeDelta::seconds(1)).await;
    let swept = collect(&stack, &["--sweep-grace", "1ms"]).await;
    assert_eq!(swept, report(0, 0, 1, 5));
    assert_eq!(published(&stack).await, [kept]);

    // Adopted, where somebody pushes what a crash has left.
    stack.store.write(key::blob(&stray).as_str(), b"stray").await;
    repository.push(b"stray").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(collect(&stack, &["--sweep-grace", "1ms"]).await, report(0, 0, 0, 0));
    assert_eq!(repository.read(&stray).await.expect(200).body.as_ref(), b"stray");
}
