//! What somebody may have open, and whether they may still push when their bytes arrive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use overside::domain::upload::Status;
use serde_json::json;

use super::{CONTAINERD, SIZE, blob, redirect};
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::people::{self, Person};
use crate::support::{Accounts, Stack, http};

/// For the worker's looks, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

pub async fn one_after_another(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    let (alice, root) =
        (people::user(&stack, "alice", false).await, people::user(&stack, "root", true).await);
    people::project(&stack, "team", &[(&alice, "developer")]).await;
    let configurations = format!("{}/api/v2.0/configurations", server.base_url());
    Answer::to(root.http.put(configurations).json(&json!({ "open_sessions_per_user": 2 }))).await.expect(200);
    let repository = seen_by(&alice, server.base_url());
    for layer in 0..8 {
        let bytes = blob(layer);
        arrive(&redirect(&repository.begin().await, &bytes, &digest_of(&bytes)).await, &bytes).await;
    }
    // What has not arrived is open.
    for layer in 10..12 {
        redirect(&repository.begin().await, &blob(layer), &digest_of(&blob(layer))).await;
    }
    let begun = repository.http.post(repository.url("uploads/")).header("content-length", 0);
    Answer::to(begun).await.refused(429, "TOOMANYREQUESTS");
}

pub async fn no_more(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    let (alice, bob) = (people::user(&stack, "alice", false).await, people::user(&stack, "bob", false).await);
    people::project(&stack, "team", &[(&alice, "developer"), (&bob, "developer")]).await;
    let (by_alice, by_bob) = (seen_by(&alice, server.base_url()), seen_by(&bob, server.base_url()));
    let mut begun = Vec::new();
    for (repository, seed) in [(&by_alice, 0), (&by_alice, 1), (&by_bob, 2)] {
        let (upload, bytes) = (repository.begin().await, blob(seed));
        let url = redirect(&upload, &bytes, &digest_of(&bytes)).await;
        begun.push((upload, url, bytes));
    }
    Accounts::of(&stack).await.member("team", "alice", "guest".parse().expect("a role")).await;
    for (_, url, bytes) in &begun {
        arrive(url, bytes).await;
    }
    let [asked_for, found, of_bob] = &begun[..] else { panic!("three uploads") };
    // By whoever asks, and by who looks unasked.
    by_bob.read(&digest_of(&asked_for.2)).await.expect(404);
    by_bob.read(&digest_of(&of_bob.2)).await.expect(200);
    for (upload, ..) in [asked_for, found] {
        let deadline = Instant::now() + PATIENCE;
        while upload.row(&stack).await.state.status() != Status::Aborted {
            assert!(Instant::now() < deadline, "{upload:?}");
            tokio::time::sleep(POLL).await;
        }
    }
    by_bob.read(&digest_of(&found.2)).await.expect(404);
    assert_eq!(stack.blob_hash(&digest_of(&found.2)).await, None);
}

/// Of another host name than the bucket: who signs in is not sent to one of the same.
fn seen_by(person: &Person, base_url: &str) -> Repository {
    person.repository(&base_url.replace("127.0.0.1", "localhost"), "team/app")
}

/// The bytes come, without a word of who sends them.
async fn arrive(url: &str, bytes: &[u8]) {
    let put = http().put(url).header("user-agent", CONTAINERD);
    Answer::to(put.header("content-type", "application/octet-stream").body(bytes.to_vec())).await.expect(200);
    assert!(bytes.len() >= SIZE);
}
