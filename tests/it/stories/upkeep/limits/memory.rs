//! Memory for bodies is one budget for the whole server, and nobody who holds some of it can keep it from others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream;
use overside::domain::digest::Digest;
use reqwest::Body;
use reqwest::header::CONTENT_LENGTH;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::NAME;
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, Store};

/// Two of them are all the memory there is for parts in a bucket.
const PART: usize = 32 << 20;
/// Makes a part take its room: more than is collected before that.
const DRIP: usize = 300_000;
/// Enough of them to take all the room and to wait for more.
const DRIPPING: usize = 4;
/// To come through beside them; how long room may be held unused is a few seconds.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
/// What the service may hold resident with this many bodies on their way, in bytes.
const MEMORY_LIMIT: u64 = 256 << 20;
const AT_ONCE: usize = 32;

pub fn cases() -> Vec<Story> {
    vec![
        ("senders_that_drip_hold_up_nobody_else", dripping),
        ("what_a_dripping_sender_had_acknowledged_survives_a_kill", killed),
        ("who_waits_for_memory_keeps_what_arrived_when_the_server_stops", stopped),
        ("bodies_at_once_share_one_budget_of_memory", at_once),
    ]
}

/// An upload whose sender has sent a little and holds its body open.
struct Dripping {
    upload: Upload,
    content: Bytes,
    digest: Digest,
    /// Of the content, in bytes.
    sent: usize,
    more: mpsc::Sender<Bytes>,
    answer: JoinHandle<Result<u16, reqwest::Error>>,
}

impl Dripping {
    /// Sends `acknowledged` bytes in a chunk of their own, then begins another chunk.
    async fn begin(repository: &Repository, size: usize, acknowledged: usize) -> Self {
        let upload = repository.begin().await;
        let content = Bytes::from(content(size));
        let digest = digest_of(&content);
        if acknowledged > 0 {
            upload.patch(None, content.slice(..acknowledged)).await.expect(202);
        }
        let (more, receiver) = mpsc::channel(1);
        let next = |mut receiver: mpsc::Receiver<Bytes>| async move {
            Some((Ok::<_, std::io::Error>(receiver.recv().await?), receiver))
        };
        let patch = upload.http.patch(&upload.url).body(Body::wrap_stream(stream::unfold(receiver, next)));
        let answer = tokio::spawn(async move { patch.send().await.map(|answer| answer.status().as_u16()) });
        let sent = acknowledged + DRIP;
        more.send(content.slice(acknowledged..sent)).await.expect("somebody reads");
        Self { upload, content, digest, sent, more, answer }
    }

    /// Sends the rest, as if nothing had been.
    async fn complete(self, stack: &Stack) {
        self.more.send(self.content.slice(self.sent..)).await.expect("somebody reads");
        drop(self.more);
        assert_eq!(self.answer.await.expect("no panic").expect("an answer"), 202);
        self.upload.finalize(&self.digest).await.expect(201);
        assert_eq!(stack.blob_hash(&self.digest).await, Some(self.digest));
    }

    /// Goes on at another server, from where the upload stands there; tells where that was.
    async fn resume(&self, stack: &Stack, base_url: &str) -> usize {
        let path = self.upload.url.find("/v2/").map(|at| &self.upload.url[at..]).expect("a path");
        let upload = Upload { http: self.upload.http.clone(), url: format!("{base_url}{path}") };
        let offset = upload.state().await.expect(200).json()["received_offset"].as_u64().unwrap_or(0);
        let offset = usize::try_from(offset).expect("an offset that fits in memory");
        upload.patch(None, self.content.slice(offset..)).await.expect(202);
        upload.finalize(&self.digest).await.expect(201);
        assert_eq!(stack.blob_hash(&self.digest).await, Some(self.digest));
        offset
    }
}

fn dripping(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "32MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        // One of them goes on beyond its first part.
        let size = |index| if index == 0 { PART + 3 * DRIP } else { 2 * DRIP + index };
        let senders = join_all((0..DRIPPING).map(|index| Dripping::begin(&repository, size(index), 0))).await;
        let healthy = content(2 * PART + 12_345);
        let digest = digest_of(&healthy);
        let upload = repository.begin().await;
        let sent = tokio::time::timeout(PATIENCE, upload.patch(None, healthy)).await;
        sent.expect("it comes through beside them").expect(202);
        if is_bucket(&stack) {
            assert!(spilled(&stack).await > 1, "{:?}", stack.temp_leftovers().await);
        }
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        for sender in senders {
            sender.complete(&stack).await;
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn killed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let flags = ["--part-size", "32MiB", "--lease", "1s"];
        let mut server = stack.server(&flags).await;
        let repository = Repository::of(server.base_url(), NAME);
        let acknowledged = 100_000;
        let begin = |index| Dripping::begin(&repository, 2 * DRIP + acknowledged + index, acknowledged);
        let senders = join_all((0..DRIPPING).map(begin)).await;
        let deadline = Instant::now() + PATIENCE;
        // More than the tails that were acknowledged.
        while is_bucket(&stack) && spilled(&stack).await <= DRIPPING {
            assert!(Instant::now() < deadline, "{:?}", stack.temp_leftovers().await);
            tokio::time::sleep(POLL).await;
        }
        server.kill9();
        let server = stack.server(&flags).await;
        for sender in senders {
            assert_eq!(sender.resume(&stack, server.base_url()).await, acknowledged);
        }
        let cleanup = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
        assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn stopped(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let flags = ["--part-size", "32MiB", "--shutdown-grace", "500ms"];
        let mut server = stack.server(&flags).await;
        let repository = Repository::of(server.base_url(), NAME);
        let begin = |index| Dripping::begin(&repository, 2 * DRIP + index, 0);
        let senders = join_all((0..DRIPPING).map(begin)).await;
        // For the bytes to arrive; less than what makes a sender give its room up.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ended = server.terminate(PATIENCE).await.expect("nothing keeps it");
        assert_eq!(ended.code(), Some(0));
        let server = stack.server(&flags).await;
        for sender in senders {
            let kept = sender.resume(&stack, server.base_url()).await;
            assert!(kept > 0 && kept <= sender.sent, "{kept} of {}", sender.sent);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn at_once(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = Bytes::from(content(64 << 20));
        let push = |index: usize| {
            let (repository, bytes) = (&repository, bytes.clone());
            async move {
                let upload = repository.begin().await;
                let patch = upload.http.patch(&upload.url);
                let patch = if index.is_multiple_of(2) {
                    patch.header(CONTENT_LENGTH, bytes.len()).body(bytes)
                } else {
                    // As stock clients send: chunks of 32 KiB and no length.
                    let chunks: Vec<_> = bytes
                        .chunks(32 << 10)
                        .map(|chunk| Ok::<_, std::io::Error>(bytes.slice_ref(chunk)))
                        .collect();
                    patch.body(Body::wrap_stream(stream::iter(chunks)))
                };
                Answer::to(patch).await.expect(202);
                upload.abort().await.expect(204);
            }
        };
        join_all((0..AT_ONCE).map(push)).await;
        let memory = server.memory();
        assert!(memory.peak < MEMORY_LIMIT, "{memory:?}");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

const fn is_bucket(stack: &Stack) -> bool {
    matches!(stack.store, Store::S3 { .. })
}

/// Objects with the end of an upload, or with what a sender had in memory.
async fn spilled(stack: &Stack) -> usize {
    stack.temp_leftovers().await.iter().filter(|key| key.contains("/tail-")).count()
}
