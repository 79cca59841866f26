//! One limit for all replicas.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;

use super::{HELD_WITHIN, NAME, Stalled, TAKEN_UP, refusal, set, until};
use crate::support::api::Repository;
use crate::support::trial::Story;
use crate::support::{Stack, http};

/// What a replica that died had under way counts for some seconds more.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(30);

pub fn cases() -> Vec<Story> {
    vec![
        ("an_upload_on_one_replica_counts_on_the_others_within_a_second", counted),
        ("a_replica_that_is_killed_gives_its_slots_back", killed),
        ("a_replica_that_stops_gives_its_slots_back_at_once", stopped),
    ]
}

fn counted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (here, there) = (stack.server(&[]).await, stack.server(&[]).await);
        let (ours, theirs) = (Repository::of(here.base_url(), NAME), Repository::of(there.base_url(), NAME));
        // Set before anything is under way, and with it under way.
        set(&http(), &here, json!({ "upload_concurrent": 1 })).await;
        tokio::time::sleep(TAKEN_UP).await;
        let upload = theirs.begin().await;
        let ask = || upload.patch(None, "");
        ask().await.expect(202);
        let stalled = Stalled::begin(&ours).await;
        until(429, HELD_WITHIN, ask).await;
        refusal(&ask().await);
        stalled.finish().await.expect(202);
        until(202, HELD_WITHIN, ask).await;
        let stalled = Stalled::begin(&ours).await;
        set(&http(), &there, json!({ "upload_concurrent": 2 })).await;
        until(202, HELD_WITHIN, ask).await;
        set(&http(), &here, json!({ "upload_concurrent": 1 })).await;
        until(429, HELD_WITHIN, ask).await;
        set(&http(), &here, json!({ "upload_concurrent": -1 })).await;
        until(202, HELD_WITHIN, ask).await;
        stalled.finish().await.expect(202);
    }
    .boxed()
}

fn killed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (mut here, there) = (stack.server(&[]).await, stack.server(&[]).await);
        let (ours, theirs) = (Repository::of(here.base_url(), NAME), Repository::of(there.base_url(), NAME));
        set(&http(), &there, json!({ "upload_concurrent": 1 })).await;
        let stalled = Stalled::begin(&ours).await;
        let upload = theirs.begin().await;
        let ask = || upload.patch(None, "");
        until(429, 2 * HELD_WITHIN, ask).await;
        here.kill9();
        until(202, FORGOTTEN_WITHIN, ask).await;
        stalled.break_off();
    }
    .boxed()
}

fn stopped(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (mut here, there) = (stack.server(&["--shutdown-grace", "1s"]).await, stack.server(&[]).await);
        let (ours, theirs) = (Repository::of(here.base_url(), NAME), Repository::of(there.base_url(), NAME));
        set(&http(), &there, json!({ "upload_concurrent": 1 })).await;
        let stalled = Stalled::begin(&ours).await;
        let upload = theirs.begin().await;
        let ask = || upload.patch(None, "");
        until(429, 2 * HELD_WITHIN, ask).await;
        let ended = here.terminate(Duration::from_secs(20)).await;
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        until(202, HELD_WITHIN, ask).await;
        stalled.break_off();
    }
    .boxed()
}
