//! `PATCH` and `PUT` with a body: streaming through the service, as stock OCI clients do.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream;
use overside::domain::blob::Proof;
use reqwest::Body;
use reqwest::header::CONTENT_RANGE;

use super::NAME;
use crate::support::api::{Answer, Repository, content, database, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("chunks_are_appended_with_and_without_a_content_range", chunks),
        ("a_chunk_out_of_order_is_refused_with_the_offset_to_go_on_at", out_of_order),
        ("the_last_chunk_may_come_with_the_finalizing_put", last_chunk),
        ("the_whole_blob_may_come_with_the_finalizing_put", put_only),
        ("chunks_larger_than_a_part_and_of_any_size_come_out_as_they_went_in", large_chunks),
    ]
}

fn chunks(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        assert_answer!(upload.patch(Some("0-9"), "0123456789").await.rendered(), @r"
        202 Accepted
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: <uuid>
        location: <origin>/v2/team/app/model/blobs/uploads/<uuid>
        range: 0-9
        upload-uuid: <uuid>
        ");
        let rfc9110 = upload.patch(Some("bytes 10-12/*"), "abc").await.expect(202);
        assert_eq!(rfc9110.header("range"), Some("0-12"));
        let sized = upload.patch(Some("bytes 13-14/100"), "de").await.expect(202);
        assert_eq!(sized.header("range"), Some("0-14"));
        let unsaid = upload.patch(None, "f").await.expect(202);
        assert_eq!(unsaid.header("range"), Some("0-15"));
        // Without a length: as crane sends a layer that it compresses on the way.
        let pieces =
            ["gh", "ij", "k"].map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())));
        let streamed = upload.patch(None, Body::wrap_stream(stream::iter(pieces))).await.expect(202);
        assert_eq!(streamed.header("range"), Some("0-20"));
        let empty = upload.patch(None, "").await.expect(202);
        assert_eq!(empty.header("range"), Some("0-20"));

        let whole = b"0123456789abcdefghijk";
        upload.finalize(&digest_of(whole)).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest_of(whole)).await.as_deref(), Some(whole.as_slice()));
        let blob = database(&stack).await.find_blob(&digest_of(whole)).await.expect("the database answers");
        assert_eq!(blob.map(|blob| blob.proof), Some(Proof::Streamed));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn out_of_order(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let early = upload.patch(Some("5-9"), "56789").await;
        assert_eq!(early.header("range"), Some("0-0"));
        early.refused(416, "BLOB_UPLOAD_INVALID");
        upload.patch(Some("0-4"), "01234").await.expect(202);
        for range in ["0-4", "4-8", "6-10", "9999999-10000003"] {
            let refused = upload.patch(Some(range), "56789").await;
            assert_eq!(refused.header("range"), Some("0-4"), "{range}");
            let message = refused.refused(416, "BLOB_UPLOAD_INVALID");
            assert!(message.contains("byte 5"), "{range}: {message}");
        }
        for range in ["", "5", "9-5", "-5", "5-", "a-b", "bytes */10", "0-18446744073709551615", "+5-9"] {
            upload.patch(Some(range), "56789").await.refused(416, "BLOB_UPLOAD_INVALID");
        }
        let finalize =
            upload.http.put(&upload.url).query(&[("digest", digest_of(b"0123456789").to_string())]);
        let last = finalize.header(CONTENT_RANGE, "7-9").body("789");
        Answer::to(last).await.refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(upload.state().await.json()["received_offset"], 5, "nothing of a refused chunk counts");

        upload.patch(Some("5-9"), "56789").await.expect(202);
        upload.finalize(&digest_of(b"0123456789")).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn last_chunk(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(100_000);
        let digest = digest_of(&bytes);
        for range in [None, Some("60000-99999"), Some("bytes 60000-99999/100000")] {
            let upload = repository.begin().await;
            upload.patch(None, bytes[..60_000].to_vec()).await.expect(202);
            let mut last = upload.http.put(&upload.url).query(&[("digest", digest.to_string())]);
            if let Some(range) = range {
                last = last.header(CONTENT_RANGE, range);
            }
            let done = Answer::to(last.body(bytes[60_000..].to_vec())).await.expect(201);
            assert_eq!(done.header("docker-content-digest"), Some(digest.to_string().as_str()));
        }
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn put_only(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        for bytes in [content(70_000), Vec::new()] {
            let (upload, digest) = (repository.begin().await, digest_of(&bytes));
            let done = upload.finalize_with(&digest, bytes.clone()).await.expect(201);
            assert_eq!(done.header("location"), Some(repository.url(digest).as_str()));
            // The same request again, as after a lost answer: its body is not wanted any more.
            upload.finalize_with(&digest, bytes.clone()).await.expect(201);
            assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        }
        assert_eq!(stack.objects().await.len(), 2);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn large_chunks(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(18_000_000);
        let mut rest = bytes.as_slice();
        // Below a part, exactly up to its end, several parts at once, one byte.
        for length in [5_000_000, 242_880, 11_000_000, 1] {
            let (chunk, after) = rest.split_at(length);
            upload.patch(None, chunk.to_vec()).await.expect(202);
            rest = after;
        }
        upload.finalize_with(&digest_of(&bytes), rest.to_vec()).await.expect(201);
        assert!(stack.blob_bytes(&digest_of(&bytes)).await == Some(bytes), "the very bytes");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
