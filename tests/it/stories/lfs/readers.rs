//! Who may know of what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use overside::domain::access::Role;
use serde_json::{Value, json};

use super::{Lfs, nothing_is_left, object, put, verify};
use crate::support::api::{Answer, content, digest_of};
use crate::support::{Accounts, Stack, Store};

/// For the log, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// Existence is told where the blob may be read, and nowhere else (I6).
pub async fn told(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    for (project, is_public) in [("secret", false), ("open", true), ("own", false)] {
        accounts.project(project, is_public).await;
    }
    let owner = accounts.user("owner").await;
    accounts.member("secret", "owner", Role::Developer).await;
    accounts.member("open", "owner", Role::Developer).await;
    let other = accounts.user_as("other", "own", Role::Developer).await;
    let both = accounts.user_as("both", "own", Role::Developer).await;
    accounts.member("secret", "both", Role::Guest).await;
    let lfs = |name: &str| Lfs::of(&server, name);
    let (hidden, shown) = (content(3_000), content(4_000));
    lfs("secret/model").by(&owner).push(&hidden).await;
    lfs("open/model").by(&owner).push(&shown).await;
    stack.settled().await;

    // Somebody else's secret looks like what nobody has.
    let asked = lfs("own/model").by(&other).one("upload", &hidden).await;
    let unknown = lfs("own/model").by(&other).one("upload", &content(5_000)).await;
    let shape = |asked: &Value| {
        let fields: Vec<_> = asked["actions"].as_object().expect("actions").keys().cloned().collect();
        (fields, asked["error"].clone())
    };
    assert_eq!(shape(&asked), shape(&unknown));
    let download = lfs("own/model").by(&other).one("download", &hidden).await;
    assert_eq!(download["error"]["code"], 404);
    // What may be read elsewhere is linked, and nothing is sent.
    assert_eq!(lfs("own/model").by(&other).one("upload", &shown).await, object(&shown));
    assert_eq!(lfs("own/model").by(&both).one("upload", &hidden).await, object(&hidden));
    let download = lfs("own/model").by(&other).one("download", &shown).await;
    assert!(download["actions"]["download"]["href"].is_string(), "{download}");
    // What changes nothing is written down a moment later.
    let db = crate::support::api::database(&stack).await;
    let deadline = Instant::now() + PATIENCE;
    let log = loop {
        let log = db.audit_entries(None, None, 1_000, 0).await.expect("the database answers").0;
        if log.iter().any(|entry| entry.operation == "pull") || Instant::now() > deadline {
            break log;
        }
        tokio::time::sleep(POLL).await;
    };
    db.close().await;
    let mounts: Vec<_> = log.iter().filter(|entry| entry.operation == "mount").collect();
    assert_eq!(mounts.len(), 2, "{log:?}");
    assert!(mounts.iter().all(|entry| entry.resource.starts_with("own/model@")), "{mounts:?}");
    let pulls = log.iter().filter(|entry| entry.operation == "pull").count();
    assert_eq!(pulls, 1, "{log:?}");
}

async fn refused_to(lfs: &Lfs, operation: &str, status: u16) {
    let answer = lfs.batch(operation, &[object(b"some")]).await;
    super::refused(&answer, status);
    if status == 401 {
        for header in ["lfs-authenticate", "www-authenticate"] {
            assert_eq!(answer.header(header), Some("Basic realm=\"overside\""));
        }
    }
}

pub async fn refused(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("inner", false).await;
    accounts.project("outer", true).await;
    let guest = accounts.user_as("guest", "inner", Role::Guest).await;
    let stranger = accounts.user("stranger").await;
    for (project, operation, by, status) in [
        ("inner", "download", None, 401),
        ("inner", "upload", None, 401),
        ("outer", "upload", None, 401),
        ("none", "download", None, 401),
        ("inner", "download", Some(&stranger), 403),
        ("none", "download", Some(&stranger), 403),
        ("inner", "upload", Some(&guest), 403),
        ("outer", "upload", Some(&stranger), 403),
    ] {
        let lfs = Lfs::of(&server, &format!("{project}/model"));
        let lfs = by.map_or(lfs.clone(), |login| lfs.by(login));
        refused_to(&lfs, operation, status).await;
    }
    // A public project's objects are for everybody.
    let answer = Lfs::of(&server, "outer/model").batch("download", &[object(b"some")]).await.expect(200);
    assert_eq!(answer.json()["objects"][0]["error"]["code"], 404);
    nothing_is_left(&stack).await;
}

/// A URL lives for hours, and whom it was signed for may lose the right meanwhile.
pub async fn revoked(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    let project = accounts.project("team", false).await;
    let dev = accounts.user_as("dev", "team", Role::Developer).await;
    let lfs = Lfs::of(&server, "team/model").by(&dev);
    let (stored, sent) = (content(2_000), content(3_000));
    lfs.push(&stored).await;
    let asked = lfs.one("upload", &sent).await;
    put(&lfs.http, &asked["actions"]["upload"], sent.clone()).await.expect(200);
    let large = json!({ "oid": digest_of(b"not that large").hex(), "size": 200 << 20 });
    let batch = json!({ "operation": "upload", "transfers": ["overside"], "objects": [large] });
    let batch = lfs.post("objects/batch", &batch).await.expect(200).json();
    let status = batch["objects"][0]["actions"]["upload"]["href"].as_str().expect("a URL").to_owned();
    let download = lfs.one("download", &stored).await["actions"]["download"].clone();
    let download = download["href"].as_str().expect("a URL").to_owned();
    let get = async |url: &str| Answer::to(lfs.http.get(url).header("accept", "application/json")).await;
    get(&status).await.expect(200);

    accounts.member("team", "dev", Role::Guest).await;
    super::refused(&verify(&lfs.http, &asked, &object(&sent)).await, 403);
    get(&status).await.refused(403, "DENIED");
    get(&download).await.expect(200);
    assert_eq!(lfs.one("download", &sent).await["error"]["code"], 404);
    let db = crate::support::api::database(&stack).await;
    let member = db.members(project, 10, 0).await.expect("members").0[0].id;
    assert!(db.delete_member(project, member).await.expect("an answer"));
    db.close().await;
    // A bucket asks nobody.
    let expected = if matches!(stack.store, Store::S3 { .. }) { 200 } else { 403 };
    assert_eq!(get(&download).await.status, expected);
}
