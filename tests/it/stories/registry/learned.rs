//! The algorithm learned at the end: nobody has to say at the beginning what the digest will be.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::blob::Proof;
use overside::domain::digest::Digest;
use overside::domain::upload::Upload as Session;

use super::{NAME, SMALL_PARTS, proof, sha512_of};
use crate::support::Stack;
use crate::support::api::{Repository, Upload, content, database, digest_of};
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_blob_in_the_finalizing_put_is_hashed_as_its_digest_says", whole),
        ("chunks_that_were_hashed_with_another_algorithm_are_read_back", chunked),
        ("a_last_chunk_that_is_sent_again_after_a_crash_counts_once", again),
        ("a_finalizing_put_of_another_digest_than_was_declared_changes_nothing", redeclared),
    ]
}

/// What was said at the beginning, and what it turns out to be.
fn guesses(bytes: &[u8]) -> [(&'static str, Digest); 2] {
    [("sha256", sha512_of(bytes)), ("sha512", digest_of(bytes))]
}

fn whole(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&SMALL_PARTS).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(6 << 20);
        for (guess, digest) in guesses(&bytes) {
            let upload = repository.begin_with(&[("digest-algorithm", guess)]).await;
            // An earlier try that brought nothing spoils nothing.
            upload.patch(None, "").await.expect(202);
            upload.finalize_with(&digest, bytes.clone()).await.expect(201);
            assert_eq!(proof(&stack, &digest).await, Some(Proof::Streamed), "{digest}");
            assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        }
        let bytes = content(70_000);
        let digest = sha512_of(&bytes);
        repository.begin().await.finalize_with(&digest, bytes).await.expect(201);
        assert_eq!(proof(&stack, &digest).await, Some(Proof::Streamed));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn chunked(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&SMALL_PARTS).await;
        let repository = Repository::of(server.base_url(), NAME);
        // Less than a part, and more; the last chunk with the end, and before it.
        for (length, cut) in [(50_000, 50_000), (50_001, 20_000), (6 << 20, 1000), (11_000_000, 11_000_000)] {
            let bytes = content(length);
            for (guess, digest) in guesses(&bytes) {
                let upload = repository.begin_with(&[("digest-algorithm", guess)]).await;
                upload.patch(None, bytes[..cut].to_vec()).await.expect(202);
                upload.finalize_with(&digest, bytes[cut..].to_vec()).await.expect(201);
                // How a last chunk is known again after a crash.
                let declared = (cut < length).then_some(digest);
                assert_eq!(upload.row(&stack).await.declared_digest, declared);
                assert_eq!(proof(&stack, &digest).await, Some(Proof::ReadBack), "{length} {digest}");
                assert_eq!(stack.blob_hash(&digest).await, Some(digest));
            }
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn again(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(90_000);
        for digest in [digest_of(&bytes), sha512_of(&bytes)] {
            let upload = repository.begin().await;
            for chunk in [&bytes[..60_000], &bytes[60_000..]] {
                upload.patch(None, chunk.to_vec()).await.expect(202);
            }
            crashed_before_the_claim(&stack, &upload, digest).await;
            upload.finalize_with(&digest, bytes[60_000..].to_vec()).await.expect(201);
            assert_eq!(stack.blob_bytes(&digest).await.as_ref(), Some(&bytes), "{digest}");
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

/// Leaves a session as a server does that dies when it has stored the last chunk of a finalizing `PUT`.
async fn crashed_before_the_claim(stack: &Stack, upload: &Upload, digest: Digest) {
    let row = upload.row(stack).await;
    let db = database(stack).await;
    let left = Session { declared_digest: Some(digest), ..row.clone() };
    assert!(db.swap_upload(&row, &left, row.updated_at).await.expect("the database answers"));
    db.close().await;
}

fn redeclared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(1000);
        let digest = digest_of(&bytes);
        let upload = repository.begin_with(&[("digest", &digest.to_string())]).await;
        upload.patch(None, bytes[..600].to_vec()).await.expect(202);
        let other = upload.finalize_with(&sha512_of(&bytes), bytes[600..].to_vec()).await;
        let message = other.refused(400, "DIGEST_INVALID");
        assert!(message.contains("declared with another digest"), "{message}");
        assert_eq!(upload.state().await.json()["received_offset"], 600);
        upload.finalize_with(&digest, bytes[600..].to_vec()).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
