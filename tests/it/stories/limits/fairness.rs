//! What one user sends slowly holds up nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream;
use reqwest::Body;
use tokio::task::JoinHandle;

use crate::support::Stack;
use crate::support::api::{Upload, content, digest_of};
use crate::support::people::{self, Person};
use crate::support::process::Server;
use crate::support::trial::Story;

/// Uploads that trickle: many times as many as there are parts in the budget of memory.
const TRICKLING: usize = 100;
/// What each sends at once, more than the service gives away without asking, and what it sends then and when.
const BEGINNING: usize = 80_000;
const DROP: usize = 2_000;
const BETWEEN: Duration = Duration::from_millis(200);
/// Three parts of the least size and something.
const PUSHED: usize = 16_000_000;
/// A push beside them may take so many times as long as alone, on a machine that is busy with them and others. With
/// parts reserved as a whole it had to wait for half a minute for each.
const SLOWER: u32 = 6;
const BUSY: Duration = Duration::from_secs(15);

pub fn cases() -> Vec<Story> {
    vec![("uploads_of_one_user_that_trickle_do_not_slow_a_push_of_anothers", trickling)]
}

/// Two users, each with a project of their own.
async fn ann_and_bob(stack: &Stack, flags: &[&str]) -> (Server, Person, Person) {
    let (ann, bob) = (people::user(stack, "ann", false).await, people::user(stack, "bob", false).await);
    people::project(stack, "anns", &[(&ann, "developer")]).await;
    people::project(stack, "bobs", &[(&bob, "developer")]).await;
    (stack.guarded_server(flags).await, ann, bob)
}

fn trickling(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (server, ann, bob) = ann_and_bob(&stack, &["--part-size", "5MiB"]).await;
        let bobs = bob.repository(server.base_url(), "bobs/model");
        let push = async |seed: usize| {
            let bytes = content(PUSHED + seed);
            let (upload, digest, begun) = (bobs.begin().await, digest_of(&bytes), Instant::now());
            upload.patch(None, bytes).await.expect(202);
            let time = begun.elapsed();
            upload.finalize(&digest).await.expect(201);
            time
        };
        let alone = push(0).await;
        let anns = ann.repository(server.base_url(), "anns/model");
        let uploads = join_all((0..TRICKLING).map(|_| anns.begin())).await;
        let senders: Vec<_> = uploads.iter().map(trickle).collect();
        // For their beginnings to arrive.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let beside = push(1).await;
        assert!(senders.iter().all(|sender| !sender.is_finished()), "they trickle on");
        senders.iter().for_each(JoinHandle::abort);
        assert!(beside < alone * SLOWER + BUSY, "{beside:?} beside them, {alone:?} alone");
    }
    .boxed()
}

fn trickle(upload: &Upload) -> JoinHandle<()> {
    let drops = stream::unfold(true, |is_first| async move {
        let length = if is_first { BEGINNING } else { DROP };
        if !is_first {
            tokio::time::sleep(BETWEEN).await;
        }
        Some((Ok::<_, std::io::Error>(Bytes::from(vec![7; length])), false))
    });
    let patch = upload.http.patch(&upload.url).body(Body::wrap_stream(drops));
    tokio::spawn(async move { drop(patch.send().await) })
}
