//! Headers that a store keeps with an object: who may read it, how long it stays, what browsers make of it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::storage::key;
use reqwest::header::HeaderMap;

use super::{assert_nothing_left, repository, send_with, server, signed};
use crate::support::api::{Answer, content, digest_of};
use crate::support::servers::BUCKET;
use crate::support::trial::not_here;
use crate::support::{Stack, Store};

const SIZE: usize = 100_000;
/// For customer's keys: 32 bytes and their MD5, in base64.
const CUSTOMER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const CUSTOMER_KEY_MD5: &str = "hRasmdxgYDKV3nvbahU1MA==";

const BESIDE: [&[(&str, &str)]; 10] = [
    &[("x-amz-acl", "public-read")],
    &[("x-amz-grant-read", "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"")],
    &[("x-amz-tagging", "stranger=was-here")],
    &[("x-amz-storage-class", "REDUCED_REDUNDANCY")],
    &[("x-amz-website-redirect-location", "http://example.invalid/")],
    &[("content-encoding", "gzip"), ("cache-control", "no-store"), ("content-disposition", "inline")],
    &[("content-type", "text/html"), ("x-amz-meta-stranger", "was here")],
    &[
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", "2199-01-01T00:00:00Z"),
    ],
    &[("x-amz-object-lock-legal-hold", "ON")],
    &[
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption-customer-key", CUSTOMER_KEY),
        ("x-amz-server-side-encryption-customer-key-md5", CUSTOMER_KEY_MD5),
    ],
];

/// A small blob and one that is placed behind its answer: the one is copied before the commit, the other after.
pub fn published(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let repository = repository(&server);
        let mut uploads = Vec::new();
        for (number, beside) in BESIDE.into_iter().enumerate() {
            for declared in [true, false] {
                let bytes = content(SIZE + 2 * number + usize::from(declared));
                let (digest, size) = (digest_of(&bytes), bytes.len().to_string());
                let text = digest.to_string();
                let query = [("size", size.as_str()), ("digest", text.as_str())];
                let upload = repository.begin().await;
                let Some(signed) = signed(&upload, &query[..=usize::from(declared)]).await else {
                    continue;
                };
                send_with(&upload, &signed, beside, bytes.clone()).await;
                let finalized = upload.finalize(&digest).await;
                uploads.push(upload);
                // What is refused is refused by a word that says so.
                assert!(matches!(finalized.status, 201 | 400), "{beside:?}: {}", finalized.text());
                if finalized.status == 201 {
                    assert_clean(&stack, &repository, &digest, &bytes, beside).await;
                } else {
                    repository.read(&digest).await.expect(404);
                }
            }
        }
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}

async fn assert_clean(
    stack: &Stack,
    repository: &crate::support::api::Repository,
    digest: &overside::domain::digest::Digest,
    bytes: &[u8],
    beside: &[(&str, &str)],
) {
    stack.settled().await;
    let read = repository.read(digest).await.expect(200);
    assert!(read.body == bytes, "{beside:?}: other bytes are served");
    assert!(!carries(&read.headers, beside), "{beside:?} was published: {:?}", read.headers);
    let Store::S3 { endpoint, prefix, client, .. } = &stack.store else { not_here("it is about buckets") };
    let path = format!("{prefix}/{}", key::blob(digest).as_str());
    // A store without tags says so.
    if let Ok(tags) = client.get_object_tagging().bucket(BUCKET).key(&path).send().await {
        assert_eq!(tags.tag_set, [], "{beside:?}");
    }
    let place = format!("{BUCKET}/{path}");
    let url = endpoint.join(&place).expect("a URL");
    let stranger = Answer::to(crate::support::http().get(url)).await;
    assert!(matches!(stranger.status, 401 | 403), "{beside:?}: a stranger reads it: {}", stranger.status);
}

/// Whether an answer has a header as an uploader sent it: `content-disposition` we give ourselves.
fn carries(headers: &HeaderMap, beside: &[(&str, &str)]) -> bool {
    beside.iter().any(|(name, sent)| headers.get(*name).is_some_and(|value| value == sent))
}

pub fn parts(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let repository = repository(&server);
        let mut uploads = Vec::new();
        for (number, beside) in BESIDE.into_iter().enumerate() {
            // One part is as many as it takes.
            let bytes = content(SIZE + 100 + number);
            let (digest, size) = (digest_of(&bytes), bytes.len().to_string());
            let upload = repository.begin().await;
            let Some(signed) = signed(&upload, &[("size", &size), ("mode", "multipart")]).await else {
                continue;
            };
            send_with(&upload, &signed["parts"][0], beside, bytes.clone()).await;
            let finalized = upload.finalize(&digest).await;
            uploads.push(upload);
            assert!(matches!(finalized.status, 201 | 400), "{beside:?}: {}", finalized.text());
            if finalized.status == 201 {
                assert_clean(&stack, &repository, &digest, &bytes, beside).await;
            } else {
                repository.read(&digest).await.expect(404);
            }
        }
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}
