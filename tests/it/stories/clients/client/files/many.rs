//! Many files at once, and those that are none.

use std::sync::Arc;

use super::{NAME, SMALL_PARTS};
use crate::support::command_line::digest;
use crate::support::rough::{RoughProxy, Roughness};
use crate::support::{CommandLine, Stack, api};

/// What is read of standard input at once, in bytes.
const CHUNK: usize = 16 << 20;
/// Of a long one, in bytes.
const LONG: usize = 50 << 20;
/// More than a chunk, so that one gets through between two cuts.
const CUT_EVERY: u64 = 20 << 20;

pub async fn files(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let files = [
        ("empty.bin", 0),
        ("small.bin", 3_000),
        ("parts.bin", (11 << 20) + 5),
        ("data/a b.parquet", 70_000),
        ("data/c.parquet", 70_001),
    ];
    for (name, size) in files {
        ours.write(name, api::content(size));
    }
    ours.write("data/readme.txt", "no pattern is like this");
    let put = ["put", "empty.bin", "small.bin", "parts.bin", "data/*.parquet", NAME];

    let printed = ours.done(&put).await;
    let expected = files.map(|(file, size)| {
        let digest = api::digest_of(&api::content(size));
        format!("{digest} {size} {NAME}@{digest} {file}\n")
    });
    assert_eq!(printed, expected.concat());
    for (name, size) in files {
        let content = api::content(size);
        let stored = stack.blob_bytes(&api::digest_of(&content)).await;
        assert!(stored.as_ref() == Some(&content), "{name}");
    }
    assert_eq!(stack.objects().await.len(), files.len());
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());

    // Once more, from a machine that remembers nothing of it.
    let wire = RoughProxy::in_front_of(&server.base_url().parse().expect("a URL"), Roughness::default());
    let theirs = CommandLine::new(&stack, "theirs", wire.url().as_str());
    for (name, size) in files {
        theirs.write(name, api::content(size));
    }
    assert_eq!(theirs.done(&put).await, printed);
    assert!(wire.requests().iter().all(|request| request.method == "HEAD"), "{:?}", wire.requests());
    assert_eq!(wire.requests().len(), files.len());
}

pub async fn one_fails(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    ours.write("first", "one lighter");
    ours.write("last", "and another");
    let done = ours.run(&["put", "first", "missing", "last", NAME]).await;
    assert_eq!((done.code, done.stdout.lines().count()), (Some(1), 2), "{done:?}");
    assert!(done.stderr.contains("missing") && done.stderr.contains("1 of 3 files failed"), "{done:?}");
    for content in ["one lighter", "and another"] {
        let stored = stack.blob_bytes(&api::digest_of(content.as_bytes())).await;
        assert_eq!(stored.as_deref(), Some(content.as_bytes()));
    }
}

pub async fn standard_input(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    for size in [0, 1_000, CHUNK, CHUNK + 12_345] {
        let content = api::content(size);
        let expected = api::digest_of(&content);
        let printed = ours.done_with_input(&content, &["put", "-", NAME]).await;
        assert_eq!(printed, format!("{expected} {size} {NAME}@{expected} -\n"));
        assert!(stack.blob_bytes(&expected).await.as_ref() == Some(&content), "{size}");
        ours.done(&["get", &format!("{NAME}@{}", digest(&printed)), "-o", "back"]).await;
        assert!(ours.read("back") == content, "{size}");
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn cut(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let roughness = Roughness { cut_every: Some(CUT_EVERY), ..Roughness::default() };
    let wire = RoughProxy::in_front_of(&server.base_url().parse().expect("a URL"), roughness);
    let ours = CommandLine::new(&stack, "ours", wire.url().as_str());
    let content = api::content(LONG);
    let put = ours.command(&["put", "-", NAME]);
    let done = stack.run_with_input(&content, &put).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let expected = api::digest_of(&content);
    assert_eq!(digest(&done.stdout), expected.to_string());
    let sent = wire.sent();
    assert!(sent.cuts >= LONG as u64 / CUT_EVERY, "{sent:?}");
    let twice = sent.bodies - LONG as u64;
    // Of a chunk that was cut off S3 keeps whole parts alone, which may be none.
    assert!(twice <= sent.cuts * CHUNK as u64, "{twice} bytes were sent again: {sent:?}");
    assert!(stack.blob_bytes(&expected).await.as_ref() == Some(&content));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
