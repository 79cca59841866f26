//! The agent that git-lfs hands objects in parts to, as git-lfs runs it: a line of JSON each way at a time.

use std::sync::Arc;

use serde_json::{Value, json};

use super::PARTS_AGENT;
use crate::stories::clients::Machine;
use crate::support::Stack;
use crate::support::api::{Answer, content, digest_of};

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
