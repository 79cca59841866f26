//! Who finds out that the bytes are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use overside::domain::digest::Digest;
use overside::domain::upload::{Lease, State, Transfer, Upload as Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::{CONTAINERD, NAME, blob, follow, push_manifest, redirect, sent, status};
use crate::stories::upkeep::quotas::usage;
use crate::support::api::{self, Answer, Repository, Upload, digest_of};
use crate::support::{Stack, raw};

/// For the worker's looks, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// Stock clients give up on an answer after so long.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(30);

pub async fn by_a_manifest(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let layers = [blob(0), blob(1)];
    let mut digests = Vec::new();
    for layer in &layers {
        digests.push(sent(&repository, layer).await.1);
    }
    push_manifest(&repository, &digests).await.expect(201);
    for (digest, layer) in digests.iter().zip(&layers) {
        assert!(repository.read(digest).await.expect(200).body == *layer);
        assert_eq!(stack.blob_hash(digest).await, Some(*digest));
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    let stored: usize = layers.iter().map(Vec::len).sum::<usize>() + 2;
    holds_little_more(&stack, stored).await;
    let db = api::database(&stack).await;
    let log = db.audit_entries(None, None, u32::MAX, 0).await.expect("the database answers").0;
    db.close().await;
    for digest in digests {
        let resource = format!("{NAME}@{digest}");
        assert_eq!(log.iter().filter(|entry| entry.resource == resource).count(), 1, "one entry for each");
    }
}

pub async fn by_itself(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (upload, digest) = sent(&repository, &blob(0)).await;
    let deadline = Instant::now() + PATIENCE;
    while status(&upload).await != "completed" {
        assert!(Instant::now() < deadline, "nobody has looked: {}", upload.state().await.text());
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(stack.blob_hash(&digest).await, Some(digest));
}

pub async fn by_a_look(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (_, digest) = sent(&repository, &blob(0)).await;
    Answer::to(repository.http.head(repository.url(digest))).await.expect(200);
    let (_, digest) = sent(&repository, &blob(1)).await;
    assert!(repository.read(&digest).await.expect(200).body == blob(1));
}

pub async fn by_a_mount(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let [from, to] = [NAME, "team/other"].map(|name| Repository::of(server.base_url(), name));
    let (_, digest) = sent(&from, &blob(0)).await;
    let mount = [("mount", digest.to_string()), ("from", NAME.to_owned())];
    let mounted = to.http.post(to.url("uploads/")).query(&mount).header("content-length", 0);
    Answer::to(mounted).await.expect(201);
}

/// As if another replica had been proving it for so long, and had died then.
async fn held(stack: &Stack, repository: &Repository, proof: TimeDelta) -> (Upload, Digest) {
    let (bytes, upload) = (blob(0), repository.begin().await);
    let digest = digest_of(&bytes);
    let url = redirect(&upload, &bytes, &digest).await;
    let db = api::database(stack).await;
    let sending = upload.row(stack).await;
    let now = overside::domain::clock::Clock::System.now();
    let lease = Lease { owner: Uuid::nil(), expires_at: now + proof };
    let state = State::Finalizing { transfer: Transfer::Redirected, claim: digest.into(), lease };
    let claimed = Row { state, ..sending.clone() };
    assert!(db.swap_upload(&sending, &claimed, now).await.expect("a swap"));
    db.close().await;
    follow(&upload, &url, &bytes).await.expect(200);
    (upload, digest)
}

pub async fn too_late(stack: Arc<Stack>) {
    let server = stack.server(&["--clean-interval", "1h"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (_, digest) = held(&stack, &repository, TimeDelta::seconds(28)).await;
    let began = Instant::now();
    let (layers, url) = ([digest], repository.url(digest));
    let head = repository.http.head(&url).header("user-agent", CONTAINERD);
    let (read, head, told) = tokio::join!(
        Answer::to(repository.http.get(&url)),
        Answer::to(head),
        push_manifest(&repository, &layers)
    );
    assert_eq!((read.status, read.header("retry-after")), (503, Some("1")));
    assert_eq!(head.status, 429, "or it would send everything again");
    told.refused(429, "TOOMANYREQUESTS");
    assert_eq!(told.header("retry-after"), Some("1"));
    assert!(began.elapsed() < CLIENTS_PATIENCE, "{:?}", began.elapsed());
    push_manifest(&repository, &[digest]).await.expect(201);
}

pub async fn left(stack: Arc<Stack>) {
    // No cleaner takes it over.
    let server = stack.server(&["--clean-interval", "1h"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (upload, digest) = held(&stack, &repository, TimeDelta::seconds(1)).await;
    let deadline = Instant::now() + PATIENCE;
    while status(&upload).await != "completed" {
        assert!(Instant::now() < deadline, "nobody goes on: {}", upload.state().await.text());
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(stack.blob_hash(&digest).await, Some(digest));
}

/// Jobs that push one layer side by side, and some that were stopped.
pub async fn among_many(stack: Arc<Stack>) {
    const OTHERS: usize = 20;
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (bytes, mine) = (blob(0), repository.begin().await);
    let digest = digest_of(&bytes);
    let url = redirect(&mine, &bytes, &digest).await;
    for _ in 0..OTHERS {
        redirect(&repository.begin().await, &bytes, &digest).await;
    }
    follow(&mine, &url, &bytes).await.expect(200);
    push_manifest(&repository, &[digest]).await.expect(201);
}

pub async fn twice(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let bytes = blob(0);
    let first = repository.begin().await;
    let url = redirect(&first, &bytes, &digest_of(&bytes)).await;
    let (second, digest) = sent(&repository, &bytes).await;
    push_manifest(&repository, &[digest]).await.expect(201);
    assert_eq!((status(&first).await, status(&second).await), ("uploading".into(), "completed".into()));
    follow(&first, &url, &bytes).await.expect(200);
    let deadline = Instant::now() + PATIENCE;
    while status(&first).await != "completed" {
        assert!(Instant::now() < deadline, "nobody has looked at the first one");
        tokio::time::sleep(POLL).await;
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    holds_little_more(&stack, bytes.len() + 2).await;
}

/// A tag and its manifest beside these bytes, and nothing reserved.
async fn holds_little_more(stack: &Stack, stored: usize) {
    let [bytes, reserved, tags] = usage(stack, "team").await;
    let manifest = bytes - stored as u64;
    assert!(manifest < 1_000 && (reserved, tags) == (0, 1), "{bytes} {reserved} {tags}");
}

pub async fn elsewhere(stack: Arc<Stack>) {
    let (mut victim, survivor) = (stack.server(&[]).await, stack.server(&[]).await);
    let bytes = blob(0);
    let repository = Repository::of(victim.base_url(), NAME);
    let (upload, digest) = (repository.begin().await, digest_of(&bytes));
    let url = redirect(&upload, &bytes, &digest).await;
    victim.kill9();
    follow(&upload, &url, &bytes).await.expect(200);
    let repository = Repository::of(survivor.base_url(), NAME);
    push_manifest(&repository, &[digest]).await.expect(201);
    assert!(repository.read(&digest).await.expect(200).body == bytes);
}

/// As when the bucket has stored everything and then hung up: containerd comes back, and takes an answer before its last
/// byte for a failure.
pub async fn again(stack: Arc<Stack>) {
    const AT_ONCE: Duration = Duration::from_millis(500);
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let bytes = blob(0);
    let (upload, digest) = sent(&repository, &bytes).await;
    Answer::to(repository.http.head(repository.url(digest))).await.expect(200);
    let mut connection = raw::connect(server.base_url()).await;
    let path = upload.url.strip_prefix(server.base_url()).expect("a URL there");
    let head = format!(
        "PUT {path}?digest={digest} HTTP/1.1\r\nhost: test\r\nuser-agent: {CONTAINERD}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    let (first, last) = bytes.split_at(bytes.len() / 2);
    connection.write_all(&[head.as_bytes(), first].concat()).await.expect("it is read");
    let mut answer = [0; 12];
    let early = tokio::time::timeout(AT_ONCE, connection.read_exact(&mut answer)).await;
    assert!(early.is_err(), "{}", String::from_utf8_lossy(&answer));
    connection.write_all(last).await.expect("it is read");
    connection.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 201");
}
