//! What the holder of an upload's URL gains by headers that were not signed: nothing, also where the store obeys them.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use overside::storage::key;
use serde_json::Value;

use super::NAME;
use crate::support::api::{Answer, Repository, Upload, content, digest_of, send, send_parts};
use crate::support::obedient::{Obedience, ObedientStore};
use crate::support::servers::BUCKET;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, StackKind, Store};

/// Below the least size of a part: the whole upload is one.
const SIZE: usize = 1000;
/// The server's own pause is some seconds.
const ASKED_AGAIN_WITHIN: Duration = Duration::from_secs(40);
const COPY_CONDITION: &str = "x-amz-copy-source-if-match";

pub fn cases() -> Vec<Story> {
    vec![
        ("an_upload_url_reads_nothing_where_the_store_copies_for_whoever_asks", guarded),
        ("uploads_go_through_the_service_where_nothing_keeps_their_urls_from_copying", relayed),
        ("a_declared_digest_holds_where_the_store_lets_another_algorithm_be_named", named),
        ("tags_that_an_uploader_adds_are_not_published", tagged),
        ("uploads_go_through_the_service_where_a_url_makes_objects_that_nobody_can_remove", locking),
        ("what_only_its_uploader_can_decrypt_ends_its_upload_in_clear_words", encrypted),
        ("what_a_store_that_was_away_at_the_start_permits_is_asked_again", asked_again),
        ("a_store_that_checks_no_signatures_fails_doctor_and_gets_no_upload_directly", trusting),
        ("a_store_without_uploads_in_parts_is_refused_at_the_start", without_parts),
    ]
}

/// A store that obeys so, where there is one to stand in front of: one is enough.
async fn obedient(stack: &Stack, obedience: Obedience) -> Option<ObedientStore> {
    let Store::S3 { endpoint, .. } = &stack.store else { return None };
    if stack.kind != StackKind::PostgresSeaweedFs {
        return None;
    }
    Some(ObedientStore::in_front_of(endpoint, obedience).await)
}

/// Another project's blob, as `x-amz-copy-source` names it.
async fn secret(stack: &Stack, base_url: &str) -> String {
    let digest = Repository::of(base_url, "others/secret").push(b"nobody else's business").await;
    assert!(!stack.objects().await.is_empty());
    let Store::S3 { prefix, .. } = &stack.store else { panic!("a bucket") };
    format!("/{BUCKET}/{prefix}/{}", key::blob(&digest).as_str())
}

async fn send_with(upload: &Upload, signed: &Value, added: (&str, &str), body: Vec<u8>) -> Answer {
    let mut signed = signed.clone();
    signed["headers"][added.0] = added.1.into();
    send(&upload.http, &signed, body).await
}

fn url_of(signed: &Value) -> &str {
    signed["presigned_url"].as_str().expect("a URL")
}

fn guarded(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { copies: true, heeds_condition: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        let server = stack.server(&["--s3-endpoint", store.url.as_str()]).await;
        let source = secret(&stack, server.base_url()).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (put, parts) = (repository.begin().await, repository.begin().await);
        let bytes = content(SIZE);
        let digest = digest_of(&bytes);

        let size = SIZE.to_string();
        let signed = put.sign(&[("size", &size), ("digest", &digest.to_string())]).await.expect(200).json();
        assert!(url_of(&signed).starts_with(store.url.as_str()), "{signed}");
        let stolen = send_with(&put, &signed, ("x-amz-copy-source", &source), bytes.clone()).await;
        assert_eq!(stolen.status, 412, "{}", stolen.text());
        // Left out it is missed.
        let mut without = signed.clone();
        without["headers"].as_object_mut().expect("headers").remove(COPY_CONDITION).expect("the condition");
        let refused = send(&put.http, &without, bytes.clone()).await;
        assert!(matches!(refused.status, 400 | 403), "{} {}", refused.status, refused.text());
        put.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");

        let signed_parts = parts.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
        let part = &signed_parts["parts"][0];
        let stolen = send_with(&parts, part, ("x-amz-copy-source", &source), bytes.clone()).await;
        assert_eq!(stolen.status, 412, "{}", stolen.text());
        assert_eq!(parts.sign(&[]).await.json()["received"], serde_json::json!([]));

        // What the URLs are for goes on.
        assert_eq!(send(&put.http, &signed, bytes.clone()).await.status, 200);
        put.finalize(&digest).await.expect(201);
        send_parts(&parts.http, &signed_parts, &bytes).await;
        parts.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert!(!stack.whole_logs().contains("do not go to the bucket directly"));
    }
    .boxed()
}

fn relayed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { copies: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        let through = ["--s3-endpoint", store.url.as_str()];
        let server = stack.server(&[&through[..], &["--part-size", "5MiB"]].concat()).await;
        let source = secret(&stack, server.base_url()).await;
        let repository = Repository::of(server.base_url(), NAME);
        let (put, parts, bare) =
            (repository.begin().await, repository.begin().await, repository.begin().await);
        let bytes = content(SIZE);
        let digest = digest_of(&bytes);

        let size = SIZE.to_string();
        let signed = put.sign(&[("size", &size), ("digest", &digest.to_string())]).await.expect(200).json();
        assert!(url_of(&signed).starts_with(server.base_url()), "{signed}");
        let other = send(&put.http, &signed, vec![7; SIZE]).await;
        assert!(other.refused(400, "DIGEST_INVALID").contains("checksum"));
        put.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
        let tried = send_with(&put, &signed, ("x-amz-copy-source", &source), bytes.clone()).await;
        assert!(tried.status == 200 && tried.header("etag").is_some(), "{} {}", tried.status, tried.text());
        put.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes.clone()));

        let large = content((5 << 20) + SIZE);
        let large_size = large.len().to_string();
        let query = [("size", large_size.as_str()), ("mode", "multipart")];
        let signed = parts.sign(&query).await.expect(200).json();
        let last = &signed["parts"][1];
        assert!(url_of(last).starts_with(server.base_url()), "{signed}");
        let mut longer = last.clone();
        longer["headers"].as_object_mut().expect("headers").remove("content-length");
        send(&parts.http, &longer, content(SIZE + 1)).await.refused(403, "DENIED");
        let tried = send_with(&parts, last, ("x-amz-copy-source", &source), content(SIZE)).await;
        assert_eq!(tried.status, 200, "{}", tried.text());
        // Of two of one number SeaweedFS knows the newer one by the second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        send_parts(&parts.http, &signed, &large).await;
        let received = parts.sign(&[]).await.json()["received"].clone();
        assert_eq!(received.as_array().map(Vec::len), Some(2), "{received}");
        parts.finalize(&digest_of(&large)).await.expect(201);
        assert!(stack.blob_bytes(&digest_of(&large)).await == Some(large));

        // Without a length or a digest.
        let unsized_put = bare.sign(&[]).await.expect(200).json();
        assert_eq!(send(&bare.http, &unsized_put, content(10)).await.status, 200);
        bare.finalize(&digest_of(&content(10))).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());

        // Never silently.
        let logs = stack.whole_logs();
        assert!(
            logs.contains("do not go to the bucket directly") && logs.contains("x-amz-copy-source"),
            "{logs}"
        );
        let doctor = stack.command(&[&["doctor", "--json"], &through[..]].concat()).await;
        let report: Value = serde_json::from_str(&doctor.stdout).expect("--json prints JSON");
        assert_eq!(verdict(&report, "client URLs"), "warning", "{report}");
        let resource = report["upload_policy"]["Statement"][0]["Resource"][0].as_str().expect("a resource");
        let Store::S3 { prefix, .. } = &stack.store else { panic!("a bucket") };
        assert_eq!(resource, format!("arn:aws:s3:::{BUCKET}/{prefix}/temp/*"));
    }
    .boxed()
}

fn named(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { forgets_checksums: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        let server = stack.server(&["--s3-endpoint", store.url.as_str()]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(SIZE);
        let digest: Digest = digest_of(&bytes);
        let size = SIZE.to_string();
        let signed =
            upload.sign(&[("size", &size), ("digest", &digest.to_string())]).await.expect(200).json();
        assert_eq!(signed["headers"]["x-amz-checksum-algorithm"], "SHA256", "{signed}");
        let named = ("x-amz-checksum-algorithm", "CRC32");
        let refused = send_with(&upload, &signed, named, vec![7; SIZE]).await;
        assert!(matches!(refused.status, 400 | 403), "{} {}", refused.status, refused.text());
        assert_eq!(send(&upload.http, &signed, bytes.clone()).await.status, 200);
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
    }
    .boxed()
}

fn tagged(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { tags: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        // What is read back is copied whole; the copy that proves what it publishes takes no tags along anyway.
        let server = stack.server(&["--s3-endpoint", store.url.as_str(), "--store-independent-proofs"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        for (size, declared) in [(SIZE, true), (SIZE + 1, false)] {
            let (upload, bytes) = (repository.begin().await, content(size));
            let (digest, size) = (digest_of(&bytes), size.to_string());
            let query = [("size", size.as_str()), ("digest", &digest.to_string())];
            let signed = upload.sign(&query[..=usize::from(declared)]).await.expect(200).json();
            assert!(url_of(&signed).starts_with(store.url.as_str()), "{signed}");
            send_with(&upload, &signed, ("x-amz-tagging", "expire=now"), bytes).await.expect(200);
            let Store::S3 { prefix, client, .. } = &stack.store else { panic!("a bucket") };
            let tags = async |key: &str| {
                let tags = client.get_object_tagging().bucket(BUCKET).key(format!("{prefix}/{key}"));
                tags.send().await.expect("tags").tag_set
            };
            assert_eq!(tags(&format!("temp/{}/data", upload.id())).await.len(), 1);
            upload.finalize(&digest).await.expect(201);
            stack.settled().await;
            assert_eq!(tags(key::blob(&digest).as_str()).await, []);
        }
    }
    .boxed()
}

fn locking(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { locks: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        let through = ["--s3-endpoint", store.url.as_str()];
        let server = stack.server(&through).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
        assert!(url_of(&signed).starts_with(server.base_url()), "{signed}");
        let doctor = stack.command(&[&["doctor", "--json"], &through[..]].concat()).await;
        let report: Value = serde_json::from_str(&doctor.stdout).expect("--json prints JSON");
        assert_eq!(verdict(&report, "client URLs"), "warning", "{report}");
        assert!(doctor.stdout.contains("x-amz-object-lock-mode keeps what"), "{report}");
    }
    .boxed()
}

fn encrypted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { encrypts: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        let server = stack.server(&["--s3-endpoint", store.url.as_str()]).await;
        let (repository, bytes) = (Repository::of(server.base_url(), NAME), content(SIZE));
        let (digest, size) = (digest_of(&bytes), SIZE.to_string());
        let query = [("size", size.as_str()), ("digest", &digest.to_string())];
        for declared in [true, false] {
            let upload = repository.begin().await;
            let signed = upload.sign(&query[..=usize::from(declared)]).await.expect(200).json();
            assert!(url_of(&signed).starts_with(store.url.as_str()), "{signed}");
            let key = ("x-amz-server-side-encryption-customer-key", "a key of the uploader's");
            send_with(&upload, &signed, key, bytes.clone()).await.expect(200);
            for _ in 0..2 {
                let refused = upload.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
                assert!(refused.contains("an encryption key of its uploader's"), "{refused}");
            }
            repository.read(&digest).await.expect(404);
        }
        assert_eq!((stack.temp_leftovers().await, stack.objects().await), (vec![], vec![]));
        repository.push(&bytes).await;
    }
    .boxed()
}

fn asked_again(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Some(store) = obedient(&stack, Obedience::default()).await else {
            not_here("it is about buckets")
        };
        store.is_away.store(true, SeqCst);
        let server = stack.server(&["--s3-endpoint", store.url.as_str()]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let is_direct = async || {
            let signed = repository.begin().await.sign(&[("size", "1000")]).await.expect(200).json();
            url_of(&signed).starts_with(store.url.as_str())
        };
        assert!(!is_direct().await);
        store.is_away.store(false, SeqCst);
        let deadline = Instant::now() + ASKED_AGAIN_WITHIN;
        while !is_direct().await {
            assert!(Instant::now() < deadline, "nothing was asked again");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // And for whoever starts next.
        drop(server);
        let next = stack.server(&["--s3-endpoint", store.url.as_str()]).await;
        let upload = Repository::of(next.base_url(), NAME).begin().await;
        let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
        assert!(url_of(&signed).starts_with(store.url.as_str()));
    }
    .boxed()
}

fn trusting(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { trusts_everybody: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
        let doctor = stack.command(&["doctor", "--json", "--s3-endpoint", store.url.as_str()]).await;
        assert_eq!(doctor.code, Some(1), "{}", doctor.stdout);
        let report: Value = serde_json::from_str(&doctor.stdout).expect("--json prints JSON");
        assert_eq!(verdict(&report, "signatures"), "broken", "{report}");
        assert_eq!(verdict(&report, "signed headers"), "broken", "{report}");
        let server = stack.server(&["--s3-endpoint", store.url.as_str()]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let signed = upload.sign(&[("size", "1000")]).await.expect(200).json();
        assert!(url_of(&signed).starts_with(server.base_url()), "{signed}");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn without_parts(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let obedience = Obedience { has_no_parts: true, ..Obedience::default() };
        let Some(store) = obedient(&stack, obedience).await else { not_here("it is about buckets") };
        let mut serve = stack.binary();
        serve.args(["serve", "--s3-endpoint", store.url.as_str()]);
        let done = stack.run(&mut serve).await;
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("take an upload in parts"), "{}", done.stderr);
    }
    .boxed()
}

fn verdict<'a>(report: &'a Value, subject: &str) -> &'a str {
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["subject"] == subject);
    found.and_then(|finding| finding["verdict"].as_str()).unwrap_or_else(|| panic!("{subject}: {report}"))
}
