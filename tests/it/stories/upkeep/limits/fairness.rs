//! What one user sends slowly, or much of at once, holds up nobody else and does not fill the memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream;
use overside::domain::digest::Algorithm;
use overside::domain::hash::Hasher;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use serde_json::json;
use tokio::task::JoinHandle;

use super::NAME;
use crate::support::api::{Repository, Upload, content, digest_of};
use crate::support::holding::HoldingProxy;
use crate::support::image::IMAGE;
use crate::support::people::{self, Person};
use crate::support::process::Server;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store};

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

/// Manifests whose senders have stopped: more than fill the budget for them.
const STALLED: usize = 12;
const LARGE: usize = 4 << 20;
/// A stalled body is given up after this long at the earliest.
const UNHINDERED: Duration = Duration::from_secs(25);

/// Finalizing requests at once, each with all the JSON that the largest upload may have.
const FINALIZING: usize = 64;
const PARTS: usize = 10_000;
/// What the service may hold resident with these on their way, and some time after them, in bytes: one caller's bodies
/// and what is read of them, and what it holds otherwise. Without a budget it was 240 MB, and stayed.
const MEMORY_LIMIT: u64 = 160 << 20;
const MEMORY_AFTER: u64 = 128 << 20;
const AFTER: Duration = Duration::from_secs(20);

/// Finalizes of one user whose bytes have to be read back: many times as many as are hashed at once.
const HASHED: usize = 40;
/// Of them that may be done before somebody else's one: those whose turn it was when that came, and a few more.
const BEFORE: usize = 8;
/// For one read to be answered, hashed and committed, on a busy machine.
const ONE: Duration = Duration::from_mins(1);

pub fn cases() -> Vec<Story> {
    vec![
        ("one_finalize_waits_for_no_more_than_a_turn_of_another_users_many", hashed),
        ("uploads_of_one_user_that_trickle_do_not_slow_a_push_of_anothers", trickling),
        ("manifests_of_one_user_that_stall_do_not_hold_up_those_of_others", stalled),
        ("finalizing_bodies_at_once_share_one_budget_of_memory", finalizing),
    ]
}

/// Two users, each with a project of their own.
async fn ann_and_bob(stack: &Stack, flags: &[&str]) -> (Server, Person, Person) {
    let (ann, bob) = (people::user(stack, "ann", false).await, people::user(stack, "bob", false).await);
    people::project(stack, "anns", &[(&ann, "developer")]).await;
    people::project(stack, "bobs", &[(&bob, "developer")]).await;
    (stack.guarded_server(flags).await, ann, bob)
}

fn hashed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, .. } = &stack.store else { not_here("no proxy slows a disk") };
        let proxy = HoldingProxy::in_front_of(endpoint, "GET", "/temp/").await;
        proxy.let_pass(1000);
        let through = proxy.url().as_str().trim_end_matches('/');
        let (server, ann, bob) = ann_and_bob(&stack, &["--s3-endpoint", through]).await;
        let finalize = |upload: Upload, bytes: Vec<u8>| {
            // No store computes it, so the bytes are read.
            let digest = Hasher::digest(Algorithm::Sha512, &bytes);
            tokio::spawn(async move { upload.finalize(&digest).await })
        };
        let sent = async |repository: &Repository, bytes: &[u8]| {
            let upload = repository.begin().await;
            upload.put(bytes).await;
            upload
        };
        let anns = ann.repository(server.base_url(), "anns/model");
        let bytes: Vec<_> = (1..=HASHED).map(content).collect();
        let uploads = join_all(bytes.iter().map(|bytes| sent(&anns, bytes))).await;
        let bobs = sent(&bob.repository(server.base_url(), "bobs/model"), b"one of bob's").await;
        proxy.hold();
        let before = proxy.held();
        let many: Vec<_> =
            uploads.into_iter().zip(bytes).map(|(upload, bytes)| finalize(upload, bytes)).collect();
        let deadline = Instant::now() + ONE;
        while proxy.held() < before + 4 {
            assert!(Instant::now() < deadline, "{} reads", proxy.held() - before);
            tokio::time::sleep(BETWEEN).await;
        }
        // For the others to come to where they wait, and then for his.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let one = finalize(bobs, b"one of bob's".to_vec());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let done = || many.iter().filter(|task| task.is_finished()).count() + usize::from(one.is_finished());
        while !one.is_finished() {
            let done_before = done();
            assert!(done_before <= BEFORE, "{done_before} others came before");
            proxy.let_pass(1);
            let deadline = Instant::now() + ONE;
            while done() == done_before {
                assert!(Instant::now() < deadline, "nothing goes on after {done_before}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        proxy.release();
        one.await.expect("no panic").expect(201);
        for task in many {
            task.await.expect("no panic").expect(201);
        }
    }
    .boxed()
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

fn stalled(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (server, ann, bob) = ann_and_bob(&stack, &[]).await;
        let anns = ann.repository(server.base_url(), "anns/app");
        let senders: Vec<_> = (0..STALLED)
            .map(|number| {
                let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; LARGE / 4]))]);
                let body = futures_util::StreamExt::chain(first, stream::pending());
                let put = anns.manifest(Method::PUT, format!("v{number}")).header(CONTENT_TYPE, IMAGE);
                let put = put.header(CONTENT_LENGTH, LARGE).body(Body::wrap_stream(body));
                tokio::spawn(async move { drop(put.send().await) })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let bobs = bob.repository(server.base_url(), "bobs/app");
        let image = bobs.image("large").await.padded(LARGE);
        let begun = Instant::now();
        bobs.put("v1", &image).await.expect(201);
        assert!(bobs.get("v1").await.expect(200).body == image.payload);
        assert!(begun.elapsed() < UNHINDERED, "{:?}", begun.elapsed());
        senders.iter().for_each(JoinHandle::abort);
    }
    .boxed()
}

fn finalizing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let size = (PARTS * (5 << 20)).to_string();
        let part = |number: usize| json!({ "part_number": number, "etag": "e".repeat(100) });
        let midstates = vec!["0".repeat(64); PARTS - 1];
        let parts: Vec<_> = (1..=PARTS).map(part).collect();
        let body = Bytes::from(json!({ "parts": parts, "sha256_midstates": midstates }).to_string());
        let uploads = join_all((0..FINALIZING).map(|_| async {
            let upload = repository.begin().await;
            let query = [("size", size.as_str()), ("mode", "multipart"), ("parts", "1-1")];
            upload.sign(&query).await.expect(200);
            upload
        }));
        let uploads = uploads.await;
        let before = server.memory();
        let digest = digest_of(b"nothing of it was sent");
        let refusals = uploads.iter().map(|upload| async {
            let message =
                upload.finalize_with(&digest, body.clone()).await.refused(400, "BLOB_UPLOAD_INVALID");
            assert!(!message.starts_with("the JSON body"), "{message}");
        });
        join_all(refusals).await;
        let during = server.memory();
        assert!(during.peak < MEMORY_LIMIT, "{before:?} before, {during:?}");
        let deadline = Instant::now() + AFTER;
        while server.memory().now > MEMORY_AFTER {
            assert!(Instant::now() < deadline, "{:?} is kept, {before:?} before", server.memory());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // What a session has no reason to tell is not read.
        let upload = repository.begin().await;
        upload.sign(&[("size", "6000000"), ("mode", "multipart")]).await.expect(200);
        upload.finalize_with(&digest, body.slice(..5_000)).await.refused(413, "SIZE_INVALID");
        if matches!(stack.store, Store::S3 { .. }) {
            join_all(uploads.iter().map(|upload| async { upload.abort().await.expect(204) })).await;
        }
    }
    .boxed()
}
