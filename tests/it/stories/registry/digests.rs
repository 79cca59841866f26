//! SHA-512 beside SHA-256: by every way in and out.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::blob::Proof;
use overside::domain::digest::Digest;
use overside::domain::upload::Status;
use overside::storage::key;
use reqwest::header::{CONTENT_LENGTH, RANGE};

use super::{NAME, SMALL_PARTS, proof, sha512_of};
use crate::support::api::{Answer, Repository, Upload, content, digest_of, send, send_parts};
use crate::support::trial::Story;
use crate::support::{Stack, Store};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_sha512_blob_is_pushed_in_one_post_and_is_a_blob_like_any_other", monolithic),
        ("chunks_are_hashed_with_the_algorithm_that_was_said_at_the_beginning", chunked),
        ("a_presigned_put_is_proven_by_its_sha512", presigned_put),
        ("presigned_parts_are_proven_by_their_sha512", presigned_parts),
        ("a_chunked_sha512_upload_goes_on_after_the_server_was_killed", restarted),
        ("a_wrong_sha512_is_refused_by_every_way_and_leaves_nothing", wrong),
        ("the_empty_blob_has_a_sha512_too", empty),
        ("the_same_bytes_under_both_digests_are_two_blobs", both),
        ("an_algorithm_or_a_digest_that_nobody_knows_is_refused", refused),
    ]
}

async fn push(repository: &Repository, bytes: &[u8], digest: &Digest) -> Answer {
    let post = repository.http.post(repository.url("uploads/")).query(&[("digest", digest.to_string())]);
    Answer::to(post.body(bytes.to_vec())).await
}

fn monolithic(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(70_000);
        let digest = sha512_of(&bytes);
        let pushed = push(&repository, &bytes, &digest).await.expect(201);
        let text = digest.to_string();
        assert_eq!(pushed.header("docker-content-digest"), Some(text.as_str()));
        assert_eq!(pushed.header("location"), Some(repository.url(digest).as_str()));
        assert_eq!(proof(&stack, &digest).await, Some(Proof::Streamed));
        let hex = digest.hex();
        let place = format!("blobs/sha512/{}/{}/{hex}", &hex[..2], &hex[2..4]);
        assert_eq!(key::blob(&digest).as_str(), place);
        assert_eq!(stack.objects().await, [(place, 70_000)]);

        let head = Answer::to(repository.http.head(repository.url(digest))).await.expect(200);
        assert_eq!(head.header("content-length"), Some("70000"));
        assert_eq!(head.header("docker-content-digest"), Some(text.as_str()));
        assert_eq!(repository.read(&digest).await.expect(200).body, bytes);
        let some = Answer::to(repository.http.get(repository.url(digest)).header(RANGE, "bytes=5-9")).await;
        let some = match some.header("location").map(str::to_owned) {
            Some(url) => Answer::to(repository.http.get(url).header(RANGE, "bytes=5-9")).await,
            None => some,
        };
        assert_eq!(some.expect(206).body, bytes[5..10]);
        Answer::to(repository.http.delete(repository.url(digest))).await.expect(202);
        repository.read(&digest).await.refused(404, "BLOB_UNKNOWN");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn chunked(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&SMALL_PARTS).await;
        let repository = Repository::of(server.base_url(), NAME);
        let mut bytes = content(6 << 20);
        for (index, how) in ["digest-algorithm", "digest"].into_iter().enumerate() {
            bytes[0] = u8::try_from(index).expect("a small number");
            let digest = sha512_of(&bytes);
            let declared = digest.to_string();
            let said = if how == "digest" { declared.as_str() } else { "sha512" };
            let upload = repository.begin_with(&[(how, said)]).await;
            upload.patch(None, bytes[..1000].to_vec()).await.expect(202);
            upload.patch(None, bytes[1000..6_000_000].to_vec()).await.expect(202);
            let done = upload.finalize_with(&digest, bytes[6_000_000..].to_vec()).await.expect(201);
            assert_eq!(done.header("docker-content-digest"), Some(declared.as_str()));
            assert_eq!(proof(&stack, &digest).await, Some(Proof::Streamed), "{how}");
            assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn presigned_put(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (bound, free) = (content(80_000), content(80_001));
        let digest = sha512_of(&bound);
        let upload = repository.begin().await;
        let signed = upload.sign(&[("size", "80000"), ("digest", &digest.to_string())]).await.expect(200);
        let signed = signed.json();
        let headers = signed["headers"].as_object().expect("headers");
        assert!(headers.keys().all(|name| !name.contains("checksum")), "S3 has none for it: {headers:?}");
        if let Store::Filesystem { .. } = stack.store {
            let other = send(&upload.http, &signed, content(80_002)[..80_000].to_vec()).await;
            other.refused(400, "DIGEST_INVALID");
        }
        assert_eq!(send(&upload.http, &signed, bound.clone()).await.status, 200);
        upload.finalize(&digest_of(&bound)).await.refused(400, "DIGEST_INVALID");
        upload.finalize(&digest).await.expect(201);
        let expected = match stack.store {
            Store::S3 { .. } => Proof::ReadBack,
            // It passes through the service, which holds it to the digest in its URL.
            Store::Filesystem { .. } => Proof::StoreChecksum,
        };
        assert_eq!(proof(&stack, &digest).await, Some(expected));
        assert_eq!(stack.blob_bytes(&digest).await, Some(bound));

        let digest = sha512_of(&free);
        let upload = repository.begin().await;
        upload.put(&free).await;
        upload.finalize(&digest).await.expect(201);
        assert_eq!(proof(&stack, &digest).await, Some(Proof::ReadBack));
        assert_eq!(stack.blob_bytes(&digest).await, Some(free));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

/// Sends everything in parts.
async fn in_parts(repository: &Repository, bytes: &[u8]) -> Upload {
    let upload = repository.begin().await;
    let size = bytes.len().to_string();
    let signed = upload.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    send_parts(&upload.http, &signed, bytes).await;
    upload
}

fn presigned_parts(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&SMALL_PARTS).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(11 << 20);
        let digest = sha512_of(&bytes);
        let upload = in_parts(&repository, &bytes).await;
        // They are of the other algorithm, and would be no use.
        let midstates = serde_json::json!({ "sha256_midstates": ["00".repeat(32), "00".repeat(32)] });
        let told = upload.finalize_with(&digest, midstates.to_string()).await;
        let message = told.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("nothing of a sha512 digest"), "{message}");
        assert_eq!(upload.row(&stack).await.state.status(), Status::Uploading, "it goes on");

        upload.finalize(&digest).await.expect(201);
        assert_eq!(proof(&stack, &digest).await, Some(Proof::ReadBack));
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn restarted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let mut server = stack.server(&SMALL_PARTS).await;
        let repository = Repository::of(server.base_url(), NAME);
        let id = repository.begin_with(&[("digest-algorithm", "sha512")]).await.id();
        let bytes = content(7 << 20);
        let digest = sha512_of(&bytes);
        // Before the first chunk, between two, and before the end.
        for chunk in [&bytes[..6_000_000], &bytes[6_000_000..]] {
            server.kill9();
            server = stack.server(&SMALL_PARTS).await;
            let repository = Repository::of(server.base_url(), NAME);
            let upload = Upload { url: repository.url(format!("uploads/{id}")), http: repository.http };
            upload.patch(None, chunk.to_vec()).await.expect(202);
        }
        server.kill9();
        server = stack.server(&SMALL_PARTS).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = Upload { url: repository.url(format!("uploads/{id}")), http: repository.http.clone() };
        upload.finalize(&digest).await.expect(201);
        assert_eq!(proof(&stack, &digest).await, Some(Proof::Streamed), "nothing had to be read again");
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&SMALL_PARTS).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(6 << 20);
        let claimed = sha512_of(b"something else");
        let message = push(&repository, &bytes, &claimed).await.refused(400, "DIGEST_INVALID");
        assert!(message.contains(&sha512_of(&bytes).to_string()), "says what came: {message}");

        let whole = repository.begin().await;
        whole.finalize_with(&claimed, bytes.clone()).await.refused(400, "DIGEST_INVALID");
        let known = repository.begin_with(&[("digest-algorithm", "sha512")]).await;
        let learned = repository.begin().await;
        for chunked in [&known, &learned] {
            chunked.patch(None, bytes.clone()).await.expect(202);
            let message = chunked.finalize(&claimed).await.refused(400, "DIGEST_INVALID");
            assert!(message.contains(&sha512_of(&bytes).to_string()), "says what came: {message}");
        }
        let put = repository.begin().await;
        put.put(&bytes).await;
        put.finalize(&claimed).await.refused(400, "DIGEST_INVALID");
        let parts = in_parts(&repository, &bytes).await;
        parts.finalize(&claimed).await.refused(400, "DIGEST_INVALID");

        for upload in [&whole, &known, &learned, &put, &parts] {
            assert_eq!(upload.row(&stack).await.state.status(), Status::Failed);
            upload.finalize(&sha512_of(&bytes)).await.refused(400, "DIGEST_INVALID");
        }
        repository.read(&claimed).await.refused(404, "BLOB_UNKNOWN");
        assert_eq!(stack.objects().await, []);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn empty(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let digest = Digest::EMPTY_SHA512;
        let query = [("digest", digest.to_string())];
        let repository = |name| Repository::of(server.base_url(), name);
        let posted = repository("empty/posted");
        let post = posted.http.post(posted.url("uploads/")).query(&query).header(CONTENT_LENGTH, 0);
        Answer::to(post).await.expect(201);
        let put = repository("empty/put");
        put.begin().await.finalize(&digest).await.expect(201);
        // Also where the digest was said before, or nothing was sent before, or nothing to a URL.
        let chunked = repository("empty/chunked");
        let upload = chunked.begin_with(&[("digest-algorithm", "sha512")]).await;
        upload.patch(None, "").await.expect(202);
        upload.finalize(&digest).await.expect(201);
        let signed = repository("empty/signed");
        let upload = signed.begin().await;
        upload.put(b"").await;
        upload.finalize(&digest).await.expect(201);
        for repository in [posted, put, chunked, signed] {
            assert_eq!(repository.read(&digest).await.expect(200).body.len(), 0);
            repository.read(&Digest::EMPTY).await.refused(404, "BLOB_UNKNOWN");
        }
        // A body is no empty blob.
        push(&repository("empty/not"), b"x", &digest).await.refused(400, "DIGEST_INVALID");
        assert_eq!(stack.objects().await, [(key::blob(&digest).as_str().to_owned(), 0)]);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn both(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(5000);
        let digests = [digest_of(&bytes), sha512_of(&bytes)];
        for digest in &digests {
            push(&repository, &bytes, digest).await.expect(201);
        }
        let mut placed = digests.map(|digest| (key::blob(&digest).as_str().to_owned(), 5000));
        placed.sort();
        let mut objects = stack.objects().await;
        objects.sort();
        assert_eq!(objects, placed);
        Answer::to(repository.http.delete(repository.url(digests[0]))).await.expect(202);
        repository.read(&digests[0]).await.refused(404, "BLOB_UNKNOWN");
        assert_eq!(repository.read(&digests[1]).await.expect(200).body, bytes);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let post = async |query: &[(&str, &str)]| {
            Answer::to(repository.http.post(repository.url("uploads/")).query(query)).await
        };
        for algorithm in ["md5", "-", "SHA512", "sha384", "sha512 "] {
            let message = post(&[("digest-algorithm", algorithm)]).await.refused(400, "DIGEST_INVALID");
            assert!(message.contains("use sha256 or sha512"), "{algorithm}: {message}");
        }
        let (short, long) = (digest_of(b"x").to_string(), sha512_of(b"x").to_string());
        let mixed = [("digest-algorithm", "sha512"), ("digest", short.as_str())];
        let message = post(&mixed).await.refused(400, "DIGEST_INVALID");
        assert!(message.contains("says sha512"), "{message}");
        post(&[("digest-algorithm", "sha512"), ("digest-algorithm", "sha512")])
            .await
            .refused(400, "BLOB_UPLOAD_INVALID");
        post(&[("digest", &long), ("digest", &short)]).await.refused(400, "BLOB_UPLOAD_INVALID");

        let upload = repository.begin().await;
        let hex = long.split_once(':').expect("a colon").1;
        let upper = format!("sha512:{}", hex.to_uppercase());
        let swapped = [format!("sha256:{hex}"), format!("sha512:{}", short.split_once(':').expect("one").1)];
        for digest in [upper.as_str(), &swapped[0], &swapped[1], "sha512:", "sha384:00", hex] {
            post(&[("digest", digest)]).await.refused(400, "DIGEST_INVALID");
            post(&[("mount", digest)]).await.expect(202);
            upload.sign(&[("digest", digest)]).await.refused(400, "DIGEST_INVALID");
            let put = upload.http.put(&upload.url).query(&[("digest", digest)]).body("x");
            Answer::to(put).await.refused(400, "DIGEST_INVALID");
            let get = repository.http.get(repository.url(digest));
            Answer::to(get).await.refused(400, "DIGEST_INVALID");
        }
        let put = upload.http.put(&upload.url).query(&[("digest", &long), ("digest", &long)]).body("x");
        Answer::to(put).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(upload.row(&stack).await.state.status(), Status::Pending, "nothing of it counts");
        upload.finalize_with(&sha512_of(b"x"), "x").await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
