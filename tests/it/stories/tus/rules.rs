//! The rules of tus 1.0.0 and its extensions, one by one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream;
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;
use reqwest::{Body, Method};

use super::{NAME, Tus, offset, refused};
use crate::stories::upkeep::quotas::usage;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, content, digest_of};
use crate::support::trial::Story;

/// More than a part of 5 MiB, so that some of a chunk is in the store before it ends.
const LARGE: usize = 6_000_000;

pub fn cases() -> Vec<Story> {
    vec![
        ("an_upload_in_chunks_is_a_blob_with_its_last_byte", chunks),
        ("an_upload_may_begin_with_bytes_or_have_none", creation),
        ("a_digest_in_the_metadata_is_what_the_bytes_are_proven_against", declared),
        ("a_length_may_be_told_later_and_once", deferred),
        ("a_request_that_makes_no_sense_is_refused_in_the_statuses_of_tus", wrong),
        ("a_chunk_that_does_not_match_its_checksum_is_dropped", checksums),
        ("an_upload_that_is_given_up_or_too_old_is_gone", gone),
        ("what_the_server_can_do_is_told_to_everybody_and_to_pages_of_other_origins", discovered),
        ("an_upload_needs_room_for_its_length_from_the_beginning", room),
    ]
}

fn chunks(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let (tus, bytes) = (Tus::of(&server), content(70_000));
        let metadata = "filename cmVwb3J0LnBkZg==,is_confidential";
        let post = tus.post().header("upload-length", bytes.len()).header("upload-metadata", metadata);
        let begun = Answer::to(post).await.expect(201);
        assert!(begun.header("upload-expires").is_some_and(|date| date.ends_with(" GMT")));
        let upload = tus.begun(&begun);
        let first = Answer::to(upload.patch(0, bytes[..30_000].to_vec())).await.expect(204);
        assert_eq!((offset(&first), first.header("docker-content-digest")), (30_000, None));
        assert!(first.header("upload-expires").is_some_and(|date| date.ends_with(" GMT")));
        let head = upload.head().await.expect(200);
        assert_eq!(offset(&head), 30_000);
        assert_eq!(head.header("upload-length"), Some("70000"));
        assert_eq!(head.header("upload-metadata"), Some(metadata));
        assert_eq!(head.header("cache-control"), Some("no-store"));
        // Proxies that know no PATCH.
        let last = upload.patch(30_000, bytes[30_000..].to_vec());
        let mut last = last.build().expect("a request");
        *last.method_mut() = Method::POST;
        last.headers_mut().insert("x-http-method-override", "PATCH".parse().expect("a value"));
        let last = Answer::to(reqwest::RequestBuilder::from_parts(tus.http.clone(), last)).await.expect(204);
        let digest = digest_of(&bytes).to_string();
        assert_eq!((offset(&last), last.header("docker-content-digest")), (70_000, Some(digest.as_str())));
        // Whoever lost that answer asks, as often as they like.
        for _ in 0..2 {
            let head = upload.head().await.expect(200);
            assert_eq!((offset(&head), head.header("upload-length")), (70_000, Some("70000")));
            assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(head.header("upload-expires"), None);
        }
        assert!(tus.repository().read(&digest_of(&bytes)).await.expect(200).body == bytes);
        let message = refused(&Answer::to(upload.patch(0, bytes[..30_000].to_vec())).await, 409);
        assert!(message.contains(&digest), "{message}");
        refused(&Answer::to(upload.request(Method::DELETE)).await, 410);
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn creation(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let (tus, bytes) = (Tus::of(&server), content(70_000));
        let begin = |length: usize, body: &[u8]| {
            let post = tus.http.post(tus.url()).header("tus-resumable", "1.0.0").body(body.to_vec());
            post.header("upload-length", length)
        };
        let typed =
            |length, body| begin(length, body).header("content-type", "application/offset+octet-stream");
        let whole = Answer::to(typed(bytes.len(), &bytes)).await.expect(201);
        let digest = digest_of(&bytes).to_string();
        assert_eq!((offset(&whole), whole.header("docker-content-digest")), (70_000, Some(digest.as_str())));
        assert!(tus.repository().read(&digest_of(&bytes)).await.expect(200).body == bytes);
        let some = Answer::to(typed(bytes.len(), &bytes[..100])).await.expect(201);
        assert_eq!((offset(&some), some.header("docker-content-digest")), (100, None));
        let upload = tus.begun(&some);
        assert_eq!(upload.offset().await, 100);
        Answer::to(upload.patch(100, bytes[100..].to_vec())).await.expect(204);
        // Nothing is complete at once.
        let empty = Answer::to(tus.post().header("upload-length", 0)).await.expect(201);
        let digest = Digest::EMPTY.to_string();
        assert_eq!((offset(&empty), empty.header("docker-content-digest")), (0, Some(digest.as_str())));
        assert_eq!(tus.begun(&empty).offset().await, 0);
        tus.repository().read(&Digest::EMPTY).await.expect(200);
        // What cannot go on leaves nothing.
        refused(&Answer::to(begin(bytes.len(), &bytes)).await, 415);
        refused(&Answer::to(typed(10, &bytes)).await, 413);
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn declared(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let (tus, bytes) = (Tus::of(&server), content(1000));
        let begin = async |metadata: String| {
            let post = tus.post().header("upload-length", 1000).header("upload-metadata", metadata);
            tus.begun(&Answer::to(post).await.expect(201))
        };
        let sha512 = Hasher::digest(Algorithm::Sha512, &bytes);
        let declared = [
            (format!("sha256 {}", STANDARD.encode(digest_of(&bytes).hex())), digest_of(&bytes)),
            (format!("filename eA==,digest {}", STANDARD.encode(sha512.to_string())), sha512),
        ];
        for (metadata, digest) in declared {
            let sent = Answer::to(begin(metadata).await.patch(0, bytes.clone())).await.expect(204);
            assert_eq!(sent.header("docker-content-digest"), Some(digest.to_string().as_str()));
            assert!(tus.repository().read(&digest).await.expect(200).body == bytes);
        }
        let other = begin(format!("sha256 {}", STANDARD.encode(digest_of(b"other").hex()))).await;
        let message = refused(&Answer::to(other.patch(0, bytes.clone())).await, 400);
        assert!(message.contains(&digest_of(b"other").to_string()), "{message}");
        assert_eq!(other.head().await.status, 410);
        refused(&Answer::to(other.patch(0, bytes.clone())).await, 410);
        assert_eq!(tus.repository().read(&digest_of(b"other")).await.status, 404);
    }
    .boxed()
}

fn deferred(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let (tus, bytes) = (Tus::of(&server), content(1000));
        let upload = tus.begin_deferred().await;
        Answer::to(upload.patch(0, bytes[..400].to_vec())).await.expect(204);
        let head = upload.head().await.expect(200);
        assert_eq!((head.header("upload-defer-length"), head.header("upload-length")), (Some("1"), None));
        let told =
            |length: usize, body: &[u8]| upload.patch(400, body.to_vec()).header("upload-length", length);
        refused(&Answer::to(told(399, b"")).await, 400);
        refused(&Answer::to(told(500, &bytes[400..])).await, 413);
        // Nothing of what was refused counts.
        assert_eq!(upload.head().await.expect(200).header("upload-length"), None);
        Answer::to(told(500, b"")).await.expect(204);
        // It is told by now.
        refused(&Answer::to(told(1000, &bytes[400..])).await, 400);
        assert_eq!(upload.head().await.expect(200).header("upload-length"), Some("500"));
        let last = Answer::to(upload.patch(400, bytes[400..500].to_vec())).await.expect(204);
        let digest = digest_of(&bytes[..500]).to_string();
        assert_eq!(last.header("docker-content-digest"), Some(digest.as_str()));
        // As whoever finds out at the end that this was all.
        let upload = tus.begin_deferred().await;
        Answer::to(upload.patch(0, bytes.clone())).await.expect(204);
        let end = Answer::to(upload.patch(1000, "").header("upload-length", 1000)).await.expect(204);
        let digest = digest_of(&bytes).to_string();
        assert_eq!(end.header("docker-content-digest"), Some(digest.as_str()));
    }
    .boxed()
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "200000"]).await;
        let (tus, bytes) = (Tus::of(&server), content(1000));
        for version in [None, Some("0.2.2"), Some("2.0.0")] {
            let post = tus.http.post(tus.url()).header("content-length", 0).header("upload-length", 3);
            let post = version.into_iter().fold(post, |post, version| post.header("tus-resumable", version));
            let answer = Answer::to(post).await;
            refused(&answer, 412);
            assert_eq!(answer.header("tus-version"), Some("1.0.0"));
        }
        for metadata in ["a !", "a YQ==,a YQ==", ",", "digest YQ=="] {
            let post = tus.post().header("upload-length", 3).header("upload-metadata", metadata);
            refused(&Answer::to(post).await, 400);
        }
        for length in ["", "-1", "1e3", "99999999999999999999"] {
            refused(&Answer::to(tus.post().header("upload-length", length)).await, 400);
        }
        refused(&Answer::to(tus.post()).await, 400);
        refused(
            &Answer::to(tus.post().header("upload-length", 3).header("upload-defer-length", 1)).await,
            400,
        );
        refused(&Answer::to(tus.post().header("upload-length", 200_001)).await, 413);
        refused(&Answer::to(tus.http.get(tus.url())).await, 405);
        let joined = tus.post().header("upload-length", 3).header("upload-concat", "partial");
        assert!(refused(&Answer::to(joined).await, 400).contains("parallelUploads"));

        let upload = tus.begin(1000).await;
        Answer::to(upload.patch(0, bytes[..100].to_vec())).await.expect(204);
        for place in [0, 99, 101, 1000] {
            let message = refused(&Answer::to(upload.patch(place, bytes[100..].to_vec())).await, 409);
            assert!(message.contains("100"), "{message}");
        }
        let plain = upload.request(Method::PATCH).header("upload-offset", 100).body(bytes[100..].to_vec());
        refused(&Answer::to(plain).await, 415);
        let placeless =
            upload.request(Method::PATCH).header("content-type", "application/offset+octet-stream");
        refused(&Answer::to(placeless.body("x")).await, 400);
        let versionless = tus.http.patch(&upload.url).header("upload-offset", 100).body("x");
        refused(&Answer::to(versionless).await, 412);
        // More than was told, by a length and without.
        refused(&Answer::to(upload.patch(100, bytes.clone())).await, 413);
        let pieces = stream::iter([Ok::<_, std::io::Error>(bytes.clone())]);
        refused(&Answer::to(upload.patch(100, Body::wrap_stream(pieces))).await, 413);
        refused(&Answer::to(upload.patch(100, "x").header("upload-length", 999)).await, 400);
        refused(&Answer::to(upload.request(Method::PUT)).await, 405);
        assert_eq!(upload.offset().await, 100);
        let pieces = stream::iter([Ok::<_, std::io::Error>(bytes[100..].to_vec())]);
        let last = Answer::to(upload.patch(100, Body::wrap_stream(pieces))).await.expect(204);
        assert!(last.header("docker-content-digest").is_some());

        // Those of others, and none.
        let oci = Repository::of(server.base_url(), NAME).begin().await.id();
        for id in [oci.to_string(), uuid::Uuid::new_v4().to_string(), "nothing".to_owned()] {
            let place = format!("{}/_uploads/{id}", tus.url());
            let head = tus.http.head(place).header("tus-resumable", "1.0.0");
            assert_eq!(Answer::to(head).await.status, 404, "{id}");
        }
        for place in ["tus/", "tus/Team/app", "tus/a/../../b/_uploads", "tus/a%2f..%2fb"] {
            let post = tus.http.post(format!("{}/{place}", tus.server)).header("upload-length", 1);
            let status = Answer::to(post.header("tus-resumable", "1.0.0")).await.status;
            assert!(matches!(status, 400 | 404 | 405), "{place}: {status}");
        }
    }
    .boxed()
}

fn checksums(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let (tus, bytes) = (Tus::of(&server), content(LARGE + 100));
        let upload = tus.begin(bytes.len()).await;
        let sum = |algorithm, bytes: &[u8]| {
            format!("{algorithm} {}", STANDARD.encode(Hasher::digest(algorithm, bytes).as_bytes()))
        };
        let (sha256, sha512) = (Algorithm::Sha256, Algorithm::Sha512);
        let patch = |range: std::ops::Range<usize>, sum: String| {
            upload.patch(range.start, bytes[range].to_vec()).header("upload-checksum", sum)
        };
        let sha1 = |bytes: &[u8]| {
            let sum = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
            format!("sha1 {}", STANDARD.encode(sum))
        };
        Answer::to(patch(0..50, sum(sha256, &bytes[..50]))).await.expect(204);
        Answer::to(patch(50..100, sha1(&bytes[50..100]))).await.expect(204);
        for wrong in [sha1(b"other"), sum(sha256, b"other"), sum(sha512, b"other")] {
            let message = refused(&Answer::to(patch(100..bytes.len(), wrong)).await, 460);
            assert!(message.contains("nothing of it was kept"), "{message}");
            assert_eq!(upload.offset().await, 100);
        }
        for unknown in [
            "md5 1B2M2Y8AsgTpgAmY7PhCfg==",
            "sha1 1B2M2Y8AsgTpgAmY7PhCfg==",
            "sha256 2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "sha256",
        ] {
            refused(&Answer::to(patch(100..200, unknown.to_owned())).await, 400);
        }
        let last = Answer::to(patch(100..bytes.len(), sum(sha512, &bytes[100..]))).await.expect(204);
        assert_eq!(last.header("docker-content-digest"), Some(digest_of(&bytes).to_string().as_str()));
        assert!(tus.repository().read(&digest_of(&bytes)).await.expect(200).body == bytes);
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn gone(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--upload-lifetime", "2s", "--clean-interval", "1h"]).await;
        let (tus, bytes) = (Tus::of(&server), content(1000));
        let upload = tus.begin(1000).await;
        Answer::to(upload.patch(0, bytes[..100].to_vec())).await.expect(204);
        let ended = Answer::to(upload.request(Method::DELETE)).await.expect(204);
        assert_eq!(ended.header("tus-resumable"), Some("1.0.0"));
        assert_eq!(upload.head().await.status, 410);
        refused(&Answer::to(upload.patch(100, bytes[100..].to_vec())).await, 410);
        let old = tus.begin(1000).await;
        tokio::time::sleep(Duration::from_millis(2200)).await;
        assert_eq!(old.head().await.status, 410);
        refused(&Answer::to(old.patch(0, bytes.clone())).await, 410);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn discovered(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let origin = "https://page.example";
        let abilities = "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum";
        for flags in [&["--auth", "token"][..], &["--auth", "token", "--cors-origin", origin]] {
            let server = stack.server(flags).await;
            let tus = Tus::of(&server);
            let told = Answer::to(tus.http.request(Method::OPTIONS, tus.url())).await.expect(204);
            assert_eq!(told.header("tus-version"), Some("1.0.0"));
            assert_eq!(told.header("tus-extension"), Some(abilities));
            assert_eq!(told.header("tus-checksum-algorithm"), Some("sha1,sha256,sha512"));
            assert!(told.header("tus-max-size").is_some_and(|most| most.parse::<u64>().is_ok()));
            let challenge = Answer::to(tus.post().header("upload-length", 1)).await;
            refused(&challenge, 401);
            assert!(challenge.header("www-authenticate").is_some_and(|way| way.starts_with("Basic")));
            if flags.len() == 2 {
                continue;
            }
            let preflight = tus.http.request(Method::OPTIONS, tus.url()).header("origin", origin);
            let preflight = preflight
                .header("access-control-request-method", "PATCH")
                .header("access-control-request-headers", "tus-resumable,upload-offset,upload-checksum");
            let preflight = Answer::to(preflight).await.expect(204);
            assert_eq!(preflight.header("access-control-allow-origin"), Some(origin));
            let allowed = preflight.header("access-control-allow-methods").unwrap_or_default();
            assert!(["POST", "HEAD", "PATCH", "DELETE", "OPTIONS"].iter().all(|one| allowed.contains(one)));
            let allowed = preflight.header("access-control-allow-headers").unwrap_or_default();
            assert!(allowed.contains("upload-checksum"), "{allowed}");
            let asked = Answer::to(tus.post().header("origin", origin)).await;
            let exposed = asked.header("access-control-expose-headers").unwrap_or_default();
            for name in
                ["location", "upload-offset", "upload-length", "upload-expires", "docker-content-digest"]
            {
                assert!(exposed.split(',').any(|one| one.trim() == name), "{name}: {exposed}");
            }
        }
    }
    .boxed()
}

fn room(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        stack.database.limit("team", [100_000, -1]).await;
        let (tus, bytes) = (Tus::of(&server), content(60_000));
        let post = |length: usize| Answer::to(tus.post().header("upload-length", length));
        let message = refused(&post(100_001).await, 403);
        assert!(message.contains("team"), "{message}");
        let upload = tus.begin(60_000).await;
        refused(&post(60_000).await, 403);
        // What it was begun with stays its own, however its bytes come.
        let pieces = stream::iter([Ok::<_, std::io::Error>(bytes[..10].to_vec())]);
        Answer::to(upload.patch(0, Body::wrap_stream(pieces))).await.expect(204);
        refused(&post(60_000).await, 403);
        // What is told later has to fit by then.
        let later = tus.begun(&Answer::to(tus.post().header("upload-defer-length", 1)).await.expect(201));
        let told = later.patch(0, bytes[..10].to_vec()).header("upload-length", 50_000);
        refused(&Answer::to(told).await, 403);
        Answer::to(upload.patch(10, bytes[10..].to_vec())).await.expect(204);
        assert_eq!(usage(&stack, "team").await[0], 60_000);
        refused(&post(60_000).await, 403);
    }
    .boxed()
}
