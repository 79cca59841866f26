//! When a blob goes.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;

use super::{NAME, NO_GRACE, age, collect, published, push_image, report, tag_image};
use crate::support::Stack;
use crate::support::api::{Answer, Repository, digest_of};

const HOUR: [&str; 2] = ["--gc-grace", "1h"];

pub async fn unlinked(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let [ours, theirs] = ["ours/model", "theirs/model"].map(|name| Repository::of(server.base_url(), name));
    let digest = ours.push(b"shared").await;
    theirs.push(b"shared").await;
    stack.settled().await;

    ours.delete_blob(&digest).await.expect(202);
    assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 0, 0, 0), "another repository has it");
    theirs.delete_blob(&digest).await.expect(202);
    assert_eq!(collect(&stack, &HOUR).await, report(0, 0, 0, 0), "an hour has not passed");
    assert_eq!(published(&stack).await, [digest]);
    age(&stack, TimeDelta::hours(2)).await;
    assert_eq!(collect(&stack, &HOUR).await, report(0, 1, 0, 6));
    assert_eq!(published(&stack).await, []);

    ours.push(b"shared").await;
    assert_eq!(ours.read(&digest).await.expect(200).body.as_ref(), b"shared");
    assert_eq!(published(&stack).await, [digest]);
}

pub async fn unreferenced(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let image = push_image(&repository, "v1", &[b"config", b"layer"]).await;
    stack.settled().await;
    assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 0, 0, 0));

    repository.delete(image).await.expect(202);
    assert_eq!(collect(&stack, &HOUR).await, report(0, 0, 0, 0), "an hour has not passed");
    repository.read(&digest_of(b"layer")).await.expect(200);
    age(&stack, TimeDelta::hours(2)).await;
    assert_eq!(collect(&stack, &HOUR).await, report(2, 0, 0, 0), "their tombstones are new");
    repository.read(&digest_of(b"layer")).await.refused(404, "BLOB_UNKNOWN");
    assert_eq!(published(&stack).await.len(), 2);
    age(&stack, TimeDelta::hours(2)).await;
    assert_eq!(collect(&stack, &HOUR).await, report(0, 2, 0, 11));
    assert_eq!(published(&stack).await, []);
    assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 0, 0, 0));
}

pub async fn shared(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let [ours, theirs] = ["ours/app", "theirs/app"].map(|name| Repository::of(server.base_url(), name));
    let first = push_image(&ours, "v1", &[b"config 1", b"base"]).await;
    let second = push_image(&ours, "v2", &[b"config 2", b"base"]).await;
    let elsewhere = push_image(&theirs, "v1", &[b"config 1", b"base"]).await;
    stack.settled().await;

    ours.delete(first).await.expect(202);
    assert_eq!(collect(&stack, &NO_GRACE).await, report(1, 0, 0, 0), "the config, which theirs has");
    theirs.delete(elsewhere).await.expect(202);
    assert_eq!(collect(&stack, &NO_GRACE).await, report(2, 1, 0, 8));
    assert_eq!(ours.read(&digest_of(b"base")).await.expect(200).body.as_ref(), b"base");
    theirs.read(&digest_of(b"base")).await.refused(404, "BLOB_UNKNOWN");
    ours.delete(second).await.expect(202);
    assert_eq!(collect(&stack, &NO_GRACE).await, report(2, 2, 0, 12));
    assert_eq!(published(&stack).await, []);
}

pub async fn plain(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let digest = repository.push(b"a model").await;
    stack.settled().await;
    age(&stack, TimeDelta::days(365)).await;
    assert_eq!(collect(&stack, &NO_GRACE).await, report(0, 0, 0, 0));
    assert_eq!(repository.read(&digest).await.expect(200).body.as_ref(), b"a model");
}

/// What a client does that finds a layer there and pushes its manifest only.
pub async fn asked_for(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let image = push_image(&repository, "v1", &[b"config", b"layer"]).await;
    let (config, layer) = (digest_of(b"config"), digest_of(b"layer"));
    repository.delete(image).await.expect(202);
    stack.settled().await;
    age(&stack, TimeDelta::hours(2)).await;

    Answer::to(repository.http.head(repository.url(layer))).await.expect(200);
    // Reading is no reason to keep it.
    repository.read(&config).await.expect(200);
    assert_eq!(collect(&stack, &HOUR).await, report(1, 0, 0, 0));
    let descriptor = json!({ "mediaType": "a/b", "digest": layer, "size": 5 });
    tag_image(&repository, "v2", &[descriptor.clone(), descriptor]).await;
    age(&stack, TimeDelta::hours(2)).await;
    assert_eq!(collect(&stack, &HOUR).await, report(0, 1, 0, 6));
    assert_eq!(published(&stack).await, [layer]);
}

pub async fn pushed_again(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let image = push_image(&repository, "v1", &[b"config", b"layer"]).await;
    repository.delete(image).await.expect(202);
    repository.push(b"layer").await;
    stack.settled().await;

    age(&stack, TimeDelta::days(365)).await;
    assert_eq!(collect(&stack, &NO_GRACE).await, report(1, 1, 0, 6), "the config alone");
    let again = push_image(&repository, "v1", &[b"config", b"layer"]).await;
    assert_eq!(again, image);
    repository.delete(image).await.expect(202);
    stack.settled().await;
    assert_eq!(collect(&stack, &NO_GRACE).await, report(2, 2, 0, 11));
    assert_eq!(published(&stack).await, []);
}
