//! Finalize at once: of one blob, of one session, and against an abort.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};

use super::{assert_nothing_left, at, replicas, status};
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository};

const UPLOADS: usize = 64;
const REPOSITORIES: usize = 8;
const CLIENTS: usize = 16;
const RACES: usize = 14;
/// Races in which the abort sets out first.
const HEAD_STARTS: usize = 4;

enum Way {
    Put,
    Parts,
    Chunk,
}

pub fn one_digest(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = replicas(&stack).await;
        let content = api::content(100_000);
        let digest = api::digest_of(&content);
        let begun = (0..UPLOADS).map(|number| {
            let name = format!("team/app{}", number % REPOSITORIES);
            let repository = Repository::of(replicas[number % 2].base_url(), &name);
            let content = &content;
            async move {
                let upload = repository.begin().await;
                upload.put(content).await;
                upload
            }
        });
        let uploads = join_all(begun).await;

        for finalized in join_all(uploads.iter().map(|upload| upload.finalize(&digest))).await {
            let finalized = finalized.expect(201);
            assert_eq!(finalized.header("docker-content-digest"), Some(digest.to_string().as_str()));
        }
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_nothing_left(&stack).await;
        for upload in &uploads {
            assert_eq!(status(upload).await, "completed");
        }
        for number in 0..REPOSITORIES {
            let repository = Repository::of(replicas[number % 2].base_url(), &format!("team/app{number}"));
            assert!(repository.read(&digest).await.expect(200).body == content);
        }
    }
    .boxed()
}

pub fn one_session(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = replicas(&stack).await;
        let content = api::content(6_000_000);
        let digest = api::digest_of(&content);
        let repository = Repository::of(replicas[0].base_url(), "team/app");
        let size = content.len().to_string();
        for way in [Way::Put, Way::Parts, Way::Chunk] {
            let upload = repository.begin().await;
            match way {
                Way::Put => upload.put(&content).await,
                Way::Parts => {
                    let query = [("mode", "multipart"), ("size", size.as_str())];
                    let signed = upload.sign(&query).await.expect(200).json();
                    assert_eq!(api::send_parts(&upload.http, &signed, &content).await.len(), 2);
                }
                Way::Chunk => drop(upload.patch(None, content.clone()).await.expect(202)),
            }
            let clients: Vec<_> = (0..CLIENTS).map(|number| at(&replicas[number % 2], &upload)).collect();
            for finalized in join_all(clients.iter().map(|client| client.finalize(&digest))).await {
                finalized.expect(201);
            }
            assert_eq!(status(&upload).await, "completed");
            assert_eq!(stack.objects().await.len(), 1);
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
        let mut published = 0;
        for race in 0..RACES {
            let content = api::content(50_000 + race);
            let digest = api::digest_of(&content);
            let upload = repository.begin().await;
            upload.put(&content).await;
            let other = at(&replicas[1], &upload);
            // The abort from well before the finalize to well after it.
            let (head_start, delay) =
                (2 * HEAD_STARTS.saturating_sub(race), 3 * race.saturating_sub(HEAD_STARTS));
            let finalize = async {
                tokio::time::sleep(Duration::from_millis(head_start as u64)).await;
                upload.finalize(&digest).await
            };
            let abort = async {
                tokio::time::sleep(Duration::from_millis(delay as u64)).await;
                other.abort().await
            };
            let (finalized, aborted) = tokio::join!(finalize, abort);
            let head = Answer::to(upload.http.head(repository.url(digest))).await.status;
            if finalized.status == 201 {
                match aborted.status {
                    409 => drop(aborted.refused(409, "BLOB_UPLOAD_INVALID")),
                    _ => drop(aborted.refused(404, "BLOB_UPLOAD_UNKNOWN")),
                }
                assert_eq!((head, status(&upload).await.as_str()), (200, "completed"));
                assert_eq!(stack.blob_hash(&digest).await, Some(digest));
                published += 1;
            } else {
                finalized.refused(404, "BLOB_UPLOAD_UNKNOWN");
                aborted.expect(204);
                assert_eq!((head, status(&upload).await.as_str()), (404, "aborted"));
                assert_eq!(stack.blob_hash(&digest).await, None);
            }
            assert_eq!(stack.objects().await.len(), published);
            assert_nothing_left(&stack).await;
        }
        assert!((1..RACES).contains(&published), "{published} of {RACES} were published");
    }
    .boxed()
}
