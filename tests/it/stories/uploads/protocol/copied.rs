//! A digest that the store computes while it copies: nothing is read, and nothing wrong is published.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::blob::Proof;
use overside::domain::digest::Digest;
use overside::domain::upload::Status;

use super::NAME;
use crate::support::api::{Repository, Upload, content, database, digest_of, send, send_parts};
use crate::support::process::Server;
use crate::support::trial::{Story, not_here};
use crate::support::{FaultProxy, Stack, Store};

const SIZE: usize = 12 << 20;
/// What a finalize may say to the store and hear from it: questions and answers, and no byte of a blob.
const TALK: u64 = 64 << 10;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_copy_proves_what_it_publishes_and_no_byte_of_it_is_read", proven),
        ("a_copy_of_other_bytes_than_claimed_publishes_nothing", wrong),
        ("bytes_that_are_there_already_are_proven_all_the_same", again),
    ]
}

/// A service on a bucket, and a counter between the two. None on the filesystem, whose copies compute nothing.
async fn counted(stack: &Stack) -> Option<(Server, FaultProxy)> {
    let Store::S3 { endpoint, .. } = &stack.store else { return None };
    let proxy = FaultProxy::in_front_of(endpoint).await;
    let flags = ["--s3-endpoint", proxy.url().as_str(), "--s3-public-endpoint", endpoint.as_str()];
    Some((stack.server(&[&flags[..], &["--part-size", "5MiB"]].concat()).await, proxy))
}

/// Uploads without a declared digest, in one PUT or in parts.
async fn uploaded(repository: &Repository, way: &str, bytes: &[u8]) -> Upload {
    let upload = repository.begin().await;
    let size = bytes.len().to_string();
    let signed = upload.sign(&[("size", &size), ("mode", way)]).await.expect(200).json();
    if way == "put" {
        assert_eq!(send(&upload.http, &signed, bytes.to_vec()).await.status, 200);
    } else {
        send_parts(&upload.http, &signed, bytes).await;
    }
    upload
}

async fn proof_of(stack: &Stack, digest: &Digest) -> Option<Proof> {
    let db = database(stack).await;
    let blob = db.find_blob(digest).await.expect("the database answers");
    db.close().await;
    blob.map(|blob| blob.proof)
}

/// What was said between service and store meanwhile, in bytes.
async fn talk<T>(proxy: &FaultProxy, work: impl Future<Output = T>) -> (T, u64) {
    let said = || proxy.traffic().to_client + proxy.traffic().to_target;
    let before = said();
    (work.await, said() - before)
}

fn proven(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Some((server, proxy)) = counted(&stack).await else {
            not_here("it is about a store that computes SHA-256")
        };
        let repository = Repository::of(server.base_url(), NAME);
        for (way, size) in [("put", SIZE), ("multipart", SIZE + 1), ("put", 1), ("multipart", 7)] {
            let bytes = content(size);
            let digest = digest_of(&bytes);
            let upload = uploaded(&repository, way, &bytes).await;
            let (answer, said) = talk(&proxy, upload.finalize(&digest)).await;
            answer.expect(201);
            assert!(said < TALK, "{way}: {said} bytes");
            assert_eq!(proof_of(&stack, &digest).await, Some(Proof::StoreCopy), "{way}");
            assert_eq!(stack.blob_bytes(&digest).await, Some(bytes), "{way}");
            assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "{way}");
        }
    }
    .boxed()
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Some((server, proxy)) = counted(&stack).await else {
            not_here("it is about a store that computes SHA-256")
        };
        let repository = Repository::of(server.base_url(), NAME);
        let (bytes, claimed) = (content(SIZE), digest_of(b"something else"));
        for way in ["put", "multipart"] {
            let upload = uploaded(&repository, way, &bytes).await;
            let (answer, said) = talk(&proxy, upload.finalize(&claimed)).await;
            let told = answer.refused(400, "DIGEST_INVALID");
            assert!(!told.contains(&digest_of(&bytes).to_string()), "they may be another's: {told}");
            assert!(said < TALK, "{way}: {said} bytes");
            assert_eq!(upload.row(&stack).await.state.status(), Status::Failed, "{way}");
            repository.read(&claimed).await.expect(404);
            assert_eq!(stack.objects().await, vec![], "{way}");
            assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "{way}");
        }
        assert_eq!(proof_of(&stack, &claimed).await, None);
    }
    .boxed()
}

/// That a blob is there is no proof that whoever finalizes it has its bytes.
fn again(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Some((server, proxy)) = counted(&stack).await else {
            not_here("it is about a store that computes SHA-256")
        };
        let repository = Repository::of(server.base_url(), NAME);
        let (bytes, mut other) = (content(SIZE), content(SIZE));
        other[SIZE / 2] ^= 1;
        let digest = digest_of(&bytes);
        uploaded(&repository, "multipart", &bytes).await.finalize(&digest).await.expect(201);
        for way in ["put", "multipart"] {
            let liar = uploaded(&repository, way, &other).await;
            liar.finalize(&digest).await.refused(400, "DIGEST_INVALID");
            let honest = uploaded(&repository, way, &bytes).await;
            let (answer, said) = talk(&proxy, honest.finalize(&digest)).await;
            answer.expect(201);
            assert!(said < TALK, "{way}: {said} bytes");
            assert_eq!(stack.blob_bytes(&digest).await.as_ref(), Some(&bytes), "{way}");
            assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "{way}");
        }
        assert_eq!(stack.objects().await.len(), 1);
    }
    .boxed()
}
