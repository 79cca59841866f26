//! One presigned URL, used again and again: it holds the disk for the bytes it was signed for, and no more.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use url::Url;

use super::NAME;
use crate::support::api::{Repository, content, digest_of, send};
use crate::support::process::Server;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store, raw};

const SIZE: usize = 8 << 20;
/// Of each body, before its sender stalls.
const SENT: usize = 6 << 20;
const SENDERS: usize = 12;
/// What an upload needs beside its bytes: small files, and the block that was being written when it was discarded.
const BESIDE: u64 = 1 << 20;
/// For the service to write what it was sent.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

pub fn cases() -> Vec<Story> {
    vec![("senders_at_once_to_one_url_hold_no_more_of_the_disk_than_it_was_signed_for", senders)]
}

fn senders(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::Filesystem { root } = &stack.store else { not_here("it is about files") };
        let (server, temp) = (stack.server(&[]).await, root.join("temp"));
        let repository = Repository::of(server.base_url(), NAME);
        for ends in ["abort", "finalize", "kill"] {
            let upload = repository.begin().await;
            let size = SIZE.to_string();
            let signed = upload.sign(&[("size", &size), ("mode", "put")]).await.expect(200).json();
            let mut stalled = Vec::new();
            for _ in 0..SENDERS {
                stalled.push(stall(&signed).await);
                let held = settled(&server, &temp).await;
                assert!(held <= SIZE as u64 + BESIDE, "{held} bytes with {} senders", stalled.len());
            }
            match ends {
                "abort" => {
                    assert_eq!(upload.abort().await.status, 204);
                    given_back(&server, &temp).await;
                }
                // A client whose connection broke is not kept out by what it left behind.
                "finalize" => {
                    let whole = content(SIZE);
                    send(&upload.http, &signed, whole.clone()).await.expect(200);
                    upload.finalize(&digest_of(&whole)).await.expect(201);
                    given_back(&server, &temp).await;
                }
                _ => {
                    let mut killed = server;
                    killed.kill9();
                    let server = stack.server(&[]).await;
                    let mut upload = upload;
                    upload.url = upload.url.replace(killed.base_url(), server.base_url());
                    let signed = upload.sign(&[]).await.expect(200).json();
                    stalled.push(stall(&signed).await);
                    let held = settled(&server, &temp).await;
                    assert!(held <= SIZE as u64 + BESIDE, "{held} bytes after a crash");
                    assert_eq!(upload.abort().await.status, 204);
                    break;
                }
            }
            // It goes on with what it had begun, and comes again.
            for stream in &mut stalled {
                let _ = stream.write_all(&vec![7; 1 << 20]).await;
            }
            assert_eq!(send(&upload.http, &signed, content(SIZE)).await.status, 404);
            settled(&server, &temp).await;
            given_back(&server, &temp).await;
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

/// A PUT that stops before its end.
async fn stall(signed: &Value) -> TcpStream {
    let url: Url = signed["presigned_url"].as_str().expect("a URL").parse().expect("a URL");
    let mut stream = raw::connect(&url.origin().ascii_serialization()).await;
    let mut head = format!("PUT {}?{} HTTP/1.1\r\nhost: test\r\n", url.path(), url.query().expect("terms"));
    for (name, value) in signed["headers"].as_object().expect("headers") {
        for piece in [name, ": ", value.as_str().expect("text"), "\r\n"] {
            head.push_str(piece);
        }
    }
    stream.write_all((head + "\r\n").as_bytes()).await.expect("the service listens");
    stream.write_all(&vec![7; SENT]).await.expect("the service reads");
    stream
}

/// Waits until the disk is given back: who is told that an upload has ended does not wait for that.
async fn given_back(server: &Server, temp: &Path) {
    let deadline = Instant::now() + WRITE_LIMIT;
    while held(server, temp) > BESIDE {
        assert!(Instant::now() < deadline, "{} bytes of an upload that has ended", held(server, temp));
        tokio::time::sleep(POLL).await;
    }
}

/// [`held`], once that does not grow any more.
async fn settled(server: &Server, temp: &Path) -> u64 {
    let deadline = Instant::now() + WRITE_LIMIT;
    let mut before = held(server, temp);
    loop {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let now = held(server, temp);
        if now == before || Instant::now() > deadline {
            return now;
        }
        before = now;
    }
}

/// Bytes on the disk: of all files below `temp`, and of those that have no name any more and are still open.
fn held(server: &Server, temp: &Path) -> u64 {
    let mut files = HashMap::new();
    let mut folders = vec![temp.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(folder) if folder.is_dir() => folders.push(entry.path()),
                Ok(file) => drop(files.insert(file.ino(), file.blocks() * 512)),
                // Removed meanwhile.
                Err(_) => {}
            }
        }
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("Linux lists open files");
    for link in open.flatten().map(|entry| entry.path()) {
        let is_below = std::fs::read_link(&link).is_ok_and(|target| target.starts_with(temp));
        if let (true, Ok(file)) = (is_below, std::fs::metadata(&link)) {
            files.insert(file.ino(), file.blocks() * 512);
        }
    }
    files.values().sum()
}
