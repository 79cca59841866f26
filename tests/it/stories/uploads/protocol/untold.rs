//! `PUT …/uploads/{uuid}?digest-algorithm=`: a client that does not know what it has sent is told.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;
use overside::domain::upload::Status;
use reqwest::header::CONTENT_RANGE;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, Upload, content, digest_of, send_parts};
use crate::support::trial::Story;

/// A part and a bit.
const SIZE: usize = 6 << 20;
const CLIENTS: usize = 8;

pub fn cases() -> Vec<Story> {
    vec![
        ("whoever_knows_no_digest_is_told_what_has_been_sent_whichever_way", told),
        ("a_digest_that_was_declared_counts_also_for_who_asks_what_it_is", declared),
        ("asking_again_and_at_once_what_was_sent_gives_one_blob_and_one_answer", again),
        ("a_last_chunk_without_a_digest_is_never_appended_twice", chunks),
        ("what_has_not_arrived_can_still_be_sent_after_asking_what_it_is", missing),
    ]
}

async fn finalize(upload: &Upload, algorithm: &str) -> Answer {
    Answer::to(upload.http.put(&upload.url).query(&[("digest-algorithm", algorithm)])).await
}

fn assert_told(answer: Answer, digest: &Digest) {
    let answer = answer.expect(201);
    let place = format!("/v2/{NAME}/blobs/{digest}");
    assert_eq!(answer.header("docker-content-digest"), Some(digest.to_string().as_str()));
    assert!(answer.header("location").is_some_and(|location| location.ends_with(&place)));
}

fn told(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let mut expected = Vec::new();
        for (number, algorithm) in [Algorithm::Sha256, Algorithm::Sha512].into_iter().enumerate() {
            for (way, name) in ["put", "unbound put", "parts", "chunks", "whole"].into_iter().enumerate() {
                let bytes = content(SIZE + 10 * number + way);
                let digest = Hasher::digest(algorithm, &bytes);
                let upload = repository.begin().await;
                match name {
                    "put" => upload.put(&bytes).await,
                    "unbound put" => {
                        let signed = upload.sign(&[("mode", "put")]).await.expect(200).json();
                        crate::support::api::send(&upload.http, &signed, bytes.clone()).await.expect(200);
                    }
                    "parts" => {
                        let size = bytes.len().to_string();
                        let signed = upload.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200);
                        send_parts(&upload.http, &signed.json(), &bytes).await;
                    }
                    "chunks" => {
                        upload.patch(None, bytes[..700].to_vec()).await.expect(202);
                        upload.patch(None, bytes[700..].to_vec()).await.expect(202);
                    }
                    _ => {}
                }
                let query = [("digest-algorithm", algorithm.as_str())];
                let body = if name == "whole" { bytes.clone() } else { Vec::new() };
                let put = upload.http.put(&upload.url).query(&query).body(body);
                assert_told(Answer::to(put).await, &digest);
                assert!(repository.read(&digest).await.expect(200).body == bytes, "{name}");
                assert_eq!(stack.blob_hash(&digest).await, Some(digest), "{name}");
                assert_eq!(upload.state().await.expect(200).json()["digest"], digest.to_string(), "{name}");
                expected.push(bytes.len() as u64);
            }
        }
        let mut stored: Vec<_> = stack.objects().await.into_iter().map(|(_, size)| size).collect();
        stored.sort_unstable();
        expected.sort_unstable();
        assert_eq!(stored, expected);
    }
    .boxed()
}

fn declared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(1000);
        let (digest, other) = (digest_of(&bytes), digest_of(b"another"));
        let upload = repository.begin().await;
        let signed =
            upload.sign(&[("size", "1000"), ("digest", &digest.to_string())]).await.expect(200).json();
        crate::support::api::send(&upload.http, &signed, bytes.clone()).await.expect(200);
        finalize(&upload, "sha512").await.refused(400, "DIGEST_INVALID");
        let both = [("digest-algorithm", "sha512".to_owned()), ("digest", digest.to_string())];
        Answer::to(upload.http.put(&upload.url).query(&both)).await.refused(400, "DIGEST_INVALID");
        Answer::to(upload.http.put(&upload.url)).await.refused(400, "DIGEST_INVALID");
        finalize(&upload, "md5").await.refused(400, "DIGEST_INVALID");
        assert_told(finalize(&upload, "sha256").await, &digest);
        repository.read(&digest).await.expect(200);

        // Declared wrong: what it really is is not told.
        let upload = repository.begin().await;
        upload.sign(&[("size", "1000"), ("mode", "put")]).await.expect(200);
        let signed = upload.sign(&[]).await.expect(200).json();
        crate::support::api::send(&upload.http, &signed, content(1000)).await.expect(200);
        let message = upload.finalize(&other).await.refused(400, "DIGEST_INVALID");
        assert_eq!(finalize(&upload, "sha256").await.refused(400, "DIGEST_INVALID"), message);
        assert_eq!(upload.row(&stack).await.state.status(), Status::Failed);
    }
    .boxed()
}

fn again(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas =
            [stack.server(&["--part-size", "5MiB"]).await, stack.server(&["--part-size", "5MiB"]).await];
        let repository = Repository::of(replicas[0].base_url(), NAME);
        let bytes = content(SIZE);
        let digest = digest_of(&bytes);
        let upload = repository.begin().await;
        let query = [("size", "6291456"), ("mode", "multipart")];
        let signed = upload.sign(&query).await.expect(200).json();
        send_parts(&upload.http, &signed, &bytes).await;
        let path = upload.url[upload.url.find("/v2/").expect("a path")..].to_owned();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let url = format!("{}{path}", replicas[number % 2].base_url());
                Upload { http: upload.http.clone(), url }
            })
            .collect();
        for told in join_all(clients.iter().map(|client| finalize(client, "sha256"))).await {
            assert_told(told, &digest);
        }
        // Whoever knows it after all is told the same, and nobody another one.
        upload.finalize(&digest).await.expect(201);
        upload.finalize(&digest_of(b"another")).await.refused(400, "DIGEST_INVALID");
        finalize(&upload, "sha512").await.refused(400, "DIGEST_INVALID");
        assert_eq!(stack.objects().await.len(), 1);

        let upload = repository.begin().await;
        upload.put(&content(900)).await;
        let put = upload.http.put(&upload.url).query(&[("digest-algorithm", "sha256")]);
        Answer::to(put.header("prefer", "respond-async")).await.expect(202);
        assert_told(finalize(&upload, "sha256").await, &digest_of(&content(900)));
    }
    .boxed()
}

fn chunks(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(1000);
        let put = |from: usize, range: Option<&str>| {
            let put = upload.http.put(&upload.url).query(&[("digest-algorithm", "sha256")]);
            let put = put.body(bytes[from..].to_vec());
            range.map_or_else(
                || put.try_clone().expect("a body"),
                |range| put.try_clone().expect("a body").header(CONTENT_RANGE, range),
            )
        };
        finalize(&upload, "sha256").await.refused(400, "BLOB_UPLOAD_INVALID");
        upload.patch(None, bytes[..600].to_vec()).await.expect(202);
        let message = Answer::to(put(600, None)).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("Content-Range"), "{message}");
        Answer::to(put(500, Some("500-999"))).await.refused(416, "BLOB_UPLOAD_INVALID");
        // As whoever was not answered: the chunk is here, and nothing has claimed it.
        upload.patch(Some("600-999"), bytes[600..].to_vec()).await.expect(202);
        assert_told(Answer::to(put(600, Some("600-999"))).await, &digest_of(&bytes));
        assert_told(Answer::to(put(600, Some("600-999"))).await, &digest_of(&bytes));
    }
    .boxed()
}

fn missing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(SIZE);
        let query = [("size", "6291456"), ("mode", "multipart")];
        let signed = upload.sign(&query).await.expect(200).json();
        finalize(&upload, "sha256").await.refused(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(upload.row(&stack).await.state.status(), Status::Uploading);
        send_parts(&upload.http, &signed, &bytes).await;
        assert_told(finalize(&upload, "sha256").await, &digest_of(&bytes));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
