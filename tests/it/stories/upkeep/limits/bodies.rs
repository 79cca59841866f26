//! Bodies that are not what their headers say, break off, or are no HTTP at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::NAME;
use crate::support::api::{Answer, Repository, Upload, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, raw};

/// For the service to notice that a client is gone, and to save what arrived.
const NOTICE_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const GARBAGE_REQUESTS: usize = 200;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_body_of_another_length_than_its_content_range_is_refused", lengths),
        ("what_arrived_of_a_body_that_broke_off_is_kept_and_gone_on_from", broken),
        ("a_client_may_ask_before_it_sends_the_body", expect_continue),
        ("requests_that_could_be_read_in_two_ways_are_refused", smuggling),
        ("garbage_does_not_stop_the_service", garbage),
    ]
}

fn lengths(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        upload.patch(Some("0-4"), "01234").await.expect(202);
        for (range, body) in [("5-9", "5678"), ("5-9", "567890"), ("5-5", ""), ("bytes 5-9/10", "5")] {
            let message = upload.patch(Some(range), body).await.refused(400, "SIZE_INVALID");
            assert!(message.contains("Content-Range"), "{range}: {message}");
        }
        // Without a Content-Length the body itself has to tell.
        for body in ["5\r\n56789\r\n1\r\nX\r\n0\r\n\r\n", "2\r\n56\r\n0\r\n\r\n"] {
            let head = "host: test\r\nconnection: close\r\ncontent-range: 5-9\r\ntransfer-encoding: chunked";
            let path = format!("/v2/{NAME}/blobs/uploads/{}", upload.id());
            let request = format!("PATCH {path} HTTP/1.1\r\n{head}\r\n\r\n{body}");
            let answer = raw::exchange(server.base_url(), request).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("SIZE_INVALID"), "{answer}");
        }
        // Where it does not fit, or cannot be read, the answer says where to go on.
        let head = Answer::to(upload.http.head(&upload.url)).await.expect(204);
        for range in ["0-4", "6-10", "9-5", "five", "bytes */10"] {
            let refused = upload.patch(Some(range), "56789").await;
            for header in ["range", "location"] {
                assert_eq!(refused.header(header), head.header(header), "{range}");
            }
            assert_eq!(refused.header("range"), Some("0-4"));
            refused.refused(416, "BLOB_UPLOAD_INVALID");
        }
        assert_eq!(upload.state().await.json()["received_offset"], 5, "nothing of a refused chunk counts");
        upload.patch(Some("5-9"), "56789").await.expect(202);
        upload.finalize(&digest_of(b"0123456789")).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn broken(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(12_000_000);
        let digest = digest_of(&bytes);
        let upload = repository.begin().await;
        // Breaks off once within the first part, once within a later one.
        for end in [1_000_000, 9_000_000] {
            let offset = offset(&upload).await;
            let mut stream = raw::connect(server.base_url()).await;
            let (path, length) = (format!("/v2/{NAME}/blobs/uploads/{}", upload.id()), bytes.len() - offset);
            let head = format!("PATCH {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("it takes the head");
            stream.write_all(&bytes[offset..end]).await.expect("it takes half the body");
            stream.shutdown().await.expect("our half closes");
            // Not reset before it has read what was sent: the answer, or the end, comes first.
            let _ = tokio::time::timeout(NOTICE_LIMIT, stream.read_to_end(&mut Vec::new())).await;
            drop(stream);
            let deadline = Instant::now() + NOTICE_LIMIT;
            while self::offset(&upload).await != end {
                assert!(Instant::now() < deadline, "{} of {end} were kept", self::offset(&upload).await);
                tokio::time::sleep(POLL).await;
            }
        }
        let range = format!("9000000-{}", bytes.len() - 1);
        upload.patch(Some(&range), bytes[9_000_000..].to_vec()).await.expect(202);
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_hash(&digest).await, Some(digest));

        // One whose sender knows no session leaves nothing.
        let length = bytes.len();
        let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
        let request = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\nhalf");
        raw::break_off(server.base_url(), request).await;
        // A presigned PUT that breaks off: the store takes all or nothing.
        let put = repository.begin().await;
        let signed = put.sign(&[("size", "1000")]).await.expect(200).json();
        let url = url::Url::parse(signed["presigned_url"].as_str().expect("a URL")).expect("a URL");
        let origin = url.origin().ascii_serialization();
        let host = origin.trim_start_matches("http://");
        let target = &url[url::Position::BeforePath..];
        let head = format!("PUT {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000\r\n");
        let request = format!("{head}content-type: application/octet-stream\r\n\r\nhalf");
        raw::break_off(&origin, request).await;
        let refused = put.finalize(&digest_of(b"half")).await.expect(400);
        refused.refused(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(put.abort().await.status, 204);
        let deadline = Instant::now() + NOTICE_LIMIT;
        while !stack.temp_leftovers().await.is_empty() {
            assert!(Instant::now() < deadline, "{:?}", stack.temp_leftovers().await);
            tokio::time::sleep(POLL).await;
        }
    }
    .boxed()
}

fn expect_continue(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let digest = digest_of(b"0123456789");
        let head = |path: &str| {
            let asks = "expect: 100-continue\r\nconnection: close\r\ncontent-length: 10";
            format!("POST {path} HTTP/1.1\r\nhost: test\r\n{asks}\r\n\r\n")
        };
        let mut stream = raw::connect(server.base_url()).await;
        let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
        stream.write_all(head(&path).as_bytes()).await.expect("it takes the head");
        let mut go_on = [0; 25];
        let read = tokio::time::timeout(NOTICE_LIMIT, stream.read_exact(&mut go_on)).await;
        read.expect("an answer before the body").expect("all of it");
        assert_eq!(go_on.as_slice(), b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"0123456789").await.expect("it takes the body");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

        // What is refused anyway is refused before the body.
        let mut stream = raw::connect(server.base_url()).await;
        stream.write_all(head("/v2/NO/blobs/uploads/").as_bytes()).await.expect("it takes the head");
        let mut answer = String::new();
        let read = tokio::time::timeout(NOTICE_LIMIT, stream.read_to_string(&mut answer)).await;
        read.expect("an answer without a body").expect("all of it");
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("NAME_INVALID"), "{answer}");
        assert_eq!(repository.read(&digest).await.expect(200).body.as_ref(), b"0123456789");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn smuggling(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let path = format!("/v2/{NAME}/blobs/uploads/{}", upload.id());
        let hidden = format!("DELETE {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        for headers in [
            "content-length: 5\r\ncontent-length: 6",
            "content-length: 5, 6",
            "content-length: +5",
            "content-length: -1",
            "content-length: 0x5",
            "content-length: 18446744073709551616",
            "transfer-encoding: gzip",
            "transfer-encoding: chunked, identity",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity",
            "content-length : 5",
            " content-length: 5",
            "content-length: 5\r\n folded",
            "x\0y: 1",
            "x: a\0b",
            "x y: 1",
            ": 1",
            "no-colon",
        ] {
            let request =
                format!("PATCH {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n\r\n0\r\n\r\n{hidden}");
            let answer = raw::exchange(server.base_url(), request).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?}: {answer}");
        }
        // Both framings at once: a proxy that goes by the length has let the second request through as a body.
        let both = format!("content-length: {}\r\ntransfer-encoding: chunked", 5 + hidden.len());
        let request = format!("PATCH {path} HTTP/1.1\r\nhost: test\r\n{both}\r\n\r\n0\r\n\r\n{hidden}");
        let answer = raw::exchange(server.base_url(), request).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "the hidden request was carried out: {answer}");
        assert_ne!(upload.state().await.expect(200).json()["status"], "aborted");
        assert_eq!(upload.abort().await.status, 204);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn garbage(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let noise = content(GARBAGE_REQUESTS * 300);
        let valid = format!(
            "PATCH /v2/{NAME}/blobs/uploads/{} HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nbody",
            upload.id()
        );
        for (number, noise) in noise.chunks(300).enumerate() {
            // Pure noise; a valid request with a few bytes changed; a valid start with noise behind it.
            let mut bytes = valid.clone().into_bytes();
            match number % 3 {
                0 => bytes = noise.to_vec(),
                1 => {
                    for change in noise.chunks(3).take(1 + number % 5) {
                        let at = usize::from(change[0]) % bytes.len();
                        bytes[at] = change[1];
                    }
                }
                _ => {
                    bytes.truncate(usize::from(noise[0]) % bytes.len());
                    bytes.extend_from_slice(noise);
                }
            }
            raw::break_off(server.base_url(), &bytes).await;
        }
        let healthy = Answer::to(upload.http.get(format!("{}/healthz", server.base_url()))).await;
        assert_eq!((healthy.status, healthy.text().as_str()), (200, "ok\n"));
        assert!(!stack.logs().contains("panicked"), "{}", stack.logs());
        // Whatever got through went to this one session.
        assert_eq!(upload.abort().await.status, 204);
        let cleanup = stack.command(&["cleanup", "--json", "--sweep-grace", "1s"]).await;
        assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
        let report: Value = serde_json::from_str(&cleanup.stdout).expect("JSON");
        assert_eq!(
            (&report["swept_objects"], &report["expired_sessions"]),
            (&0.into(), &0.into()),
            "{report}"
        );
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!(stack.objects().await, vec![]);
    }
    .boxed()
}

async fn offset(upload: &Upload) -> usize {
    let state = upload.state().await.expect(200).json();
    state["received_offset"].as_u64().unwrap_or_default().try_into().expect("a small number")
}
