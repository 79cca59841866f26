//! What is counted, and how it is told.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{NAME, PROJECT, usage};
use crate::support::Stack;
use crate::support::api::{Answer, Repository, content};

pub async fn shared(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let [first, sibling, other] =
        [NAME, "team/other", "other/app"].map(|name| Repository::of(server.base_url(), name));
    let bytes = content(3_000);
    let digest = first.push(&bytes).await;
    sibling.push(&bytes).await;
    other.push(&bytes).await;
    first.push(&bytes).await;
    assert_eq!(stack.objects().await.len(), 1, "stored once");
    let both = async || [usage(&stack, PROJECT).await[0], usage(&stack, "other").await[0]];
    assert_eq!(both().await, [3_000, 3_000]);
    first.delete_blob(&digest).await.expect(202);
    assert_eq!(both().await, [3_000, 3_000], "another repository of the project has it");
    sibling.delete_blob(&digest).await.expect(202);
    assert_eq!(both().await, [0, 3_000]);
    let mounted = [("mount", digest.to_string()), ("from", "other/app".to_owned())];
    Answer::to(first.http.post(first.url("uploads/")).query(&mounted)).await.expect(201);
    assert_eq!(both().await, [3_000, 3_000]);
    other.delete_blob(&digest).await.expect(202);
    assert_eq!(both().await, [3_000, 0]);
}

pub async fn told(stack: Arc<Stack>) {
    const MISCOUNT: &str = "INSERT INTO project_usage (project_name, bytes) SELECT 'team', 5 WHERE $1 <= $2";
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    Repository::of(server.base_url(), "other/app").push(&content(1_000)).await;
    repository.push(&content(3_000)).await;
    stack.database.limit(PROJECT, [4_096, 7]).await;
    stack.database.limit("unused", [-1, -1]).await;
    repository.begin().await.sign(&[("size", "1000")]).await.expect(200);

    let team =
        "team: 2.9 KiB (3000 bytes) of 4.0 KiB (4096 bytes), 1000 B (1000 bytes) reserved, 0 tags of 7";
    let other = "other: 1000 B (1000 bytes), 0 B (0 bytes) reserved, 0 tags";
    let unused = "unused: 0 B (0 bytes), 0 B (0 bytes) reserved, 0 tags";
    let done = stack.command(&["project", "usage", "--database"]).await;
    assert_eq!((done.code, done.stdout), (Some(0), format!("{other}\n{team}\n{unused}\n")));
    let done = stack.command(&["project", "usage", "team", "--recount", "--database"]).await;
    assert_eq!((done.code, done.stdout), (Some(0), format!("{team}; the recount agrees\n")));
    let done = stack.command(&["project", "usage", "team", "--json", "--database"]).await;
    let json: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let expected =
        json!({ "bytes": 3000, "reserved": 1000, "tags": 0, "storage_limit": 4096, "count_limit": 7 });
    assert_eq!(json, json!({ "project": "team", "usage": expected }));

    assert_eq!(stack.database.write(MISCOUNT, [TimeDelta::zero(); 2]).await, 1);
    let done = stack.command(&["project", "usage", "--recount", "--database"]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("3005 bytes") && done.stdout.contains("the recount has"), "{}", done.stdout);
    assert_eq!(done.stderr, "error: the usage kept of team was not right; --correct mends it\n");
    let done = stack.command(&["project", "usage", "--recount", "--correct", "--database"]).await;
    assert_eq!(done.code, Some(1));
    assert_eq!(done.stderr, "error: the usage kept of team was not right; it has been corrected\n");
    let done = stack.command(&["project", "usage", "--recount", "--correct", "--database"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = stack.command(&["project", "usage", "--correct", "--database"]).await;
    assert_eq!(done.code, Some(2), "{done:?}");
    let done = stack.command(&["project", "usage", "team/app", "--database"]).await;
    assert_eq!(done.code, Some(2), "{done:?}");
}

pub async fn folded(stack: Arc<Stack>) {
    // Says how many rows there are.
    const ROWS: &str = "UPDATE project_usage SET tags = tags WHERE $1 <= $2";
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    for length in 1_000..1_040 {
        repository.push(&content(length)).await;
    }
    assert!(stack.database.write(ROWS, [TimeDelta::zero(); 2]).await >= 40);
    let before = usage(&stack, PROJECT).await;
    let done = stack.command(&["cleanup"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(stack.database.write(ROWS, [TimeDelta::zero(); 2]).await, 1);
    assert_eq!(usage(&stack, PROJECT).await, before);
}
