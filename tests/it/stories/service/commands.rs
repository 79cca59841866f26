//! `migrate`, `quickstart`, `put` and `get`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use serde_json::Value;

use crate::support::Stack;
use crate::support::api::{Repository, content, digest_of};
use crate::support::stack::CommandOutput;
use crate::support::trial::Story;

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";

pub fn cases() -> Vec<Story> {
    vec![
        ("migrate_may_be_repeated", migrate),
        ("quickstart_pushes_a_real_file_and_ends_when_told_to", quickstart),
        ("put_sends_what_is_not_there_and_says_so", put),
        ("put_and_get_say_what_is_wrong", wrong),
    ]
}

fn migrate(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        for _ in 0..3 {
            let done = stack.command(&["migrate"]).await;
            assert_eq!(
                (done.code, done.stdout.as_str()),
                (Some(0), "the database is up to date\n"),
                "{}",
                done.stderr
            );
        }
        // Several replicas start at once.
        let at_once = futures_util::future::join_all((0..3).map(|_| stack.command(&["migrate"]))).await;
        assert!(at_once.iter().all(|done| done.code == Some(0)), "{at_once:?}");
    }
    .boxed()
}

/// The embedded default, whatever database and store the environment names.
fn quickstart(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let data = stack.folder().join("quick").display().to_string();
        // Twice: the second finds the first one's data.
        for _ in 0..2 {
            let done = stack.command(&["quickstart", "--once", "--data", &data, "--port", "0"]).await;
            assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
            for line in
                ["Overside serves on http://127.0.0.1:", "pushed ", "pulled it back: the digest holds"]
            {
                assert!(done.stdout.contains(line), "{line}: {}", done.stdout);
            }
        }
        let blobs = std::fs::read_dir(format!("{data}/store/blobs/sha256")).expect("its store");
        assert_eq!(blobs.count(), 1);
        assert_eq!(std::fs::read_dir(format!("{data}/store/temp")).expect("its store").count(), 0);
        let file = stack.folder().join("mine");
        std::fs::write(&file, content(100)).expect("a file");
        let file = file.display().to_string();
        let done =
            stack.command(&["quickstart", "--once", "--data", &data, "--port", "0", "--file", &file]).await;
        assert!(
            done.stdout.contains(&digest_of(&content(100)).to_string()),
            "{}{}",
            done.stdout,
            done.stderr
        );
        assert_eq!(stack.objects().await, vec![], "nothing of it goes to the store in the environment");
    }
    .boxed()
}

fn put(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let base = server.base_url();
        for (name, bytes, mode) in [
            ("small", content(1000), "put"),
            ("empty", vec![], "put"),
            ("large", content(11 << 20), "multipart"),
        ] {
            let (here, back) = (stack.folder().join(name), stack.folder().join(format!("{name}.back")));
            std::fs::write(&here, &bytes).expect("a file");
            let (here, back) = (here.display().to_string(), back.display().to_string());
            let digest = digest_of(&bytes).to_string();
            for existed in [false, true] {
                let done = stack
                    .command(&["put", &here, "team/app", "--server", base, "--json", "--mode", mode])
                    .await;
                assert_eq!(done.code, Some(0), "{name}: {}{}", done.stdout, done.stderr);
                let report = last_line(&done);
                assert_eq!(report["existed"], existed, "{name}: {report}");
                assert_eq!(
                    (&report["digest"], &report["size"]),
                    (&digest.as_str().into(), &bytes.len().into())
                );
                assert_eq!(report["reference"], format!("team/app@{digest}"));
                assert_eq!(
                    (report["mode"] == mode, report["upload_uuid"].is_string()),
                    (!existed, !existed),
                    "{report}"
                );
            }
            let plain = stack.command(&["put", &here, "team/app", "--server", base, "--quiet"]).await;
            assert_eq!(plain.stdout, format!("{digest} {} team/app@{digest} {here}\n", bytes.len()));
            let from = format!("team/app@{digest}");
            let got = stack.command(&["get", &from, "-o", &back, "--server", base, "--json"]).await;
            let report: Value = last_line(&got);
            assert_eq!((&report["digest"], &report["size"]), (&digest.as_str().into(), &bytes.len().into()));
            assert!(std::fs::read(&back).expect("what came back") == bytes, "{name}");
        }
        assert_eq!(stack.objects().await.len(), 3);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

/// The result, after the events.
fn last_line(done: &CommandOutput) -> Value {
    let lines: Vec<Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    lines.last().cloned().unwrap_or_else(|| panic!("{}", done.stderr))
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "1MiB"]).await;
        let base = server.base_url();
        let (file, large) = (stack.folder().join("file"), stack.folder().join("large"));
        std::fs::write(&file, content(1000)).expect("a file");
        std::fs::write(&large, content((1 << 20) + 1)).expect("a file");
        let (file, large) = (file.display().to_string(), large.display().to_string());
        let folder = stack.folder().display().to_string();
        let out = stack.folder().join("out").display().to_string();
        let known = Repository::of(base, "team/app").push(b"known").await;
        let known = format!("team/app@{known}");
        let foreign = known.replace("team/app", "somebody/else");
        let unknown = format!("team/app@{}", Digest::EMPTY);
        let no_folder = format!("{folder}/none/out");

        let cases: [(&[&str], i32, &str); 16] = [
            (&["put"], 2, "<FILE>"),
            (&["put", &file], 2, "write a repository's name"),
            (&["put", &file, "../up"], 2, "repository name"),
            (&["put", &file, "team/app", "--mode", "pigeon"], 2, "pigeon"),
            (&["put", &file, "team/app", "--jobs", "0"], 2, "--jobs"),
            (&["put", &file, "team/app", "--resume", "1"], 2, "--resume"),
            (&["put", "no-such-file", "team/app", "--server", base], 1, "no-such-file"),
            (&["put", &folder, "team/app", "--server", base], 1, "not a regular file"),
            (&["put", &file, "team/app", "--server", NOBODY], 1, "cannot reach"),
            (&["put", &large, "team/app", "--server", base], 1, "at most 1048576 bytes"),
            (&["get", "team/app", "-o", &out], 2, "NAME@DIGEST"),
            (&["get", "team/app@sha256:abc", "-o", &out], 2, "64 lower-case"),
            (&["get", &unknown, "-o", &out, "--server", base], 1, "no blob"),
            (&["get", &foreign, "-o", &out, "--server", base], 1, "no blob"),
            (&["get", &unknown, "-o", &out, "--server", NOBODY], 1, "cannot reach"),
            (&["get", &known, "-o", &no_folder, "--server", base], 1, "none/out"),
        ];
        for (arguments, code, says) in cases {
            let done = stack.command(arguments).await;
            assert_eq!(done.code, Some(code), "{arguments:?}: {}{}", done.stdout, done.stderr);
            assert!(done.stderr.contains(says), "{arguments:?}: {}", done.stderr);
            assert_eq!(done.stdout, "", "{arguments:?}");
        }
        assert!(!std::path::Path::new(&out).exists(), "nothing is left where a download failed");
        assert_eq!(stack.objects().await.len(), 1);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}
