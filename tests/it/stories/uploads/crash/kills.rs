//! Killed at moments drawn from a seed, where there is no wire to strike at.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::client::{Operation, Session};
use crate::support::Stack;
use crate::support::process::{Server, signal};

const ROUNDS: usize = 12;
/// Some of the moments come after the end.
const OVERSHOOT: f64 = 1.2;
/// Of so many moments some ten come before the end. On a busy machine an upload takes now longer, now shorter.
const INTERRUPTED: usize = 3;

/// Uploads that are killed somewhere between their first byte and a little after their end.
pub async fn at_random(stack: &Stack, survivor: &Server, operation: Operation) -> Vec<Session> {
    // The same moments in every run, as far as a clock can repeat them.
    let mut random = StdRng::seed_from_u64(0);
    let (first, unharmed) = round(stack, survivor, operation, 0, None).await;
    let unharmed = unharmed.expect("an upload that nobody has killed");
    let (mut sessions, mut interrupted) = (vec![first], 0);
    for number in 1..=ROUNDS {
        let moment = unharmed.mul_f64(random.random_range(0.0..OVERSHOOT));
        let (session, took) = round(stack, survivor, operation, number, Some(moment)).await;
        sessions.push(session);
        interrupted += usize::from(took.is_none());
    }
    assert!(interrupted >= INTERRUPTED, "{interrupted} of {ROUNDS} kills came before the end");
    sessions
}

/// One upload, killed after `moment` if there is one, and how long it took; none where it had no answer at its end.
async fn round(
    stack: &Stack,
    survivor: &Server,
    operation: Operation,
    number: usize,
    moment: Option<Duration>,
) -> (Session, Option<Duration>) {
    let session = Session::begin(operation, survivor, number).await;
    let mut victim =
        stack.server(&["--part-size", "5MiB", "--clean-interval", "1h", "--lease", "400ms"]).await;
    let pid = victim.pid();
    let kill = async {
        if let Some(moment) = moment {
            tokio::time::sleep(moment).await;
            signal(pid, "-KILL");
        }
    };
    let begun = Instant::now();
    let (progress, ()) = tokio::join!(session.attempt(&victim), kill);
    let took = progress.finalized.map(|_| begun.elapsed());
    if moment.is_none() {
        assert_eq!(progress.finalized, Some(session.verdict()), "unharmed, but {progress:?}");
    }
    victim.kill9();
    session.check_readable(stack).await;
    session.recover(&progress).await;
    session.check_readable(stack).await;
    (session, took)
}
