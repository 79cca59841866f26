//! Append at once: two chunks for one place, and an abort under a chunk.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream;
use reqwest::Body;
use tokio::sync::mpsc;

use super::{POLL, SEEN_LIMIT, assert_nothing_left, at, clean, replicas, status, until};
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository};

const RACES: usize = 6;
/// A part of 5 MiB and a tail.
const CHUNK: usize = 6_000_000;

pub fn for_one_place(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = replicas(&stack).await;
        let repository = Repository::of(replicas[0].base_url(), "team/app");
        for race in 0..RACES {
            let upload = repository.begin().await;
            let other = at(&replicas[1], &upload);
            let first = api::content(CHUNK + 2 * race);
            let mut second = api::content(CHUNK + 2 * race + 1);
            second.truncate(first.len());
            let range = format!("0-{}", first.len() - 1);
            let (one, two) = tokio::join!(
                upload.patch(Some(&range), first.clone()),
                other.patch(Some(&range), second.clone())
            );
            let (taken, content, refused) =
                if one.status == 202 { (one, first, two) } else { (two, second, one) };
            assert_eq!(taken.expect(202).header("range"), Some(range.as_str()));
            match refused.status {
                416 => drop(refused.refused(416, "BLOB_UPLOAD_INVALID")),
                _ => drop(refused.refused(409, "BLOB_UPLOAD_INVALID")),
            }

            let digest = api::digest_of(&content);
            upload.finalize(&digest).await.expect(201);
            assert_eq!(stack.blob_hash(&digest).await, Some(digest));
            assert_eq!(stack.objects().await.len(), race + 1);
            assert_nothing_left(&stack).await;
        }
    }
    .boxed()
}

pub fn while_another_comes(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = replicas(&stack).await;
        let upload = Repository::of(replicas[0].base_url(), "team/app").begin().await;
        let other = at(&replicas[1], &upload);
        let content = api::content(CHUNK);
        let digest = api::digest_of(&content);
        let (sender, body) = held();
        let appending = tokio::spawn({
            let upload = upload.clone();
            async move { upload.patch(None, body).await }
        });
        sender.send(content[..CHUNK / 2].to_vec()).await.expect("somebody reads");
        until(&other, "uploading").await;

        // Each waits for the other chunk as long as there is hope.
        let refusals = [&upload, &other].map(|client| async {
            let (chunk, end) = tokio::join!(client.patch(None, api::content(1000)), client.finalize(&digest));
            chunk.refused(409, "BLOB_UPLOAD_INVALID");
            end.refused(409, "BLOB_UPLOAD_INVALID");
        });
        join_all(refusals).await;
        sender.send(content[CHUNK / 2..].to_vec()).await.expect("somebody reads");
        drop(sender);
        appending.await.expect("an answer").expect(202);
        other.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_nothing_left(&stack).await;
    }
    .boxed()
}

async fn until_appended_to(upload: &api::Upload, stack: &Stack) {
    let deadline = Instant::now() + SEEN_LIMIT;
    while upload.row(stack).await.state.lease().is_none() {
        assert!(Instant::now() < deadline, "nobody appends");
        tokio::time::sleep(POLL).await;
    }
}

pub fn after_a_half_open_connection(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let flags = ["--part-size", "5MiB", "--lease", "6s", "--clean-interval", "1h"];
        let replicas = [stack.server(&flags).await, stack.server(&flags).await];
        let content = api::content(CHUNK);
        let digest = api::digest_of(&content);
        // To the same replica, and to another one; with nothing stored before, and with a chunk that was.
        for (replica, stored) in [(0, 0), (1, 100_000)] {
            let upload = Repository::of(replicas[0].base_url(), &format!("team/app{replica}")).begin().await;
            let other = at(&replicas[replica], &upload);
            if stored > 0 {
                upload.patch(None, content[..stored].to_vec()).await.expect(202);
            }
            let (sender, body) = held();
            let appending = tokio::spawn({
                let upload = upload.clone();
                async move { upload.patch(None, body).await }
            });
            // More than a part of it is in the store already.
            let arrived = CHUNK - 1000;
            sender.send(content[stored..arrived].to_vec()).await.expect("somebody reads");
            until_appended_to(&other, &stack).await;
            // Who does not know where it goes on is told that somebody is at it.
            other.patch(None, "more").await.refused(409, "BLOB_UPLOAD_INVALID");
            let begun = Instant::now();
            let range = format!("{stored}-{}", CHUNK - 1);
            let told = other.patch(Some(&range), content[stored..].to_vec()).await;
            assert!(begun.elapsed() < SEEN_LIMIT, "it took {:?}", begun.elapsed());
            appending.await.expect("an answer").refused(409, "BLOB_UPLOAD_INVALID");
            drop(sender);
            // Nothing that had arrived is lost.
            told.refused(416, "BLOB_UPLOAD_INVALID");
            let last = told.header("range").and_then(|range| range.strip_prefix("0-")?.parse::<usize>().ok());
            let offset = last.expect("where to go on") + 1;
            // A busy machine may not have read all of it.
            assert!((stored + 1..=arrived).contains(&offset), "{offset} of {arrived}");
            let range = format!("{offset}-{}", CHUNK - 1);
            other.patch(Some(&range), content[offset..].to_vec()).await.expect(202);
            other.finalize(&digest).await.expect(201);
            assert_eq!(stack.blob_hash(&digest).await, Some(digest));
            assert_nothing_left(&stack).await;
        }
    }
    .boxed()
}

pub fn against_abort(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = replicas(&stack).await;
        let repository = Repository::of(replicas[0].base_url(), "team/app");
        let content = api::content(CHUNK);
        let digest = api::digest_of(&content);
        // With nothing stored before, and with a chunk that was.
        for stored in [0, 100_000] {
            let upload = repository.begin().await;
            if stored > 0 {
                upload.patch(None, content[..stored].to_vec()).await.expect(202);
            }
            let (sender, body) = held();
            let appending = tokio::spawn({
                let upload = upload.clone();
                async move { upload.patch(None, body).await }
            });
            // More than one part, so that some of it may be in the store when the upload ends.
            sender.send(content[stored..CHUNK - 1000].to_vec()).await.expect("somebody reads");
            let other = at(&replicas[1], &upload);
            until_appended_to(&other, &stack).await;
            other.abort().await.expect(204);
            sender.send(content[CHUNK - 1000..].to_vec()).await.expect("somebody reads");
            drop(sender);

            appending.await.expect("an answer").refused(404, "BLOB_UPLOAD_UNKNOWN");
            upload.finalize(&digest).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
            assert_eq!(status(&upload).await, "aborted");
            assert_eq!(Answer::to(upload.http.head(repository.url(digest))).await.status, 404);
            // What the chunk stored behind the abort's back.
            clean(&stack).await;
            assert_nothing_left(&stack).await;
            assert_eq!(stack.objects().await, []);
        }
    }
    .boxed()
}

/// A body that goes on when it is told to.
fn held() -> (mpsc::Sender<Vec<u8>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let next = |mut receiver: mpsc::Receiver<Vec<u8>>| async move {
        let bytes = Bytes::from(receiver.recv().await?);
        Some((Ok::<_, std::io::Error>(bytes), receiver))
    };
    (sender, Body::wrap_stream(stream::unfold(receiver, next)))
}
