//! Replicas whose clocks are minutes apart, by libfaketime: deadlines are compared by the database's clock.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::FutureExt;
use overside::domain::clock::Clock;

use crate::support::api::{self, Repository, digest_of, send};
use crate::support::holding::HoldingProxy;
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Servers, Stack, Store};

const NAME: &str = "team/app/model";
/// More than any lease, claim or lifetime here, and less than what a store lets a signature be off: 15 minutes.
const AHEAD: &str = "+5m";
/// What a finalizer that takes the blob over too early needs for it, on an idle machine.
const HEAD_START: Duration = Duration::from_secs(3);

pub fn cases() -> Vec<Story> {
    vec![
        ("a_finalizer_minutes_ahead_loses_no_blob_to_a_removal_that_is_under_way", |stack| {
            removal(stack).boxed()
        }),
        ("a_cleaner_minutes_ahead_ends_no_upload_and_takes_no_lease", |stack| cleaner(stack).boxed()),
        ("a_url_that_a_replica_minutes_ahead_has_signed_works_and_ends_with_the_real_time", |stack| {
            urls(stack).boxed()
        }),
    ]
}

/// The binary on a machine whose clock is ahead.
fn ahead(stack: &Stack) -> Command {
    let library = Servers::from_environment().faketime.expect("the story runs where it is");
    let mut command = stack.binary();
    command.env("LD_PRELOAD", library).env("FAKETIME", AHEAD).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

async fn server_ahead(stack: &Stack, flags: &[&str]) -> Server {
    Server::start(ahead(stack).arg("serve").args(flags), &stack.folder().join("ahead.log")).await
}

async fn removal(stack: Arc<Stack>) {
    let Store::S3 { endpoint, .. } = &stack.store else { unreachable!("runs where there is a wire") };
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let digest = repository.push(b"wanted again").await;
    stack.settled().await;
    repository.delete_blob(&digest).await.expect(202);

    let proxy = HoldingProxy::in_front_of(endpoint, "DELETE", "/blobs/").await;
    let mut collector = stack.binary();
    collector.env("OVERSIDE_S3_ENDPOINT", proxy.url().as_str().trim_end_matches('/'));
    collector.args(["gc", "--gc-grace", "0s"]);
    let collecting = Arc::clone(&stack);
    let collecting = tokio::spawn(async move { collecting.run(&mut collector).await });
    proxy.holds_one().await;

    let fast = server_ahead(&stack, &[]).await;
    let again = Repository::of(fast.base_url(), NAME);
    let mut pushing = tokio::spawn(async move { again.push(b"wanted again").await });
    let early = tokio::time::timeout(HEAD_START, &mut pushing).await;
    proxy.release();
    let collected = collecting.await.expect("it ends");
    assert_eq!(collected.code, Some(0), "{collected:?}");
    if early.is_err() {
        pushing.await.expect("it is pushed once the removal has ended");
    }
    stack.settled().await;
    assert_eq!(repository.read(&digest).await.expect(200).body.as_ref(), b"wanted again");
    assert_eq!(stack.blob_hash(&digest).await, Some(digest));
}

async fn cleaner(stack: Arc<Stack>) {
    let server = stack.server(&["--upload-lifetime", "2m", "--clean-interval", "1h"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let upload = repository.begin().await;
    let cleaned = stack.run(ahead(&stack).args(["cleanup", "--sweep-grace", "2m"])).await;
    assert_eq!(cleaned.code, Some(0), "{cleaned:?}");
    let state = upload.state().await.expect(200).json();
    assert_eq!(state["status"], "pending", "{state}");

    // Somebody finalizes it, with a minute left of the lease.
    let finalizing = format!(
        "UPDATE blob_upload_session SET status = 'finalizing', transfer_mode = 'put', claimed_digest = {},
            lease_owner = upload_uuid, lease_expires_at = $1, updated_at = $2 WHERE status = 'pending'",
        stack.database.bytes(&digest_of(b"on its way"))
    );
    let changed = stack.database.write(finalizing.leak(), [TimeDelta::minutes(1), TimeDelta::zero()]).await;
    assert_eq!(changed, 1);
    let _fast = server_ahead(&stack, &["--clean-interval", "100ms"]).await;
    tokio::time::sleep(HEAD_START).await;
    let state = upload.state().await.expect(200).json();
    assert_eq!(state["status"], "finalizing", "{state}");
}

async fn urls(stack: Arc<Stack>) {
    let fast = server_ahead(&stack, &[]).await;
    let repository = Repository::of(fast.base_url(), NAME);
    let content = api::content(100_000);
    let digest = digest_of(&content);
    let upload = repository.begin().await;
    let signed = upload.sign(&[("size", "100000")]).await.expect(200).json();
    let end = signed["expires_at"].as_str().expect("a time").parse::<DateTime<Utc>>().expect("a time");
    let life = end - Clock::System.now();
    assert!(life <= TimeDelta::minutes(15), "{life}, where a URL lives for 15 minutes by default");
    send(&upload.http, &signed, content.clone()).await.expect(200);
    upload.finalize(&digest).await.expect(201);
    assert!(repository.read(&digest).await.expect(200).body == content);
}
