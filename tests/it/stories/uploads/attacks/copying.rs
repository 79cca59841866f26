//! `x-amz-copy-source`: `MinIO`, the `JuiceFS` gateway and `S3Proxy` make a copy of a PUT that has it, and read the
//! source by the rights of whoever signed the URL.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use overside::storage::key;

use super::{assert_nothing_left, repository, send_with, server, signed, tells};
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::servers::BUCKET;
use crate::support::trial::not_here;
use crate::support::{Stack, Store, bucket};

/// Of the secret, in bytes: above what is placed at once, below a part.
const SIZE: usize = (4 << 20) + 777;
const OTHER_BUCKET: &str = "overside-other";

/// Somebody else's bytes, and the bucket's names for them. None on the filesystem, which has no such header.
async fn secret(stack: &Stack, base_url: &str) -> Option<(Digest, Vec<String>)> {
    let Store::S3 { prefix, .. } = &stack.store else { return None };
    let bytes = content(SIZE);
    let digest = Repository::of(base_url, "victim/app").push(&bytes).await;
    stack.settled().await;
    // And one that the service knows nothing of.
    stack.store.write("foreign", &bytes).await;
    let blob = key::blob(&digest);
    Some((
        digest,
        vec![format!("{BUCKET}/{prefix}/{}", blob.as_str()), format!("/{BUCKET}/{prefix}/foreign")],
    ))
}

pub fn by_a_put(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let Some((digest, sources)) = secret(&stack, server.base_url()).await else {
            not_here("it is about buckets")
        };
        let uploads = copy_by_puts(&repository(&server), &digest, &sources).await;
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}

/// Tries every source, with and without a body.
async fn copy_by_puts(repository: &Repository, digest: &Digest, sources: &[String]) -> Vec<Upload> {
    let (size, mut uploads) = (SIZE.to_string(), Vec::new());
    // Of the announced length, so that this is not what stops it.
    let own = vec![7; SIZE];
    for source in sources {
        for (body, guess) in [(&own[..], false), (&own, true), (&[], false), (&[], true)] {
            let upload = repository.begin().await;
            let sized: &[(&str, &str)] = &[("mode", "put"), ("size", &size)];
            if let Some(signed) = signed(&upload, if body.is_empty() { &sized[..1] } else { sized }).await {
                send_with(&upload, &signed, &[("x-amz-copy-source", source)], body.to_vec()).await;
            }
            assert_not_taken(repository, &upload, digest, guess.then(|| digest_of(&own))).await;
            uploads.push(upload);
        }
    }
    uploads
}

/// Finalizes by a guess, or by no digest at all: neither gives the secret, or its digest, away. A mismatch of what was
/// copied past the service is as telling as a success.
async fn assert_not_taken(repository: &Repository, upload: &Upload, secret: &Digest, guess: Option<Digest>) {
    let answer = match guess {
        Some(guess) => upload.finalize(&guess).await,
        None => Answer::to(upload.http.put(&upload.url).query(&[("digest-algorithm", "sha256")])).await,
    };
    assert!(answer.status < 500, "{} {}", answer.status, answer.text());
    assert!(!tells(&answer, secret), "the digest was told: {}", answer.text());
    // Where a right guess is, it proves nothing that the guesser did not have.
    let known = upload.finalize(secret).await;
    assert!(
        matches!(known.status, 400 | 404 | 409),
        "what was copied is taken for the secret: {}",
        known.text()
    );
    assert_ne!(repository.read(secret).await.status, 200, "what was copied can be read");
}

pub fn by_a_part(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let Some((digest, sources)) = secret(&stack, server.base_url()).await else {
            not_here("it is about buckets")
        };
        let (repository, size) = (repository(&server), SIZE.to_string());
        let (own, whole, mut uploads) = (vec![7; SIZE], format!("bytes=0-{}", SIZE - 1), Vec::new());
        for source in &sources {
            for guess in [false, true] {
                let upload = repository.begin().await;
                if let Some(signed) = signed(&upload, &[("size", &size), ("mode", "multipart")]).await {
                    let beside =
                        [("x-amz-copy-source", source.as_str()), ("x-amz-copy-source-range", &whole)];
                    send_with(&upload, &signed["parts"][0], &beside, own.clone()).await;
                }
                assert_not_taken(&repository, &upload, &digest, guess.then(|| digest_of(&own))).await;
                uploads.push(upload);
            }
        }
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}

pub fn from_another_bucket(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, prefix, .. } = &stack.store else { not_here("it is about buckets") };
        let server = server(&stack).await;
        let (bytes, object) = (content(SIZE), prefix.clone());
        let client = bucket::client(endpoint, stack.store.keys());
        // One that is there already is as good. A gateway to one file system has no other.
        let _ = client.create_bucket().bucket(OTHER_BUCKET).send().await;
        let put = client.put_object().bucket(OTHER_BUCKET).key(&object).body(bytes.clone().into());
        if put.send().await.is_err() {
            not_here("it has one bucket");
        }
        let sources = [format!("{OTHER_BUCKET}/{object}")];
        let uploads = copy_by_puts(&repository(&server), &digest_of(&bytes), &sources).await;
        client.delete_object().bucket(OTHER_BUCKET).key(&object).send().await.expect("it is removed");
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}
