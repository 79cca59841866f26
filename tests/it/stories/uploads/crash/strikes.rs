//! Struck on the wire, before and after every single request to the store and to the database.

use futures_util::future::join_all;
use url::Url;

use super::Wire;
use super::client::{Operation, Session};
use crate::support::process::{Server, signal};
use crate::support::{FaultProxy, Servers, Stack, Store, Strike, prepared};

/// Victims at once: each mostly waits, for its start or for a lease.
const BATCH: usize = 3;
/// Far more than any upload here needs; one that never comes through unharmed would go on for ever.
const MOST_STEPS: usize = 200;
/// Fewer than this on a wire, and the proxy stands in front of nothing.
const LEAST_STEPS: usize = 4;
/// Long enough for a few statements, so that an owner who lives keeps it; nobody waits long for a dead one's.
const LEASE: &str = "400ms";

/// Uploads, each struck one step further, until one comes through. A quick run leaves steps out.
pub async fn at_every_step(
    stack: &Stack,
    survivor: &Server,
    operation: Operation,
    wire: Wire,
) -> Vec<Session> {
    let sides: &[Strike] = match wire {
        Wire::Store => &[Strike::Before, Strike::After],
        // Before the next statement is after this one, as far as the database can tell; what the store was
        // told in between is struck on the store's own wire. A process is started for every strike.
        Wire::Database => &[Strike::After],
    };
    let stride = if Servers::from_environment().is_full { BATCH } else { 3 * BATCH };
    let mut sessions = Vec::new();
    for strike in sides {
        let mut step = 1;
        loop {
            assert!(step < MOST_STEPS, "the {step}th request to the {wire:?} is still to come");
            let number = sessions.len();
            let batch = (0..BATCH)
                .map(|index| round(stack, survivor, operation, number + index, wire, *strike, step + index));
            let rounds = join_all(batch).await;
            // Of a redirected upload the replica that lives may find the bytes first, and do what the other one was to be
            // struck at.
            let unharmed = rounds.iter().filter(|(_, is_struck)| !is_struck).count();
            let is_through = unharmed > 0 && (operation != Operation::Redirected || unharmed == BATCH);
            sessions.extend(rounds.into_iter().map(|(session, _)| session));
            step += stride;
            if is_through {
                break;
            }
        }
        assert!(step > LEAST_STEPS, "{step} requests to the {wire:?}");
    }
    sessions
}

/// One upload that is struck at its `step`-th request on a wire, if it has so many.
async fn round(
    stack: &Stack,
    survivor: &Server,
    operation: Operation,
    number: usize,
    wire: Wire,
    strike: Strike,
    step: usize,
) -> (Session, bool) {
    let session = Session::begin(operation, survivor, number).await;
    let (mut victim, proxy) = victim(stack, wire).await;
    let pid = victim.pid();
    proxy.arm(step as u64, strike, move || signal(pid, "-KILL"));
    let progress = session.attempt(&victim).await;
    if progress.finalized.is_some() {
        // Placing and discarding, behind the answer, are struck as well.
        session.settled(stack, || proxy.is_armed()).await;
    }
    let is_struck = !proxy.is_armed();
    if !is_struck {
        assert_eq!(progress.finalized, Some(session.verdict()), "unharmed, but {progress:?}");
    }
    victim.kill9();
    session.check_readable(stack).await;
    session.recover(&progress).await;
    session.check_readable(stack).await;
    (session, is_struck)
}

/// A replica with a proxy in one of its wires. The bytes of its clients go past the proxy.
async fn victim(stack: &Stack, wire: Wire) -> (Server, FaultProxy) {
    let Store::S3 { endpoint, .. } = &stack.store else { unreachable!("struck where there is a wire") };
    let endpoint = endpoint.as_str().trim_end_matches('/');
    let mut flags = vec!["--part-size", "5MiB", "--clean-interval", "1h", "--lease", LEASE];
    let target = match wire {
        Wire::Store => endpoint.to_owned(),
        Wire::Database => stack.database.url(),
    };
    let proxy = FaultProxy::in_front_of(&Url::parse(&target).expect("a URL")).await;
    let through = proxy.url().as_str().trim_end_matches('/').to_owned();
    match wire {
        Wire::Store => {
            prepared::probed(&stack.store, &stack.database, Some(proxy.url())).await;
            flags.extend(["--s3-endpoint", &through, "--s3-public-endpoint", endpoint]);
        }
        Wire::Database => flags.extend(["--database", &through]),
    }
    (stack.server(&flags).await, proxy)
}
