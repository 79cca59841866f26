//! `--max-blob-size`, on every way that bytes can take.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream;
use overside::domain::upload::Status;
use reqwest::Body;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, content, digest_of, send};
use crate::support::trial::Story;

const LIMIT: usize = 1 << 20;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_blob_that_is_declared_too_large_is_refused_before_a_byte_is_sent", declared),
        ("a_blob_that_grows_too_large_on_its_way_through_is_refused", proxied),
        ("a_blob_that_is_found_too_large_at_the_end_is_discarded", found),
        ("a_blob_of_exactly_the_limit_is_taken", exact),
    ]
}

fn declared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "1MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = repository.begin().await;
        for mode in ["put", "multipart"] {
            let message =
                upload.sign(&[("size", "1048577"), ("mode", mode)]).await.refused(413, "SIZE_INVALID");
            assert!(message.contains("1048576"), "{message}");
        }
        let too_large = content(LIMIT + 1);
        upload.patch(None, too_large.clone()).await.refused(413, "SIZE_INVALID");
        // The answer reaches a client that has far more to send than sockets hold.
        upload.patch(None, vec![0; 64 << 20]).await.refused(413, "SIZE_INVALID");
        upload.finalize_with(&digest_of(&too_large), too_large.clone()).await.refused(413, "SIZE_INVALID");
        let query = [("digest", digest_of(&too_large).to_string())];
        let push = repository.http.post(repository.url("uploads/")).query(&query).body(too_large);
        Answer::to(push).await.refused(413, "SIZE_INVALID");
        assert_eq!(upload.state().await.json()["status"], "pending");
        assert_eq!(stack.objects().await, vec![]);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn proxied(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "1MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = repository.begin().await;
        upload.patch(None, content(LIMIT - 10)).await.expect(202);
        // Each says only its own length, or none at all.
        upload.patch(None, "eleven bytes").await.refused(413, "SIZE_INVALID");
        upload.patch(None, unsized_body(&[7; 11])).await.refused(413, "SIZE_INVALID");
        let range = format!("{}-{}", LIMIT - 10, LIMIT);
        upload.patch(Some(&range), "eleven byte").await.refused(413, "SIZE_INVALID");
        assert_eq!(upload.state().await.json()["received_offset"], LIMIT - 10, "nothing of it counts");

        let fresh = repository.begin().await;
        let too_large = content(LIMIT + 1);
        fresh.patch(None, unsized_body(&too_large)).await.refused(413, "SIZE_INVALID");
        let query = [("digest", digest_of(&too_large).to_string())];
        let push =
            repository.http.post(repository.url("uploads/")).query(&query).body(unsized_body(&too_large));
        Answer::to(push).await.refused(413, "SIZE_INVALID");

        let mut whole = content(LIMIT - 10);
        whole.extend_from_slice(&[7; 10]);
        upload.finalize_with(&digest_of(&whole), vec![7; 10]).await.expect(201);
        assert_eq!(fresh.abort().await.status, 204);
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn found(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        // The store cannot know the limit of a URL that is bound to no size, and the one who signed it may have
        // had another limit.
        let (generous, strict) = (stack.server(&[]).await, stack.server(&["--max-blob-size", "1MiB"]).await);
        let upload = Repository::of(generous.base_url(), NAME).begin().await;
        let signed = upload.sign(&[]).await.expect(200).json();
        let too_large = content(LIMIT + 1);
        assert_eq!(send(&upload.http, &signed, too_large.clone()).await.status, 200);
        let mut there = upload.clone();
        there.url = upload.url.replace(generous.base_url(), strict.base_url());
        let message = there.finalize(&digest_of(&too_large)).await.refused(400, "SIZE_INVALID");
        assert!(message.contains("1048577 bytes were uploaded") && message.contains("1048576"), "{message}");
        assert_eq!(upload.row(&stack).await.state.status(), Status::Failed);
        assert_eq!(stack.objects().await, vec![]);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn exact(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "1MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(LIMIT);
        let digest = digest_of(&bytes);
        assert_eq!(repository.push(&bytes).await, digest);
        let upload = repository.begin().await;
        upload.put(&bytes).await;
        upload.finalize(&digest).await.expect(201);
        let upload = repository.begin().await;
        upload.patch(None, unsized_body(&bytes)).await.expect(202);
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

/// A body whose length the service learns only by reading it.
fn unsized_body(bytes: &[u8]) -> Body {
    let blocks: Vec<_> =
        bytes.chunks(64 << 10).map(|block| Ok::<_, std::io::Error>(Bytes::copy_from_slice(block))).collect();
    Body::wrap_stream(stream::iter(blocks))
}
