//! How often somebody may ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use reqwest::Client;
use serde_json::json;

use super::{COUNTED_WITHIN, HELD_WITHIN, TAKEN_UP, refusal, set, unset, until};
use crate::support::api::Answer;
use crate::support::people;
use crate::support::trial::Story;
use crate::support::{Stack, http};

const RATE: u64 = 10;
/// How long the replicas are asked as fast as they answer, in seconds.
const HAMMERED: u64 = 6;
/// Who asks at once: each waits for an answer before the next question.
const CALLERS: usize = 4;

pub fn cases() -> Vec<Story> {
    vec![
        ("two_replicas_together_let_in_what_the_request_rate_says", together),
        ("the_request_rate_is_each_users_own", own),
    ]
}

/// Asks as often as it can until `deadline`; how many got in and how many were told to come back.
async fn hammer(http: Client, url: String, deadline: Instant) -> (u64, u64) {
    let (mut admitted, mut refused) = (0, 0);
    while Instant::now() < deadline {
        let answer = Answer::to(http.get(&url)).await;
        if answer.status == 200 {
            admitted += 1;
        } else {
            refusal(&answer);
            refused += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    (admitted, refused)
}

fn together(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = [stack.server(&[]).await, stack.server(&[]).await];
        let urls: Vec<_> = replicas.iter().map(|server| format!("{}/v2/", server.base_url())).collect();
        set(&http(), &replicas[0], json!({ "request_rate": RATE })).await;
        tokio::time::sleep(COUNTED_WITHIN).await;
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(HAMMERED);
        let callers =
            (0..2 * CALLERS).map(|turn| tokio::spawn(hammer(http(), urls[turn % 2].clone(), deadline)));
        let answers: Vec<_> =
            join_all(callers).await.into_iter().map(|answers| answers.expect("a task")).collect();
        let admitted: u64 = answers.iter().map(|(admitted, _)| admitted).sum();
        let refused: u64 = answers.iter().map(|(_, refused)| refused).sum();
        // Each has half of it, and half a bucket to begin with; without shares each would let in as much.
        let seconds = begun.elapsed().as_secs() + 1;
        let most = RATE * seconds + RATE;
        assert!((2 * RATE..=most).contains(&admitted), "{admitted} in {seconds} s");
        assert!(most < 2 * RATE * (seconds - 1) && refused > 0, "{refused} refused in {seconds} s");
        for server in &replicas {
            for path in ["/healthz", "/readyz"] {
                let asked = (0..50).map(|_| Answer::to(http().get(format!("{}{path}", server.base_url()))));
                assert!(
                    join_all(asked).await.iter().all(|answer| answer.status == 200),
                    "{path} is never limited"
                );
            }
        }
        let done = stack.command(&["config", "unset", "request_rate", "--database"]).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        for url in &urls {
            until(200, HELD_WITHIN, || Answer::to(http().get(url))).await;
        }
        tokio::time::sleep(TAKEN_UP).await;
        let all = join_all((0..100).map(|turn| Answer::to(http().get(&urls[turn % 2])))).await;
        assert!(all.iter().all(|answer| answer.status == 200), "nothing is limited any more");
    }
    .boxed()
}

fn own(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let alice = people::user(&stack, "alice", false).await;
        let bob = people::user(&stack, "bob", false).await;
        let root = people::user(&stack, "root", true).await;
        let url = format!("{}/v2/", server.base_url());
        set(&root.http, &server, json!({ "request_rate": RATE })).await;
        let begun = Instant::now();
        let callers =
            (0..CALLERS).map(|_| hammer(alice.http.clone(), url.clone(), begun + Duration::from_secs(3)));
        let answers = join_all(callers).await;
        let admitted: u64 = answers.iter().map(|(admitted, _)| admitted).sum();
        let refused: u64 = answers.iter().map(|(_, refused)| refused).sum();
        let most = RATE * (begun.elapsed().as_secs() + 1) + RATE;
        assert!((RATE..=most).contains(&admitted) && refused > 0, "{admitted} of {most}, {refused} refused");
        Answer::to(bob.http.get(&url)).await.expect(200);
        // What she may not do counts as well.
        let denied = format!("{}/api/v2.0/audit-logs", server.base_url());
        let asked = join_all((0..20 * RATE).map(|_| Answer::to(alice.http.get(&denied)))).await;
        assert!(asked.iter().any(|answer| answer.status == 429), "{asked:?}");
        // Being sent to sign in does not: every client behind an address is, first.
        let asked = join_all((0..4 * RATE).map(|_| Answer::to(http().get(&url)))).await;
        assert!(asked.iter().all(|answer| answer.status == 401), "{asked:?}");
        unset(&root.http, &server, "request_rate").await;
        let asked = join_all((0..4 * RATE).map(|_| Answer::to(alice.http.get(&url)))).await;
        assert!(asked.iter().all(|answer| answer.status == 200), "{asked:?}");
    }
    .boxed()
}
