//! `POST …/blobs/uploads/`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::blob::Proof;
use overside::domain::digest::Digest;
use reqwest::header::CONTENT_LENGTH;

use super::NAME;
use crate::support::api::{Answer, Repository, content, database, digest_of, send};
use crate::support::trial::Story;
use crate::support::{Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("begin_answers_202_with_the_place_to_go_on_at", begun),
        ("a_digest_declared_at_the_beginning_holds_to_the_end", declared),
        ("a_blob_is_pushed_in_one_post", monolithic),
        ("a_post_whose_digest_is_wrong_leaves_nothing", monolithic_wrong),
        ("a_blob_is_mounted_from_a_repository_that_has_it", mounted),
    ]
}

fn begun(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let begun = Answer::to(repository.http.post(repository.url("uploads/"))).await;
        assert_answer!(begun.rendered(), @r"
        202 Accepted
        docker-distribution-api-version: registry/2.0
        docker-upload-uuid: <uuid>
        location: <origin>/v2/team/app/model/blobs/uploads/<uuid>
        oci-chunk-min-length: 8388608
        range: 0-0
        upload-uuid: <uuid>
        ");
        assert_eq!(begun.header("upload-uuid"), begun.header("docker-upload-uuid"));
        assert!(
            begun
                .header("location")
                .is_some_and(|at| at.ends_with(begun.header("upload-uuid").unwrap_or("?")))
        );
        // Some clients leave the final slash out.
        let again = Answer::to(repository.http.post(repository.url("uploads"))).await.expect(202);
        assert_ne!(again.header("upload-uuid"), begun.header("upload-uuid"), "each is a session of its own");

        let small = stack.server(&["--part-size", "5MiB"]).await;
        let begun =
            Answer::to(repository.http.post(format!("{}/v2/a/blobs/uploads/", small.base_url()))).await;
        assert_eq!(begun.header("oci-chunk-min-length"), Some("5242880"));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "a session just begun stores nothing");
    }
    .boxed()
}

fn declared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (bytes, other) = (content(1000), content(1001));
        let digest = digest_of(&bytes);
        let upload = repository.begin_with(&[("digest", &digest.to_string())]).await;
        assert_eq!(upload.state().await.expect(200).json()["digest"], digest.to_string());

        // Not said again: the URL is bound to it all the same.
        let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
        assert_eq!(signed["headers"]["x-amz-checksum-sha256"].as_str(), digest.to_base64().as_deref());
        let refused = upload.sign(&[("digest", &digest_of(&other).to_string())]).await;
        refused.refused(400, "DIGEST_INVALID");
        assert_eq!(send(&upload.http, &signed, bytes.clone()).await.status, 200);
        let message = upload.finalize(&digest_of(&other)).await.refused(400, "DIGEST_INVALID");
        assert!(message.contains("declared with another digest"), "{message}");

        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn monolithic(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = b"one request".to_vec();
        let digest = digest_of(&bytes);
        let query = [("digest", digest.to_string())];
        let push = repository.http.post(repository.url("uploads/")).query(&query).body(bytes.clone());
        assert_answer!(Answer::to(push).await.rendered(), @r"
        201 Created
        docker-content-digest: sha256:c6384cfeac9da45cf067bd446ea3731856261f25a7aa96ce903a3a51820ecc83
        docker-distribution-api-version: registry/2.0
        location: <origin>/v2/team/app/model/blobs/sha256:c6384cfeac9da45cf067bd446ea3731856261f25a7aa96ce903a3a51820ecc83
        ");
        let empty = repository.http.post(repository.url("uploads/"));
        let empty = empty.query(&[("digest", Digest::EMPTY.to_string())]).header(CONTENT_LENGTH, 0);
        Answer::to(empty).await.expect(201);

        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.blob_bytes(&Digest::EMPTY).await, Some(Vec::new()));
        assert_eq!(repository.read(&Digest::EMPTY).await.expect(200).body.len(), 0);
        let db = database(&stack).await;
        let blob = db.find_blob(&digest).await.expect("the database answers").expect("a row");
        assert_eq!((blob.size, blob.proof), (11, Proof::Streamed));
        assert_eq!(stack.objects().await.len(), 2);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn monolithic_wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let query = [("digest", digest_of(b"something else").to_string())];
        let push = repository.http.post(repository.url("uploads/")).query(&query).body("one request");
        let message = Answer::to(push).await.refused(400, "DIGEST_INVALID");
        assert!(message.contains(&digest_of(b"one request").to_string()), "says what came: {message}");

        // A body for the digest of nothing is no empty blob.
        let query = [("digest", Digest::EMPTY.to_string())];
        let push = repository.http.post(repository.url("uploads/")).query(&query).body("one request");
        Answer::to(push).await.refused(400, "DIGEST_INVALID");
        assert_eq!(stack.objects().await, vec![]);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn mounted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let source = Repository::of(server.base_url(), "team/source");
        let target = Repository::of(server.base_url(), "else/where/target");
        let bytes = content(5000);
        let digest = source.push(&bytes).await;
        let mount = async |digest: &str, from: &str| {
            let query = [("mount", digest), ("from", from)];
            Answer::to(target.http.post(target.url("uploads/")).query(&query)).await
        };

        // Whatever is not there to be mounted begins an upload, and tells nothing of what exists.
        let digest_text = digest.to_string();
        for from in ["team/other", "team", "NO NAME", "../team/source"] {
            let answer = mount(&digest_text, from).await.expect(202);
            assert!(answer.header("docker-upload-uuid").is_some(), "{from}");
        }
        mount(&Digest::EMPTY.to_string(), "team/source").await.expect(202);
        mount("sha256:abc", "team/source").await.expect(202);
        mount("", "team/source").await.expect(202);
        target.read(&digest).await.refused(404, "BLOB_UNKNOWN");

        let answer = mount(&digest_text, "team/source").await.expect(201);
        assert_eq!(answer.header("docker-content-digest"), Some(digest_text.as_str()));
        let place = format!("{}/v2/else/where/target/blobs/{digest}", server.base_url());
        assert_eq!(answer.header("location"), Some(place.as_str()));
        mount(&digest_text, "team/source").await.expect(201);
        assert_eq!(target.read(&digest).await.expect(200).body, bytes);
        assert_eq!(stack.objects().await.len(), 1, "a mount copies nothing");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
