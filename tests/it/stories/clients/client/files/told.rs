//! What people and scripts are told.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

use super::{NAME, SMALL_PARTS};
use crate::support::accounts::PASSWORD;
use crate::support::command_line::{digest, events};
use crate::support::process::{Process, signal};
use crate::support::rough::{RoughProxy, Roughness};
use crate::support::{Accounts, CommandLine, Stack, api};

/// Of a command that Ctrl-C has stopped.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The results among what `--json` printed, which ends with one.
#[track_caller]
fn results(printed: &str) -> Vec<Value> {
    let events = events(printed);
    assert_eq!(events.last().expect("something was printed")["event"], "result", "{printed}");
    events.into_iter().filter(|event| event["event"] == "result").collect()
}

pub async fn json(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let sizes = [("a", 6 << 20), ("b", 10), ("folder/c", 20)];
    for (name, size) in sizes {
        ours.write(name, api::content(size));
    }

    let put = results(&ours.done(&["put", "--json", "a", "b", NAME]).await);
    assert_eq!(put.len(), 2);
    for ((name, size), result) in sizes.into_iter().zip(&put) {
        let digest = api::digest_of(&api::content(size)).to_string();
        assert_eq!(result["file"], name);
        assert_eq!(result["digest"], digest);
        assert_eq!(result["size"], size);
        assert_eq!(result["reference"], format!("{NAME}@{digest}"));
        assert_eq!((&result["existed"], &result["outcome"]), (&false.into(), &"direct".into()));
    }
    let again = results(&ours.done(&["put", "--json", "a", NAME]).await);
    assert_eq!((&again[0]["existed"], &again[0]["outcome"]), (&true.into(), &"exists".into()));

    let name = format!("{NAME}:v1");
    let folder = results(&ours.done(&["put", "--json", "--recursive", "folder", &name]).await);
    assert_eq!((folder.len(), &folder[0]["blobs"]["sent"]), (1, &2.into()), "the file, and a config");
    let get = results(&ours.done(&["get", "--json", &name, "-o", "back"]).await);
    assert_eq!((get.len(), &get[0]["file"]), (1, &"back/c".into()));
    let reference = put[1]["reference"].as_str().expect("text");
    let get = results(&ours.done(&["get", "--json", reference, "-o", "b.back"]).await);
    assert_eq!((&get[0]["digest"], &get[0]["file"]), (&put[1]["digest"], &"b.back".into()));

    // Also a failure leaves nothing on standard output that is no JSON.
    let failed = ours.run(&["put", "--json", "b", "missing", NAME]).await;
    assert_eq!(failed.code, Some(1));
    assert_eq!(events(&failed.stdout).iter().filter(|event| event["event"] == "result").count(), 1);
}

pub async fn dry_run(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let wire = RoughProxy::in_front_of(&server.base_url().parse().expect("a URL"), Roughness::default());
    let ours = CommandLine::new(&stack, "ours", wire.url().as_str());
    let content = api::content(5_000);
    ours.write("cargo", &content);
    ours.write("folder/a", &content);
    ours.write("folder/b", "b");
    let (digest, name) = (api::digest_of(&content), format!("{NAME}:v1"));

    let planned = ours.done(&["put", "--dry-run", "cargo", NAME, "--project-create"]).await;
    assert_eq!(planned, format!("{digest} 5000 would be sent\n"));
    let planned = ours.done(&["put", "--dry-run", "--recursive", "folder", &name]).await;
    assert_eq!(planned.lines().filter(|line| line.ends_with("would be sent")).count(), 3, "{planned}");
    assert_eq!(planned.lines().filter(|line| line.ends_with("would be pushed")).count(), 1, "{planned}");
    let planned = events(&ours.done(&["put", "--dry-run", "--json", "cargo", NAME]).await);
    assert_eq!((&planned.last().expect("one")["event"], stack.objects().await.len()), (&"planned".into(), 0));
    assert!(wire.requests().iter().all(|request| request.method == "HEAD"), "{:?}", wire.requests());
    let sessions = stack.database.texts("SELECT status FROM blob_upload_session").await;
    assert_eq!((sessions, stack.temp_leftovers().await), (Vec::new(), Vec::new()));

    ours.done(&["put", "cargo", NAME]).await;
    let planned = ours.done(&["put", "--dry-run", "cargo", NAME]).await;
    assert_eq!(planned, format!("{digest} 5000 exists\n"));
}

pub async fn exit_codes(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    ours.write("cargo", "cargo");
    let printed = ours.done(&["put", "cargo", NAME]).await;
    let there = format!("{NAME}@{}", digest(&printed));
    let missing = format!("{NAME}@{}", api::digest_of(b"nobody has sent this"));

    for bad_usage in [
        &["put", "cargo"][..],
        &["put", "cargo", "../etc"],
        &["put", "cargo", "Team/Cargo"],
        &["put", "cargo", NAME, "--jobs", "0"],
        &["put", "cargo", NAME, "--server", "nowhere"],
        &["get", &there],
        &["get", "team/cargo@sha256:1", "-o", "back"],
        &["push", "cargo"],
        &["nothing"],
    ] {
        ours.failed(2, bad_usage).await;
    }
    let resume = "00000000-0000-4000-8000-000000000000";
    for (bad_usage, told) in [
        (&["put", "cargo", &there][..], "NAME:TAG"),
        (&["put", "--recursive", "cargo", "folder", NAME], "one folder"),
        (&["put", "--dry-run", "-", NAME], "standard input"),
        (&["put", "cargo", "cargo", NAME, "--resume", resume], "--resume"),
        (&["rm", "--blob", "team/cargo:v1"], "a blob has no tag"),
    ] {
        let complaint = ours.failed(2, bad_usage).await;
        assert!(complaint.starts_with("error: ") && complaint.contains(told), "{bad_usage:?}: {complaint}");
    }
    for (failure, told) in [
        (&["put", "missing", NAME][..], "missing"),
        (&["put", "*.parquet", NAME], "*.parquet"),
        (&["put", "--recursive", "cargo", "team/cargo:v1"], "cargo"),
        (
            &["put", "cargo", NAME, "--server", "http://127.0.0.1:9"],
            "cannot reach http://127.0.0.1:9; check the address and that the server runs: Connection refused",
        ),
        (&["get", &missing, "-o", "back"], &missing),
        (&["get", "team/cargo:v1", "-o", "back"], "team/cargo:v1"),
        (&["get", &there, "-o", "missing/folder/back"], "missing/folder"),
        (&["rm", "team/cargo:v1"], "team/cargo:v1"),
        (&["tags", "team/none"], "team/none"),
    ] {
        let complaint = ours.failed(1, failure).await;
        // Above it is what was tried again.
        let is_told = complaint.lines().any(|line| line.starts_with("error: ") && line.contains(told));
        assert!(is_told, "{failure:?}: {complaint}");
    }
    assert!(!ours.path("back").exists());
}

pub async fn project_create(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    Accounts::of(&stack).await.user("alice").await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let login = ours.login(server.base_url(), "alice", PASSWORD).await;
    assert_eq!(login.code, Some(0), "{login:?}");
    ours.write("cargo", "cargo");
    ours.write("folder/more", "more cargo");

    ours.failed(1, &["put", "cargo", NAME]).await;
    let projects = || async { stack.database.texts("SELECT name FROM project ORDER BY name").await };
    let before = projects().await;
    assert!(!before.contains(&"team".to_owned()), "{before:?}");
    ours.done(&["put", "cargo", NAME, "--project-create"]).await;
    ours.done(&["put", "cargo", NAME, "--project-create"]).await;
    ours.done(&["put", "--recursive", "folder", "team/folder:v1", "--project-create"]).await;
    assert_eq!(projects().await.len(), before.len() + 1);
    // It is theirs from then on.
    ours.done(&["put", "folder/more", NAME]).await;
    assert!(projects().await.contains(&"team".to_owned()));
}

/// Ctrl-C, while the server says nothing.
pub async fn interrupted(stack: Arc<Stack>) {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    // As names have their hosts, so has --server.
    let ours = CommandLine::new(&stack, "ours", &address);
    ours.write("cargo", "cargo");
    for arguments in [&["put", "cargo", NAME][..], &["pull", NAME, "back"], &["copy", NAME, "team/other"]] {
        let mut command = ours.command(arguments);
        let mut process = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
        let _asked = silent.accept().await.expect("a connection");
        signal(process.id(), "-INT");
        let status = process.wait(ENDS_WITHIN).await.expect("it has ended");
        assert_eq!(status.code(), Some(130), "{arguments:?}");
    }
}
