//! What a folder has besides bytes, what of it is not sent or read, and how fast.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::NAME;
use crate::support::api::{self, Repository};
use crate::support::command_line::events;
use crate::support::image::{EMPTY, IMAGE, Manifest};
use crate::support::{CommandLine, Stack};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

pub async fn tree(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    for file in ["folder/bin/run", "folder/data/a", "folder/data/a.tmp", "folder/cache/b"] {
        ours.write(file, file);
        fs::set_permissions(ours.path(file), Permissions::from_mode(0o644)).expect("a file of our own");
    }
    fs::set_permissions(ours.path("folder/bin/run"), Permissions::from_mode(0o750)).expect("a file");
    fs::create_dir_all(ours.path("folder/empty/deep")).expect("a folder");
    symlink("a", ours.path("folder/data/latest")).expect("a link");
    symlink("../bin", ours.path("folder/data/tools")).expect("a link");
    symlink("/", ours.path("folder/root")).expect("a link");

    let name = format!("{NAME}:v1");
    let put = ["put", "--recursive", "folder", &name, "--exclude", "*.tmp", "--exclude", "cache"];
    let done = ours.run(&put).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), "left out: root: a link to a folder outside\n"));
    for _ in 0..2 {
        ours.done(&["get", &name, "-o", "back"]).await;
        assert_eq!((mode(&ours.path("back/bin/run")), mode(&ours.path("back/data/a"))), (0o750, 0o644));
        let link = |path: &str| fs::read_link(ours.path(path)).expect("a link").display().to_string();
        assert_eq!(
            (link("back/data/latest"), link("back/data/tools")),
            ("a".to_owned(), "../bin".to_owned())
        );
        assert!(ours.path("back/empty/deep").is_dir());
        for left in ["back/cache", "back/data/a.tmp", "back/root"] {
            assert!(fs::symlink_metadata(ours.path(left)).is_err(), "{left}");
        }
    }
    // What is in the way of a link stays, and is named.
    fs::remove_file(ours.path("back/data/latest")).expect("a link");
    ours.write("back/data/latest", "a file of mine");
    assert!(ours.failed(1, &["get", &name, "-o", "back"]).await.contains("data/latest"));
    assert_eq!(ours.read("back/data/latest"), b"a file of mine");
}

pub async fn hostile(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let there = Repository::of(server.base_url(), NAME);
    let (empty, file) = (there.push(b"{}").await, there.push(b"bytes").await);
    for (number, annotation) in [
        json!({ "links": { "out": "../elsewhere" } }),
        json!({ "links": { "out": "/etc" } }),
        json!({ "links": { "here": ".", "out": "here/../.." } }),
        json!({ "links": { "../out": "file" } }),
        json!({ "links": { "a": "b", "a/c": "d" } }),
        // A file would be written through it.
        json!({ "links": { "dir": "other" } }),
        json!({ "empty": ["../out"] }),
        json!({ "empty": "no list" }),
    ]
    .into_iter()
    .enumerate()
    {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": EMPTY, "digest": empty, "size": 2 },
            "layers": [{ "mediaType": "application/octet-stream", "digest": file, "size": 5,
                "annotations": { "org.opencontainers.image.title": "dir/file" } }],
            "annotations": { "overside.folder": annotation.to_string() },
        });
        let tag = format!("v{number}");
        there.put(&tag, &Manifest::of(IMAGE, &manifest)).await.expect(201);
        let refused = ours.failed(1, &["get", &format!("{NAME}:{tag}"), "-o", "back"]).await;
        assert!(refused.contains("nothing was fetched") || refused.contains("cannot be read"), "{refused}");
        assert!(!ours.path("back").exists() && !ours.path("out").exists(), "{annotation}");
    }
}

pub async fn remembered(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    ours.write("cargo", api::content(9 << 20));
    // Until nobody can have written to it within the same tick of its clock.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    let hashed = async |more: &[&str]| {
        let printed = ours.done(&[&["put", "cargo", NAME, "--json"], more].concat()).await;
        events(&printed).iter().any(|event| event["event"] == "started" && event["stage"] == "hashing")
    };
    assert!(hashed(&[]).await);
    assert!(!hashed(&[]).await);
    assert!(hashed(&["--rehash"]).await);
    ours.write("cargo", api::content((9 << 20) + 1));
    assert!(hashed(&[]).await);
}

/// Three bodies of a megabyte, at a megabyte in a second.
pub async fn limited(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    for (number, file) in ["a", "b", "c"].into_iter().enumerate() {
        ours.write(file, api::content((1 << 20) + number));
    }
    let begun = Instant::now();
    ours.done(&["put", "a", "b", "c", &format!("{NAME}:v1"), "--bwlimit", "1MiB"]).await;
    // Of the three seconds what a reader may be ahead, for each of them.
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    let begun = Instant::now();
    ours.done(&["get", &format!("{NAME}:v1"), "-o", "back", "--bwlimit", "1MiB"]).await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    ours.failed(2, &["put", "a", NAME, "--bwlimit", "1KiB"]).await;
}

pub async fn repeated(stack: Arc<Stack>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let busy =
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
        let body = "{\"name\":\"team/cargo\",\"tags\":[\"v1\"]}";
        let tags =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        for answer in [busy, tags] {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(answer.as_bytes()).await.expect("it listens");
        }
    });
    let ours = CommandLine::new(&stack, "ours", &address);
    let done = ours.run(&["tags", NAME]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "v1\n"), "{}", done.stderr);
    assert!(done.stderr.contains("503") && done.stderr.contains("trying again in"), "{}", done.stderr);
}
