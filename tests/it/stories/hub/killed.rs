//! `kill -9` at any request of a commit to the database: the commit is there or it is not, and the client that sends it
//! again has made one.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{Hub, deleted, file, header, lfs_file};
use crate::support::api::content;
use crate::support::process::{Server, signal};
use crate::support::trial::Story;
use crate::support::{FaultProxy, Stack, Strike};

/// Commits at once, each to a repository of its own: a replica mostly waits for its start.
const BATCH: usize = 3;
/// Requests of one commit: fewer, and the proxy stands in front of nothing; more, and it never comes through.
const STEPS: std::ops::Range<usize> = 6..200;
const FLAGS: [&str; 4] = ["--clean-interval", "1h", "--lease", "400ms"];

pub fn cases() -> Vec<Story> {
    vec![("a_commit_killed_at_any_request_to_the_database_is_there_whole_or_not_at_all", survives)]
}

fn survives(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let survivor = stack.server(&FLAGS).await;
        let hubs: Vec<_> =
            (0..BATCH).map(|number| Hub::of(&survivor, &format!("models/team/m{number}"))).collect();
        let large = content(20_000);
        for hub in &hubs {
            hub.create().await.expect(200);
            hub.push(&large).await;
            hub.commit(&[file("step", "0"), file("gone/0", "")]).await;
        }
        for first in (1..).step_by(BATCH) {
            assert!(first < STEPS.end, "the {first}th request is still to come");
            let rounds =
                (0..).zip(&hubs).map(|(index, hub)| round(&stack, hub, &large, first / BATCH, first + index));
            if join_all(rounds).await.contains(&false) {
                assert!(first >= STEPS.start, "{first} requests");
                break;
            }
        }
        stack.command(&["gc", "--gc-grace", "0s"]).await.done();
        for hub in &hubs {
            assert!(hub.read("main", "a/large.bin").await.expect(200).body == large);
        }
    }
    .boxed()
}

/// One commit, the `number`-th of its repository, by a replica that dies at its `step`-th request; whether it had so many.
async fn round(stack: &Stack, hub: &Hub, large: &[u8], number: usize, step: usize) -> bool {
    let proxy = FaultProxy::in_front_of(&Url::parse(&stack.database.url()).expect("a URL")).await;
    let flags = [&FLAGS[..], &["--database", proxy.url().as_str().trim_end_matches('/')]].concat();
    let mut victim: Server = stack.server(&flags).await;
    let (parent, pid) = (hub.head().await, victim.pid());
    let lines = [
        header(Some(&parent)),
        lfs_file("a/large.bin", large),
        file("step", &(number + 1).to_string()),
        file(&format!("gone/{}", number + 1), ""),
        deleted(&format!("gone/{number}")),
    ];
    proxy.arm(step as u64, Strike::After, move || signal(pid, "-KILL"));
    let answered =
        try_to_send(&Hub { base: victim.base_url().trim_end_matches('/').to_owned(), ..hub.clone() }, &lines)
            .await;
    let is_struck = !proxy.is_armed();
    victim.kill9();
    assert!(is_struck || answered, "unharmed, and refused");

    let head = hub.head().await;
    let is_made = head != parent;
    assert!(is_made || !answered, "what was answered is there");
    assert_is_at(hub, if is_made { number + 1 } else { number }).await;
    let again = hub.send("main", &lines).await.expect(200).json()["commitOid"].clone();
    assert_eq!(hub.head().await, again);
    assert!(!is_made || head == again, "made twice");
    assert_is_at(hub, number + 1).await;
    is_struck
}

/// The files and the history are those of that many commits, the first of which is that of a new repository.
async fn assert_is_at(hub: &Hub, number: usize) {
    assert_eq!(hub.read("main", "step").await.expect(200).text(), number.to_string());
    let info = hub.get("revision/main").await.expect(200).json();
    let files: Vec<_> =
        info["siblings"].as_array().expect("files").iter().map(|file| &file["rfilename"]).collect();
    assert!(files.contains(&&Value::from(format!("gone/{number}"))), "{files:?}");
    assert_eq!(files.len(), if number == 0 { 2 } else { 3 }, "{files:?}");
    let history = hub.get("commits/main").await.expect(200).json();
    assert_eq!(history.as_array().map(Vec::len), Some(number + 2));
}

/// Whether it was answered, and well.
async fn try_to_send(hub: &Hub, lines: &[Value]) -> bool {
    let body = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let path = format!("api/{}/commit/main", hub.name);
    let post = hub.request(Method::POST, &path).header("content-type", "application/x-ndjson").body(body);
    post.send().await.is_ok_and(|answer| answer.status().is_success())
}
