//! `HEAD`, `GET`, `DELETE …/blobs/{digest}`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

use super::NAME;
use crate::support::api::{Answer, Repository, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, Store};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_blob_is_described_by_head_and_read_by_get", read),
        ("a_range_of_a_blob_is_read_from_the_store_or_streamed", ranges),
        ("what_a_client_has_is_not_sent_again", cached),
        ("the_same_blob_is_stored_once_for_all_repositories", deduplicated),
        ("deleting_a_blob_takes_it_out_of_one_repository", deleted),
    ]
}

fn read(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(50_000);
        let digest = repository.push(&bytes).await;
        let text = digest.to_string();

        let head = Answer::to(repository.http.head(repository.url(digest))).await.expect(200);
        let described = ["content-length", "docker-content-digest", "etag", "accept-ranges", "content-type"];
        let etag = format!("\"{text}\"");
        let expected = ["50000", &text, &etag, "bytes", "application/octet-stream"].map(Some);
        assert_eq!(described.map(|name| head.header(name)), expected);
        assert_eq!(head.body.len(), 0);

        let get = Answer::to(repository.http.get(repository.url(digest))).await;
        assert_eq!(get.header("docker-content-digest"), Some(text.as_str()));
        match &stack.store {
            Store::S3 { endpoint, .. } => {
                let location = get.expect(307);
                assert_eq!(location.header("cache-control"), Some("no-store"));
                let location = location.header("location").expect("a URL").to_owned();
                assert!(location.starts_with(endpoint.as_str()), "straight from the store: {location}");
                let got = Answer::to(repository.http.get(&location)).await.expect(200);
                assert_eq!(got.body, bytes);
                // Signed for reading, and for nothing else.
                assert_eq!(Answer::to(repository.http.put(&location).body("mine")).await.status, 403);
                assert_eq!(Answer::to(repository.http.delete(&location)).await.status, 403);
                assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
            }
            Store::Filesystem { .. } => {
                let got = get.expect(200);
                assert_eq!(described.map(|name| got.header(name)), expected);
                assert_eq!(got.body, bytes);
            }
        }
        // As some clients escape it.
        let escaped = repository.url(text.replace(':', "%3A"));
        Answer::to(repository.http.head(escaped)).await.expect(200);
        let unknown = digest_of(b"never pushed");
        repository.read(&unknown).await.refused(404, "BLOB_UNKNOWN");
        let head = Answer::to(repository.http.head(repository.url(unknown))).await;
        assert_eq!((head.status, head.body.len()), (404, 0));
    }
    .boxed()
}

fn ranges(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(1000);
        let digest = repository.push(&bytes).await;
        let get = async |range: &str| {
            let first = Answer::to(repository.http.get(repository.url(digest)).header(RANGE, range)).await;
            // A client sends its headers to where it is redirected to as well.
            match first.header("location").map(str::to_owned) {
                Some(url) => Answer::to(repository.http.get(url).header(RANGE, range)).await,
                None => first,
            }
        };
        for (range, start, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=100-199", 100, 200),
            ("bytes=900-", 900, 1000),
            ("bytes=-10", 990, 1000),
        ] {
            let got = get(range).await.expect(206);
            assert_eq!(got.body, bytes[start..end], "{range}");
            let expected = format!("bytes {start}-{}/1000", end - 1);
            assert_eq!(got.header("content-range"), Some(expected.as_str()), "{range}");
        }
        assert_eq!(get("bytes=990-2000").await.expect(206).body, bytes[990..]);
        let beyond = get("bytes=1000-").await;
        assert_eq!(beyond.header("content-range"), Some("bytes */1000"));
        beyond.refused(416, "BLOB_UNKNOWN");
        get("bytes=500-0").await.refused(416, "BLOB_UNKNOWN");
        // The end of nothing is all of it (RFC 9110 §14.1.2).
        let nothing = repository.push(b"").await;
        let end = Answer::to(repository.http.get(repository.url(nothing)).header(RANGE, "bytes=-5")).await;
        assert!(matches!(end.status, 200 | 307), "{}", end.status);
        if let Store::Filesystem { .. } = stack.store {
            // On S3 it is the store that answers what follows: by its own ETag, and as it understands RFC 9110.
            assert_eq!(
                get("lines=1-2").await.expect(200).body,
                bytes,
                "a unit that nobody knows is no range"
            );
            let conditional = async |etag: &str| {
                let get = repository.http.get(repository.url(digest));
                Answer::to(get.header(RANGE, "bytes=1-2").header(IF_RANGE, etag)).await.status
            };
            assert_eq!(conditional(&format!("\"{digest}\"")).await, 206);
            assert_eq!(conditional("\"another\"").await, 200);
        }
    }
    .boxed()
}

fn cached(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let digest = repository.push(b"cached").await;
        let url = repository.url(digest);
        let etag = format!("\"{digest}\"");
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            for request in [repository.http.get(&url), repository.http.head(&url)] {
                let answer = Answer::to(request.header(IF_NONE_MATCH, &known)).await.expect(304);
                assert_eq!(answer.header("etag"), Some(etag.as_str()), "{known}");
                assert_eq!((answer.header("location"), answer.body.len()), (None, 0), "{known}");
            }
        }
        let head = repository.http.head(&url).header(IF_NONE_MATCH, "\"other\"");
        Answer::to(head).await.expect(200);
    }
    .boxed()
}

fn deduplicated(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let bytes = content(6 << 20);
        let digest = digest_of(&bytes);
        let first = Repository::of(server.base_url(), NAME);
        let second = Repository::of(server.base_url(), "another/owner/model");
        assert_eq!(first.push(&bytes).await, digest);
        let object = stack.objects().await;
        assert_eq!(object.len(), 1);

        // It exists, but not for this repository: nothing tells so before the bytes are proven.
        second.read(&digest).await.refused(404, "BLOB_UNKNOWN");
        let head = Answer::to(second.http.head(second.url(digest))).await;
        assert_eq!(head.status, 404);
        let upload = second.begin_with(&[("digest", &digest.to_string())]).await;
        let signed = upload.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200).json();
        upload.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
        second.read(&digest).await.refused(404, "BLOB_UNKNOWN");
        crate::support::api::send_parts(&upload.http, &signed, &bytes).await;
        upload.finalize(&digest).await.expect(201);
        first.push(&bytes).await;

        assert_eq!(stack.objects().await, object);
        for repository in [first, second] {
            assert_eq!(repository.read(&digest).await.expect(200).body, bytes);
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn deleted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let [ours, theirs] =
            ["ours/model", "theirs/model"].map(|name| Repository::of(server.base_url(), name));
        let digest = ours.push(b"shared").await;
        let delete =
            async |repository: &Repository| Answer::to(repository.http.delete(repository.url(digest))).await;
        delete(&theirs).await.refused(404, "BLOB_UNKNOWN");
        theirs.push(b"shared").await;

        let gone = delete(&ours).await.expect(202);
        assert_eq!(gone.body.len(), 0);
        ours.read(&digest).await.refused(404, "BLOB_UNKNOWN");
        delete(&ours).await.refused(404, "BLOB_UNKNOWN");
        assert_eq!(theirs.read(&digest).await.expect(200).body.as_ref(), b"shared");

        // Back again, as if it had never been there.
        ours.push(b"shared").await;
        assert_eq!(ours.read(&digest).await.expect(200).body.as_ref(), b"shared");
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
