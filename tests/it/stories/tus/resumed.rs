//! Uploads that break off, in every way, and go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::Method;
use tokio::io::AsyncWriteExt;

use super::{Tus, TusUpload, refused};
use crate::support::api::{Answer, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, raw};

const POLL: Duration = Duration::from_millis(50);
/// For what a client has sent to be seen, on a busy machine.
const SEEN_LIMIT: Duration = Duration::from_secs(30);
/// A part of 5 MiB and a tail.
const LARGE: usize = 6_000_000;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_body_that_breaks_off_is_kept_and_with_a_checksum_it_is_not", broken_off),
        ("whoever_hangs_up_on_the_last_answer_is_told_when_they_ask", hung_up),
        ("two_connections_to_one_upload_mix_nothing", two),
        ("an_upload_whose_replica_is_killed_goes_on_at_another", killed),
    ]
}

/// A chunk as bytes on a socket, of which `sent` are sent.
fn chunk(upload: &TusUpload, offset: usize, bytes: &[u8], sent: usize, header: &str) -> Vec<u8> {
    let path = &upload.url[upload.url.find("/tus/").expect("a path")..];
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntus-resumable: 1.0.0\r\n\
         content-type: application/offset+octet-stream\r\nupload-offset: {offset}\r\n{header}\
         content-length: {}\r\n\r\n",
        bytes.len()
    );
    [head.as_bytes(), &bytes[..sent]].concat()
}

/// Waits until the upload stands somewhere.
async fn reaches(upload: &TusUpload, offset: usize) {
    let deadline = Instant::now() + SEEN_LIMIT;
    while upload.offset().await != offset {
        assert!(Instant::now() < deadline, "it does not get to {offset}");
        tokio::time::sleep(POLL).await;
    }
}

async fn finish(tus: &Tus, upload: &TusUpload, bytes: &[u8]) {
    let offset = upload.offset().await;
    let last = Answer::to(upload.patch(offset, bytes[offset..].to_vec())).await.expect(204);
    let digest = digest_of(bytes);
    assert_eq!(last.header("docker-content-digest"), Some(digest.to_string().as_str()));
    assert!(tus.repository().read(&digest).await.expect(200).body == bytes);
}

fn broken_off(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let (tus, bytes) = (Tus::of(&server), content(LARGE));
        let upload = tus.begin(LARGE).await;
        let sum = "upload-checksum: sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n";
        raw::break_off(server.base_url(), chunk(&upload, 0, &bytes, 50_000, sum)).await;
        assert_eq!(upload.offset().await, 0);
        raw::break_off(server.base_url(), chunk(&upload, 0, &bytes, 5_500_000, "")).await;
        reaches(&upload, 5_500_000).await;
        finish(&tus, &upload, &bytes).await;
        stack.settled().await;
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn hung_up(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let (tus, bytes) = (Tus::of(&server), content(100_000));
        let upload = tus.begin(bytes.len()).await;
        let mut stream = raw::connect(server.base_url()).await;
        stream.write_all(&chunk(&upload, 0, &bytes, bytes.len(), "")).await.expect("it is sent");
        drop(stream);
        reaches(&upload, bytes.len()).await;
        let head = upload.head().await.expect(200);
        assert_eq!(head.header("docker-content-digest"), Some(digest_of(&bytes).to_string().as_str()));
        tus.repository().read(&digest_of(&bytes)).await.expect(200);
    }
    .boxed()
}

fn two(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--lease", "900ms"]).await;
        let (tus, bytes) = (Tus::of(&server), content(100_000));
        let (upload, deferred) = (tus.begin(bytes.len()).await, tus.begin_deferred().await);
        let mut other = raw::connect(server.base_url()).await;
        other.write_all(&chunk(&deferred, 0, &bytes, 40_000, "")).await.expect("it is sent");
        let mut first = raw::connect(server.base_url()).await;
        first.write_all(&chunk(&upload, 0, &bytes, 40_000, "")).await.expect("it is sent");
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Whoever does not say how much comes waits, and is told that somebody else is at it.
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes.clone())]);
        let second = Answer::to(upload.patch(0, reqwest::Body::wrap_stream(pieces))).await;
        refused(&second, 423);
        // How far another one gets is not known, and so no length may be told meanwhile.
        refused(&Answer::to(deferred.patch(0, "").header("upload-length", 50)).await, 423);
        // The same client, come again after its connection was forgotten: what that has brought counts.
        refused(&Answer::to(upload.patch(0, bytes.clone())).await, 409);
        assert_eq!(upload.offset().await, 40_000);
        drop((first, other));
        finish(&tus, &upload, &bytes).await;
        reaches(&deferred, 40_000).await;
        let end = Answer::to(deferred.patch(40_000, "").header("upload-length", 40_000)).await.expect(204);
        assert!(end.header("docker-content-digest").is_some());
    }
    .boxed()
}

fn killed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let flags = ["--part-size", "5MiB", "--lease", "600ms", "--clean-interval", "1h"];
        let (mut dies, lives) = (stack.server(&flags).await, stack.server(&flags).await);
        let (tus, bytes) = (Tus::of(&lives), content(2 * LARGE));
        let upload = tus.begin(bytes.len()).await;
        Answer::to(upload.at(&dies).patch(0, bytes[..LARGE].to_vec())).await.expect(204);
        let rest = &bytes[LARGE..];
        let mut stream = raw::connect(dies.base_url()).await;
        let half = chunk(&upload, LARGE, rest, rest.len() - 1, "");
        stream.write_all(&half).await.expect("it is sent");
        dies.kill9();
        // What was acknowledged is there; the dead replica's lease is waited for.
        assert_eq!(upload.offset().await, LARGE);
        finish(&tus, &upload, &bytes).await;
        Answer::to(tus.begin(10).await.request(Method::DELETE)).await.expect(204);
        stack.settled().await;
        stack.command(&["cleanup", "--sweep-grace", "1ms"]).await.done();
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
