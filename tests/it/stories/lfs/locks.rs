//! Locks on files.

use std::sync::Arc;

use futures_util::future::join_all;
use overside::domain::access::Role;
use serde_json::{Value, json};

use super::{Lfs, NAME, refused};
use crate::support::api::database;
use crate::support::{Accounts, Stack};

pub async fn listed(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let [dev, other] = ["dev", "other"];
    let dev = accounts.user_as(dev, "team", Role::Developer).await;
    let other = accounts.user_as(other, "team", Role::Developer).await;
    let head = accounts.user_as("head", "team", Role::Maintainer).await;
    let lfs = Lfs::of(&server, NAME);
    let (dev, other, head) = (lfs.by(&dev), lfs.by(&other), lfs.by(&head));
    assert_eq!(
        dev.post("locks/verify", &json!({ "ref": { "name": "refs/heads/main" } })).await.expect(200).json(),
        json!({ "ours": [], "theirs": [] }),
        "a repository that nobody has pushed to"
    );
    // Of those who lock one file at once one has it.
    let path = json!({ "path": "a/one.bin" });
    let at_once = join_all((0..4).map(|_| dev.post("locks", &path))).await;
    let mut statuses: Vec<_> = at_once.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    let lock = at_once[0].json()["lock"].clone();
    assert!(at_once.iter().all(|answer| answer.json()["lock"] == lock), "all are told of it");
    assert_eq!((&lock["path"], &lock["owner"]["name"]), (&json!("a/one.bin"), &json!("dev")));
    let taken = other.post("locks", &json!({ "path": "a/one.bin" })).await.expect(409).json();
    assert!(taken["message"].as_str().is_some_and(|message| !message.is_empty()), "{taken}");

    for number in 0..5 {
        other.post("locks", &json!({ "path": format!("b/{number} ü.bin") })).await.expect(201);
    }
    let (mut paths, mut cursor) = (Vec::new(), String::new());
    loop {
        let query: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
        let page = dev.get(&format!("locks?limit=2&cursor={query}")).await.expect(200).json();
        let locks = page["locks"].as_array().expect("locks");
        assert!(locks.len() <= 2, "{page}");
        paths.extend(locks.iter().map(|lock| lock["path"].as_str().expect("a path").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(paths.len(), 6);
    assert!(paths.is_sorted(), "{paths:?}");
    let verified = dev.post("locks/verify", &json!({ "limit": 4 })).await.expect(200).json();
    let count = |side: &str| verified[side].as_array().map(Vec::len);
    assert_eq!((count("ours"), count("theirs")), (Some(1), Some(3)));
    assert!(verified["next_cursor"].is_string());
    let id = lock["id"].as_str().expect("an id");
    for query in ["path=a%2Fone.bin", &format!("id={id}"), &format!("id={id}&path=a%2Fone.bin")] {
        let found = other.get(&format!("locks?{query}")).await.expect(200).json();
        assert_eq!(found["locks"], json!([lock]), "{query}");
    }
    for query in ["path=none", "path=%00", "id=none", &format!("id={id}&path=none")] {
        assert_eq!(other.get(&format!("locks?{query}")).await.expect(200).json()["locks"], json!([]));
    }
    for path in ["", "a\0b", "a\nb", &"x".repeat(1_025)] {
        refused(&dev.post("locks", &json!({ "path": path })).await, 422);
    }

    let unlock = |by: &Lfs, id: &str, force: bool| {
        let (by, rest) = (by.clone(), format!("locks/{id}/unlock"));
        async move { by.post(&rest, &json!({ "force": force })).await }
    };
    refused(&unlock(&other, id, false).await, 403);
    refused(&unlock(&other, id, true).await, 403);
    refused(&unlock(&head, id, false).await, 403);
    assert_eq!(unlock(&head, id, true).await.expect(200).json()["lock"], lock);
    refused(&unlock(&dev, id, false).await, 404);
    // The audit log says whose right that took.
    let db = database(&stack).await;
    let log = db.audit_entries(None, None, u32::MAX, 0).await.expect("the database answers").0;
    db.close().await;
    let forced: Vec<_> = log.iter().filter(|entry| entry.resource_type == "lock").collect();
    assert_eq!(forced.len(), 1, "{forced:?}");
    assert_eq!(
        (forced[0].username.as_str(), forced[0].resource.as_str()),
        ("head", "team/app/model:a/one.bin")
    );
    // Of another repository it is not there.
    let theirs: Value = dev.get("locks?limit=1").await.expect(200).json()["locks"][0].clone();
    let elsewhere = Lfs { url: lfs.url.replace(NAME, "team/elsewhere"), ..head.clone() };
    refused(&unlock(&elsewhere, theirs["id"].as_str().expect("an id"), true).await, 404);

    // They end with whoever has them, and with their project.
    dev.post("locks", &json!({ "path": "z.bin" })).await.expect(201);
    for gone in
        [vec!["user", "delete", "other", "--database"], vec!["project", "delete", "team", "--database"]]
    {
        let done = stack.command(&gone).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        if gone[0] == "user" {
            let left = dev.get("locks").await.expect(200).json();
            assert_eq!(left["locks"].as_array().map(Vec::len), Some(1), "{left}");
        }
    }
    accounts.project("team", false).await;
    accounts.member("team", "dev", Role::Developer).await;
    assert_eq!(dev.get("locks").await.expect(200).json(), json!({ "locks": [] }));
}
