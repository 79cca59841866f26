//! One limit for all replicas: each takes its share of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::json;

use super::{COUNTED_WITHIN, HELD_WITHIN, NAME, Stalled, refusal, set, until};
use crate::support::api::{Repository, Upload};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Stack, http};

/// A replica that died counts until it has missed three heartbeats of five seconds, and another has looked.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(40);
/// Less than a replica counts after its last heartbeat, and more than passes between two of another's.
const LEFT_WITHIN: Duration = Duration::from_secs(8);

pub fn cases() -> Vec<Story> {
    vec![
        ("of_two_replicas_each_lets_in_half_of_a_limit_rounded_up", shared),
        ("a_replica_that_is_killed_leaves_its_share_once_its_heartbeat_is_stale", killed),
        ("a_replica_that_stops_leaves_its_share_at_once", stopped),
    ]
}

/// So many uploads under way on a replica, and another one to be tried.
async fn busy(server: &Server, uploads: usize) -> (Vec<Stalled>, Upload) {
    let repository = Repository::of(server.base_url(), NAME);
    let stalled = join_all((0..uploads).map(|_| Stalled::begin(&repository))).await;
    (stalled, repository.begin().await)
}

fn shared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let here = stack.server(&[]).await;
        set(&http(), &here, json!({ "upload_concurrent": 4 })).await;
        let (mut ours, upload) = busy(&here, 4).await;
        let ask = || upload.patch(None, "");
        // Alone it has all of it.
        refusal(&ask().await);
        // Another one comes: what is under way stays, and nothing more is let in before it is within the share.
        let there = stack.server(&[]).await;
        tokio::time::sleep(COUNTED_WITHIN).await;
        let (theirs, further) = busy(&there, 2).await;
        refusal(&further.patch(None, "").await);
        for left in [3, 2] {
            ours.pop().expect("one of four").finish().await.expect(202);
            assert_eq!(ours.len(), left);
            refusal(&ask().await);
        }
        ours.pop().expect("one of two").finish().await.expect(202);
        ask().await.expect(202);
        // Three for each are six of five.
        set(&http(), &there, json!({ "upload_concurrent": 5 })).await;
        until(202, HELD_WITHIN, || further.patch(None, "")).await;
        let third = Stalled::begin(&Repository::of(there.base_url(), NAME)).await;
        refusal(&further.patch(None, "").await);
        set(&http(), &here, json!({ "upload_concurrent": -1 })).await;
        until(202, HELD_WITHIN, || further.patch(None, "")).await;
        for stalled in ours.into_iter().chain(theirs).chain([third]) {
            stalled.finish().await.expect(202);
        }
    }
    .boxed()
}

/// Two replicas, each with its share of four under way: two.
async fn pair(stack: &Stack, flags: &[&str]) -> (Server, Vec<Stalled>, Server, Vec<Stalled>, Upload) {
    let (here, there) = (stack.server(flags).await, stack.server(&[]).await);
    set(&http(), &there, json!({ "upload_concurrent": 4 })).await;
    tokio::time::sleep(COUNTED_WITHIN).await;
    let (ours, upload) = busy(&here, 2).await;
    refusal(&upload.patch(None, "").await);
    let (theirs, upload) = busy(&there, 2).await;
    refusal(&upload.patch(None, "").await);
    (here, ours, there, theirs, upload)
}

/// That a replica with two of four under way lets in two more, and then none.
async fn has_all_of_four(server: &Server, mut under_way: Vec<Stalled>) {
    let (further, upload) = busy(server, 2).await;
    refusal(&upload.patch(None, "").await);
    under_way.extend(further);
    for stalled in under_way {
        stalled.finish().await.expect(202);
    }
}

fn killed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (mut here, ours, there, theirs, upload) = pair(&stack, &[]).await;
        here.kill9();
        until(202, FORGOTTEN_WITHIN, || upload.patch(None, "")).await;
        has_all_of_four(&there, theirs).await;
        ours.into_iter().for_each(Stalled::break_off);
    }
    .boxed()
}

fn stopped(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (mut here, ours, there, theirs, upload) = pair(&stack, &["--shutdown-grace", "1s"]).await;
        let ended = here.terminate(Duration::from_secs(20)).await;
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        until(202, LEFT_WITHIN, || upload.patch(None, "")).await;
        has_all_of_four(&there, theirs).await;
        ours.into_iter().for_each(Stalled::break_off);
    }
    .boxed()
}
