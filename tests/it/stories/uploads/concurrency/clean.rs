//! Four cleaners that forgive nothing, beside uploads of every kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures_util::future::{BoxFuture, FutureExt, join_all};

use super::{assert_nothing_left, at, clean, replicas, status};
use crate::support::Stack;
use crate::support::api::{self, Repository, Upload};
use crate::support::process::Server;

/// Uploads at once, in turn by one PUT, by chunks and by parts.
const CLIENTS: usize = 12;
const UPLOADS_EACH: usize = 3;
/// A part of 5 MiB and a short one.
const SIZE: usize = 5_300_000;

pub fn beside_uploads(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let quiet = replicas(&stack).await;
        let repository = Repository::of(quiet[0].base_url(), "team/app");
        // Signed before the cleaners start: a grace of nothing leaves no time between the multipart upload at
        // the store and the session that will know it. That is what the grace is for.
        let size = (SIZE + 2 * UPLOADS_EACH).to_string();
        let by_parts = join_all((0..CLIENTS / 3).map(|_| async {
            let upload = repository.begin().await;
            upload.sign(&[("mode", "multipart"), ("size", &size)]).await.expect(200);
            upload
        }));
        let by_parts = by_parts.await;
        let flags = ["--part-size", "5MiB", "--clean-interval", "50ms", "--sweep-grace", "1ms"];
        let cleaning = [stack.server(&flags).await, stack.server(&flags).await];

        let is_done = AtomicBool::new(false);
        let commands = async {
            while !is_done.load(SeqCst) {
                tokio::join!(clean(&stack), clean(&stack));
            }
        };
        let uploading = async {
            let clients = (0..CLIENTS).map(|client| upload_all(client, &cleaning[client % 2], &by_parts));
            let sent: Vec<_> = join_all(clients).await.into_iter().flatten().collect();
            is_done.store(true, SeqCst);
            sent
        };
        let (sent, ()) = tokio::join!(uploading, commands);

        for (upload, content) in &sent {
            let digest = api::digest_of(content);
            assert_eq!(status(upload).await, "completed");
            assert!(repository.read(&digest).await.expect(200).body == *content);
            assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        }
        assert_eq!(stack.objects().await.len(), sent.len());
        drop(cleaning);
        clean(&stack).await;
        assert_nothing_left(&stack).await;
    }
    .boxed()
}

/// One client's uploads, one after the other; content differs between any two.
async fn upload_all(client: usize, server: &Server, by_parts: &[Upload]) -> Vec<(Upload, Vec<u8>)> {
    let repository = Repository::of(server.base_url(), "team/app");
    let mut sent = Vec::new();
    if client.is_multiple_of(3) {
        let upload = at(server, &by_parts[client / 3]);
        let mut content = api::content(SIZE + 2 * UPLOADS_EACH);
        content[0] = u8::try_from(client).expect("few clients");
        let signed = upload.sign(&[]).await.expect(200).json();
        assert_eq!(api::send_parts(&upload.http, &signed, &content).await.len(), 2);
        upload.finalize(&api::digest_of(&content)).await.expect(201);
        sent.push((upload, content));
        return sent;
    }
    for number in 0..UPLOADS_EACH {
        let upload = repository.begin().await;
        let mut content = api::content(SIZE + number);
        content[0] = u8::try_from(client).expect("few clients");
        let digest = api::digest_of(&content);
        if client % 3 == 1 {
            upload.put(&content).await;
            upload.finalize(&digest).await.expect(201);
        } else {
            upload.patch(None, content[..SIZE / 2].to_vec()).await.expect(202);
            upload.patch(None, content[SIZE / 2..SIZE - 5].to_vec()).await.expect(202);
            upload.finalize_with(&digest, content[SIZE - 5..].to_vec()).await.expect(201);
        }
        sent.push((upload, content));
    }
    sent
}
