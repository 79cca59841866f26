//! `sha256_midstates` in the finalizing `PUT`: they may spare time, and never decide what is published.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use overside::domain::midstate::Midstate;
use overside::domain::upload::Status;
use serde_json::json;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository, Upload};
use crate::support::process::Server;
use crate::support::trial::Story;

/// Three parts; their boundaries are whole blocks of SHA-256.
const SIZE: usize = 12_000_000;
const PART_SIZE: usize = 5 << 20;

pub fn cases() -> Vec<Story> {
    vec![
        ("midstates_prove_the_parts_side_by_side", right),
        ("wrong_midstates_publish_nothing_wrong_and_refuse_nothing_right", wrong),
        ("a_wrong_number_of_midstates_is_refused_and_the_upload_goes_on", miscounted),
    ]
}

fn right(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_server, repository, bytes) = start(&stack).await;
        let digest = api::digest_of(&bytes);
        let upload = uploaded(&repository, &bytes).await;
        finalize(&upload, &digest, &midstates_of(&bytes)).await.expect(201);
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert!(!stack.logs().contains("midstates do not fit"), "they were believed");
    }
    .boxed()
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_server, repository, bytes) = start(&stack).await;
        let digest = api::digest_of(&bytes);
        let other = api::content(SIZE + 1)[1..].to_vec();
        let fitting = midstates_of(&bytes);
        // Of other bytes, of the right ones in another order, and one that is of a middle of nothing.
        let swapped = vec![fitting[1].clone(), fitting[0].clone()];
        for midstates in [midstates_of(&other), swapped, vec![fitting[0].clone(), "00".repeat(32)]] {
            let upload = uploaded(&repository, &bytes).await;
            finalize(&upload, &digest, &midstates).await.expect(201);
        }
        // The claim and its whole chain are of other bytes than those that were sent.
        let claimed = api::digest_of(&other);
        let upload = uploaded(&repository, &bytes).await;
        finalize(&upload, &claimed, &midstates_of(&other)).await.refused(400, "DIGEST_INVALID");
        repository.read(&claimed).await.expect(404);
        assert_eq!(upload.row(&stack).await.state.status(), Status::Failed);
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn miscounted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_server, repository, bytes) = start(&stack).await;
        let digest = api::digest_of(&bytes);
        let upload = uploaded(&repository, &bytes).await;
        let refused = finalize(&upload, &digest, &midstates_of(&bytes)[..1]).await;
        let message = refused.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("has 1 entries; this upload takes 2"), "{message}");
        let refused = finalize(&upload, &digest, &["not hexadecimal".to_owned(), "ab".to_owned()]).await;
        assert!(refused.status == 400, "{}", refused.text());
        assert_eq!(upload.row(&stack).await.state.status(), Status::Uploading);
        upload.finalize(&digest).await.expect(201);
    }
    .boxed()
}

async fn start(stack: &Stack) -> (Server, Repository, Vec<u8>) {
    let server = stack.server(&["--part-size", "5MiB"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    (server, repository, api::content(SIZE))
}

/// Everything sent, in parts, and not finalized.
async fn uploaded(repository: &Repository, bytes: &[u8]) -> Upload {
    let upload = repository.begin().await;
    let size = bytes.len().to_string();
    let signed = upload.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    api::send_parts(&upload.http, &signed, bytes).await;
    upload
}

async fn finalize(upload: &Upload, digest: &Digest, midstates: &[String]) -> Answer {
    upload.finalize_with(digest, json!({ "sha256_midstates": midstates }).to_string()).await
}

fn midstates_of(bytes: &[u8]) -> Vec<String> {
    let mut hasher = Hasher::default();
    let mut midstates = Vec::new();
    for part in bytes.chunks(PART_SIZE) {
        hasher.update(part);
        midstates.extend(Midstate::of(&hasher).map(|midstate| midstate.to_string()));
    }
    // Where the last part ends in the middle of a block there is none after it anyway.
    midstates.truncate(bytes.len().div_ceil(PART_SIZE) - 1);
    midstates
}
