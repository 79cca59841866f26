//! The agent that git-lfs hands objects in parts to, as git-lfs runs it: a line of JSON each way at a time.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{NEWEST, PARTS_AGENT, Person};
use crate::stories::clients::{Machine, assert_stored};
use crate::support::api::{Answer, content, digest_of};
use crate::support::process::{Process, signal};
use crate::support::{FaultProxy, Stack, Store};

/// Of one that git-lfs would need the agent for, and of one that comes with it.
const LARGE: u64 = 6 << 30;
const SMALL: usize = 11 << 20;

pub async fn sent(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let machine = Machine::new(&stack, PARTS_AGENT, "agent");
    let bytes = content(SMALL);
    std::fs::write(machine.path("object"), &bytes).expect("a file of our own");
    let (oid, size) = (digest_of(&bytes).hex(), SMALL);
    let large = json!({ "oid": digest_of(b"not that large").hex(), "size": LARGE });
    let batch = json!({
        "operation": "upload", "transfers": ["ssh", "multipart", "basic"],
        "objects": [large, { "oid": oid, "size": size }],
    });
    let http = crate::support::http();
    let url = format!("{}/objects/batch", super::lfs_url(server.base_url()));
    let answer = Answer::to(http.post(url).json(&batch)).await.expect(200).json();
    assert_eq!(answer["transfer"], "multipart");
    let asked = &answer["objects"][1];
    let lines = [
        json!({ "event": "init", "operation": "upload", "remote": "origin", "concurrent": false }),
        json!({
            "event": "upload", "oid": oid, "size": size, "path": machine.path("object"),
            "action": asked["actions"]["upload"],
        }),
        json!({ "event": "terminate" }),
    ];
    let input = lines.map(|line| line.to_string()).join("\n") + "\n";
    let mut command = machine.command();
    command.arg("lfs-multipart-upload").env("HF_HUB_DISABLE_TELEMETRY", "1");
    let told = stack.run_with_input(input, &command).await.done();
    let told: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let complete = told.iter().find(|line| line["event"] == "complete").expect("it is done");
    assert_eq!((&complete["oid"], &complete["error"]), (&json!(oid), &Value::Null), "{told:?}");
    let href = asked["actions"]["verify"]["href"].as_str().expect("a URL");
    Answer::to(http.post(href).json(&json!({ "oid": oid, "size": size }))).await.expect(200);
    assert_eq!(stack.blob_hash(&digest_of(&bytes)).await, Some(digest_of(&bytes)));
    assert_eq!(stack.objects().await.len(), 1);
}

/// From here on an object goes in parts where `overside lfs-agent` sends it.
const IN_PARTS: usize = (100 << 20) + 7;
const PART: u64 = 8 << 20;
/// Parts that it sends at a time.
const JOBS: u64 = 4;
/// Of which some have arrived.
const SOON: u64 = 5 * PART;
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);

/// git-lfs hands it what a push has to send, once it is told to.
pub async fn sent_by_own(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let wire = FaultProxy::in_front_of(&server.base_url().parse().expect("a URL")).await;
    let writer = Person::new(&stack, NEWEST, "writer").await;
    let mut install = stack.binary();
    install.args(["lfs", "install"]).env("HOME", &writer.machine.home);
    let told = stack.run(&mut install).await.done();
    assert!(told.starts_with("git-lfs sends large objects with /"), "{told}");
    writer.begin(&super::lfs_url(wire.url().as_str())).await;
    let (large, small) = (content(IN_PARTS), content(1_000));
    writer.write("large.bin", &large);
    writer.write("small.bin", &small);
    writer.commit().await;
    writer.push().await;
    let traffic = wire.traffic();
    let through = traffic.to_target + traffic.to_client;
    match stack.store {
        Store::S3 { .. } => assert!(through < IN_PARTS as u64 / 100, "{through} bytes"),
        Store::Filesystem { .. } => assert!(through > IN_PARTS as u64, "{through} bytes"),
    }
    let asks = |line: &&str| line.contains("method=\"GET\"") && line.contains("/info/lfs/uploads/");
    let asked = stack.whole_logs().lines().filter(asks).count();
    assert_eq!(
        asked, 2,
        "the agent asks for the requests of each object, and gets those of all parts at once"
    );
    let reader = Person::new(&stack, NEWEST, "reader").await;
    reader.clone().await;
    assert!(reader.read("large.bin") == large && reader.read("small.bin") == small);
    assert_stored(&stack, 2).await;
}

/// Killed on its way, and run again by the next push: what has arrived is not sent again.
pub async fn killed(stack: Arc<Stack>) {
    // Counts the bytes on their way to wherever they go.
    let to_store = match &stack.store {
        Store::S3 { endpoint, .. } => Some(FaultProxy::in_front_of(endpoint).await),
        Store::Filesystem { .. } => None,
    };
    let flags = to_store.as_ref().map(|proxy| ["--s3-public-endpoint", proxy.url().as_str()]);
    let server = stack.server(flags.as_ref().map_or(&[], |flags| flags.as_slice())).await;
    let to_service = FaultProxy::in_front_of(&server.base_url().parse().expect("a URL")).await;
    let proxy = to_store.as_ref().unwrap_or(&to_service);

    let bytes = content(IN_PARTS);
    let (oid, path) = (digest_of(&bytes).hex(), stack.folder().join("object"));
    std::fs::write(&path, &bytes).expect("a file of our own");
    let batch = json!({
        "operation": "upload", "transfers": ["basic", "overside"], "objects": [{ "oid": oid, "size": IN_PARTS }],
    });
    let (http, url) = (crate::support::http(), super::lfs_url(to_service.url().as_str()));
    let batch = || async {
        let answer = Answer::to(http.post(format!("{url}/objects/batch")).json(&batch)).await;
        let answer = answer.expect(200).json();
        assert_eq!(answer["transfer"], "overside");
        let action = &answer["objects"][0]["actions"]["upload"];
        let lines = [
            json!({ "event": "init", "operation": "upload" }),
            json!({ "event": "upload", "oid": oid, "size": IN_PARTS, "path": path, "action": action }),
        ];
        let input = lines.map(|line| line.to_string()).join("\n") + "\n";
        (input, answer["objects"][0]["actions"]["verify"]["href"].as_str().expect("a URL").to_owned())
    };

    let input = stack.folder().join("input");
    std::fs::write(&input, batch().await.0).expect("a file of our own");
    let input = std::fs::File::open(input).expect("the file of our own");
    let mut agent = stack.binary();
    agent.args(["lfs-agent", "--bwlimit", "64MiB"]).stdout(Stdio::null());
    let mut agent = Process::spawn_with(input, &mut agent);
    let begun = Instant::now();
    while proxy.traffic().to_target < SOON {
        assert!(begun.elapsed() < PATIENCE, "{:?}", proxy.traffic());
        tokio::time::sleep(POLL).await;
    }
    signal(agent.id(), "-9");
    assert!(agent.wait(PATIENCE).await.is_some_and(|ended| !ended.success()), "it was killed on its way");

    let (input, verify) = batch().await;
    let told = stack.command_with_input(&input, &["lfs-agent"]).await.done();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (last, progress) = told.split_last().expect("some events");
    assert_eq!(last, &json!({ "event": "complete", "oid": oid }));
    assert_eq!(progress.last().expect("progress")["bytesSoFar"], IN_PARTS);
    let sent = proxy.traffic().to_target;
    let twice = sent.saturating_sub(IN_PARTS as u64);
    assert!(twice < (JOBS + 1) * PART, "{twice} bytes were sent twice");
    let proven = http.post(verify).json(&json!({ "oid": oid, "size": IN_PARTS }));
    Answer::to(proven).await.expect(200);
    assert_eq!(stack.blob_hash(&digest_of(&bytes)).await, Some(digest_of(&bytes)));
    assert_stored(&stack, 1).await;

    // By the same URL again nothing is sent, and it says so.
    let told = stack.command_with_input(&input, &["lfs-agent"]).await.done();
    assert!(told.contains("\"error\"") && told.contains("was finished long ago"), "{told}");
}
