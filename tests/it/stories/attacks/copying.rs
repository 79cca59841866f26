//! `x-amz-copy-source`: `MinIO`, the `JuiceFS` gateway and `S3Proxy` make a copy of a PUT that has it, and read the
//! source by the rights of whoever signed the URL.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use overside::storage::key;

use super::{assert_nothing_left, repository, send_with, server, signed, tells};
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::servers::BUCKET;
use crate::support::{Stack, Store, bucket};

/// Of the secret, in bytes: above what is placed at once, in one part and a little.
const SIZE: usize = (5 << 20) + 777;
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
        let Some((digest, sources)) = secret(&stack, server.base_url()).await else { return };
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
        for body in [own.clone(), Vec::new()] {
            let upload = repository.begin().await;
            let sized: &[(&str, &str)] = &[("size", &size), ("mode", "put")];
            if let Some(signed) = signed(&upload, if body.is_empty() { &sized[1..] } else { sized }).await {
                send_with(&upload, &signed, &[("x-amz-copy-source", source)], body).await;
            }
            assert_not_taken(repository, &upload, digest, &digest_of(&own)).await;
            uploads.push(upload);
        }
    }
    uploads
}

/// Finalizes by a guess, and then by no digest at all: neither gives the secret, or its digest, away.
async fn assert_not_taken(repository: &Repository, upload: &Upload, secret: &Digest, guess: &Digest) {
    let by_none = upload.http.put(&upload.url).query(&[("digest-algorithm", "sha256")]);
    for answer in [upload.finalize(guess).await, Answer::to(by_none).await] {
        assert!(answer.status < 500, "{} {}", answer.status, answer.text());
        assert!(!tells(&answer, secret), "the digest was told: {}", answer.text());
    }
    assert_ne!(repository.read(secret).await.status, 200, "what was copied can be read");
}

pub fn by_a_part(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let Some((digest, sources)) = secret(&stack, server.base_url()).await else { return };
        let (repository, size) = (repository(&server), SIZE.to_string());
        let (part, mut uploads) = (5 << 20, Vec::new());
        let ranges = [format!("bytes=0-{}", part - 1), format!("bytes={part}-{}", SIZE - 1)];
        for source in &sources {
            let upload = repository.begin().await;
            if let Some(signed) = signed(&upload, &[("size", &size), ("mode", "multipart")]).await {
                for (part, range) in signed["parts"].as_array().expect("parts").iter().zip(&ranges) {
                    let beside = [("x-amz-copy-source", source.as_str()), ("x-amz-copy-source-range", range)];
                    let length = part["size"].as_u64().and_then(|size| usize::try_from(size).ok());
                    send_with(&upload, part, &beside, vec![7; length.expect("a size")]).await;
                }
            }
            assert_not_taken(&repository, &upload, &digest, &digest_of(&vec![7; SIZE])).await;
            uploads.push(upload);
        }
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}

pub fn from_another_bucket(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, prefix, .. } = &stack.store else { return };
        let server = server(&stack).await;
        let (bytes, object) = (content(SIZE), prefix.clone());
        let client = bucket::client(endpoint, stack.store.keys());
        // One that is there already is as good.
        let _ = client.create_bucket().bucket(OTHER_BUCKET).send().await;
        let put = client.put_object().bucket(OTHER_BUCKET).key(&object).body(bytes.clone().into());
        put.send().await.expect("an object");
        let sources = [format!("{OTHER_BUCKET}/{object}")];
        let uploads = copy_by_puts(&repository(&server), &digest_of(&bytes), &sources).await;
        client.delete_object().bucket(OTHER_BUCKET).key(&object).send().await.expect("it is removed");
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}
