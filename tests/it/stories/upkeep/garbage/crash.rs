//! A collector killed on the wire, just before or after each thing that it says, and what a push makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use chrono::TimeDelta;
use overside::domain::digest::Digest;
use url::Url;

use super::{NAME, NO_GRACE, collect, published};
use crate::support::api::Repository;
use crate::support::process::{Process, signal};
use crate::support::{FaultProxy, Stack, Store, Strike};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Store,
    Database,
}

/// Far more than one collection says to either.
const MOST_STEPS: u64 = 100;
const COMMAND_LIMIT: Duration = Duration::from_mins(1);
/// Moments of a collection's life, where there is no wire: it ends within some tens of milliseconds.
const MOMENTS: [u64; 8] = [2, 5, 8, 12, 18, 25, 40, 80];

pub async fn survives(stack: Arc<Stack>, wire: Wire) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    if let Store::Filesystem { .. } = stack.store {
        for (number, moment) in MOMENTS.into_iter().enumerate() {
            let digest = unlinked(&stack, &repository, number).await;
            let mut victim = Process::spawn(stack.binary().arg("gc").args(NO_GRACE));
            tokio::time::sleep(Duration::from_millis(moment)).await;
            signal(victim.id(), "-KILL");
            assert!(victim.wait(COMMAND_LIMIT).await.is_some());
            recover(&stack, &repository, number, digest).await;
        }
        return;
    }
    let sides: &[Strike] = match wire {
        Wire::Store => &[Strike::Before, Strike::After],
        Wire::Database => &[Strike::After],
    };
    let mut number = 0;
    for side in sides {
        for step in 1.. {
            assert!(step < MOST_STEPS, "the {step}th request to the {wire:?} is still to come");
            number += 1;
            let digest = unlinked(&stack, &repository, number).await;
            let is_struck = strike(&stack, wire, *side, step).await;
            recover(&stack, &repository, number, digest).await;
            if !is_struck {
                // The listing and one removal, or what it takes to find and to claim one.
                assert!(step > 2, "{step} requests to the {wire:?}");
                break;
            }
        }
    }
}

fn content(number: usize) -> Vec<u8> {
    format!("content {number}").into_bytes()
}

/// A blob that the next collection removes.
async fn unlinked(stack: &Stack, repository: &Repository, number: usize) -> Digest {
    let digest = repository.push(&content(number)).await;
    stack.settled().await;
    repository.delete_blob(&digest).await.expect(202);
    digest
}

/// One collection that is killed at its `step`-th request on a wire, if it has so many.
async fn strike(stack: &Stack, wire: Wire, side: Strike, step: u64) -> bool {
    let Store::S3 { endpoint, .. } = &stack.store else { unreachable!("struck where there is a wire") };
    let target = match wire {
        Wire::Store => endpoint.as_str().trim_end_matches('/').to_owned(),
        Wire::Database => stack.database.url(),
    };
    let proxy = FaultProxy::in_front_of(&Url::parse(&target).expect("a URL")).await;
    let through = proxy.url().as_str().trim_end_matches('/').to_owned();
    let flag = match wire {
        Wire::Store => "--s3-endpoint",
        Wire::Database => "--database",
    };
    let pid = Arc::new(AtomicU32::new(0));
    let victim_pid = Arc::clone(&pid);
    proxy.arm(step, side, move || {
        // It says nothing before its number is known.
        while victim_pid.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        signal(victim_pid.load(SeqCst), "-KILL");
    });
    let mut victim = Process::spawn(stack.binary().arg("gc").args(NO_GRACE).args([flag, &through]));
    pid.store(victim.id(), SeqCst);
    assert!(victim.wait(COMMAND_LIMIT).await.is_some(), "it ends by itself or by the strike");
    !proxy.is_armed()
}

/// Whatever was done of it: a push ends with the blob in its place, and the next collection does the rest.
async fn recover(stack: &Stack, repository: &Repository, number: usize, digest: Digest) {
    const TIME_IS_UP: &str = "UPDATE blob SET removing_until = $1 WHERE removing_until > $1 AND $1 < $2";
    repository.read(&digest).await.refused(404, "BLOB_UNKNOWN");
    stack.database.write(TIME_IS_UP, [-TimeDelta::seconds(1), TimeDelta::zero()]).await;
    let is_pushed_again = number.is_multiple_of(2);
    if is_pushed_again {
        repository.push(&content(number)).await;
        assert_eq!(repository.read(&digest).await.expect(200).body, content(number));
        assert_eq!(published(stack).await, [digest]);
        collect(stack, &NO_GRACE).await;
        assert_eq!(repository.read(&digest).await.expect(200).body, content(number));
        repository.delete_blob(&digest).await.expect(202);
    }
    collect(stack, &NO_GRACE).await;
    assert_eq!(published(stack).await, []);
}
