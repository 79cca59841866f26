//! A presigned PUT can be sent again for as long as its URL lives, with other bytes, at the worst moment.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use super::{assert_nothing_left, clean, replicas, status};
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository};

const RACES: usize = 10;
const REPLAYS: usize = 6;

pub fn during_finalize(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = replicas(&stack).await;
        let repository = Repository::of(replicas[0].base_url(), "team/app");
        let mut published = Vec::new();
        for race in 0..RACES {
            let content = api::content(300_000 + race);
            // As long as the content, so that the signed length does not stop it.
            let other = content.iter().rev().copied().collect::<Vec<_>>();
            let (digest, wrong) = (api::digest_of(&content), api::digest_of(&other));
            let upload = repository.begin().await;
            let signed = upload.sign(&[("size", &content.len().to_string())]).await.expect(200).json();
            api::send(&upload.http, &signed, content.clone()).await.expect(200);
            let replays = async {
                tokio::time::sleep(Duration::from_millis(2 * race as u64)).await;
                for _ in 0..REPLAYS {
                    api::send(&upload.http, &signed, other.clone()).await;
                }
            };
            let (finalized, ()) = tokio::join!(upload.finalize(&digest), replays);
            // The digest of what was published meanwhile, if anything was.
            let is_published = match finalized.status {
                201 => true,
                // Replaced before it was sealed: the wrong bytes were judged, and the upload with them.
                400 if status(&upload).await == "failed" => {
                    finalized.refused(400, "DIGEST_INVALID");
                    false
                }
                // Replaced between two steps: nothing was judged, so it is sent again.
                _ => {
                    finalized.refused(400, "BLOB_UPLOAD_INVALID");
                    assert_eq!(status(&upload).await, "uploading");
                    api::send(&upload.http, &signed, content.clone()).await.expect(200);
                    upload.finalize(&digest).await.expect(201);
                    true
                }
            };
            if is_published {
                published.push(digest);
                // Once more, now that nobody looks any longer.
                api::send(&upload.http, &signed, other.clone()).await;
                assert_eq!(status(&upload).await, "completed");
                assert!(repository.read(&digest).await.expect(200).body == content);
            }
            let head = Answer::to(upload.http.head(repository.url(digest))).await.status;
            assert_eq!(head, if is_published { 200 } else { 404 });
            assert_eq!(Answer::to(upload.http.head(repository.url(wrong))).await.status, 404);
            assert_eq!(stack.objects().await.len(), published.len());
        }
        // On a bucket the last replay has brought the temporary object back.
        clean(&stack).await;
        assert_nothing_left(&stack).await;
        for digest in &published {
            assert_eq!(stack.blob_hash(digest).await, Some(*digest));
        }
        assert_eq!(stack.objects().await.len(), published.len());
    }
    .boxed()
}
