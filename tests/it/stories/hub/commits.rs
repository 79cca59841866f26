//! Commits, what they need, and what is wrong with them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Hub, deleted, file, header, lfs_file, object, refused};
use crate::stories::upkeep::quotas::usage;
use crate::support::Stack;
use crate::support::api::{self, Answer, Repository, content, digest_of};
use crate::support::trial::Story;

const AT_ONCE: usize = 6;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_commit_gives_files_their_paths_and_git_names_it_alike", life),
        ("of_two_commits_on_one_parent_one_is_refused_and_one_sent_again_is_the_same", repeated),
        ("commits_at_once_that_name_no_parent_are_all_made", at_once),
        ("what_is_wrong_with_a_commit_is_said_and_changes_nothing", wrong),
        ("an_object_that_is_not_what_was_said_is_refused_and_leaves_nothing", wrong_objects),
        ("a_repository_keeps_what_its_commits_name_until_it_is_deleted", collected),
        ("what_does_not_fit_into_the_project_is_refused", full),
    ]
}

fn life(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "datasets/team/Data");
        let created = hub.create().await.expect(200).json();
        assert_eq!(created["url"], format!("{}/datasets/team/Data", hub.base));
        let there = hub.create().await.expect(409).json();
        assert_eq!((&there["url"], &there["id"]), (&created["url"], &json!("team/Data")));
        let large = content(300_000);
        let asked = json!({ "files": [
            { "path": "a/large.bin", "sample": "", "size": large.len() }, { "path": "README.md", "sample": "", "size": 6 },
            { "path": "empty", "sample": "", "size": 0 },
        ] });
        let told = hub.post("preupload/main", &asked).await.expect(200).json();
        let modes: Vec<_> = told["files"].as_array().expect("files").iter().map(|file| &file["uploadMode"]).collect();
        assert_eq!(modes, ["lfs", "regular", "regular"]);
        hub.push(&large).await;
        let changes = [lfs_file("a/large.bin", &large), file("README.md", "hello\n"), file("empty", "")];
        let commit = hub.commit(&changes).await;
        assert_eq!(hub.head().await, commit);
        let tree = hub.get("tree/main?recursive=true&expand=false").await.expect(200).json();
        let seen: Vec<_> = tree.as_array().expect("entries").iter().map(|entry| (&entry["path"], &entry["oid"])).collect();
        // As `git hash-object` names them, and a pointer of Git LFS.
        assert_eq!(seen[0], (&json!("README.md"), &json!("ce013625030ba8dba906f756967f9e9ca394464a")));
        assert_eq!(seen[3], (&json!("empty"), &json!("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")));
        assert_eq!((seen[1].0, seen[2].0), (&json!("a"), &json!("a/large.bin")));
        assert_eq!(tree[2]["lfs"]["oid"], digest_of(&large).hex());
        assert!(hub.read("main", "a/large.bin").await.expect(200).body == large);
        assert_eq!(hub.read(&commit, "README.md").await.expect(200).body, b"hello\n"[..]);
        // What is there is told, so that a client leaves it out.
        let told = hub.post("preupload/main", &asked).await.expect(200).json();
        assert_eq!(told["files"][0]["oid"], digest_of(&large).hex());
        assert_eq!(told["files"][1]["oid"], *seen[0].1);
        // A copy is one more name; a folder goes with all that is in it.
        let mut copy = lfs_file("b.bin", &large);
        copy["value"]["size"] = Value::Null;
        let second = hub.commit(&[copy, deleted("a/"), deleted("nothing")]).await;
        let info = hub.get("revision/main").await.expect(200).json();
        let files: Vec<_> = info["siblings"].as_array().expect("files").iter().map(|file| &file["rfilename"]).collect();
        assert_eq!(files, ["README.md", "b.bin", "empty"]);
        assert!(hub.read(&commit, "a/large.bin").await.expect(200).body == large);
        let history = hub.get("commits/main").await.expect(200).json();
        let ids: Vec<_> = history.as_array().expect("commits").iter().map(|commit| &commit["id"]).collect();
        assert_eq!((ids.len(), ids[0], ids[1]), (3, &json!(second), &json!(commit)));
        assert_eq!((&history[0]["title"], &history[0]["message"]), (&json!("a change"), &json!("of files")));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn repeated(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "models/team/m");
        hub.create().await.expect(200);
        let first = hub.head().await;
        let one = [header(Some(&first)), file("a.txt", "one")];
        let made = hub.send("main", &one).await.expect(200).json();
        // The answer was lost.
        assert_eq!(hub.send("main", &one).await.expect(200).json(), made);
        assert_eq!(hub.send("main", &[header(None), one[1].clone()]).await.expect(200).json(), made);
        let other = [header(Some(&first)), file("a.txt", "other")];
        let message = refused(&hub.send("main", &other).await, 412, None);
        assert!(message.contains(&first) && message.contains(&hub.head().await), "{message}");
        assert_eq!(hub.read("main", "a.txt").await.expect(200).body, b"one"[..]);
        assert_eq!(hub.get("commits/main").await.expect(200).json().as_array().map(Vec::len), Some(2));
    }
    .boxed()
}

fn at_once(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let replicas = [stack.server(&[]).await, stack.server(&[]).await];
        let hubs = replicas.each_ref().map(|server| Hub::of(server, "models/team/m"));
        let hub = &hubs[0];
        hub.create().await.expect(200);
        join_all((0..AT_ONCE).map(|number| {
            let hub = hubs[number % 2].clone();
            async move { hub.commit(&[file(&format!("d{}/{number}", number % 2), "same")]).await }
        }))
        .await;
        let info = hub.get("revision/main").await.expect(200).json();
        assert_eq!(info["siblings"].as_array().map(Vec::len), Some(AT_ONCE));
        assert_eq!(
            hub.get("commits/main").await.expect(200).json().as_array().map(Vec::len),
            Some(AT_ONCE + 1)
        );
        assert_eq!(stack.objects().await.len(), 1);
    }
    .boxed()
}

/// As git-lfs writes it.
fn pointer(content: &[u8]) -> String {
    let (oid, size) = (digest_of(content).hex(), content.len());
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "models/team/m");
        hub.create().await.expect(200);
        hub.commit(&[file("a/b.txt", "b")]).await;
        let (there, nowhere) = (content(20_000), content(30_000));
        hub.push(&there).await;
        let mut short = lfs_file("x", &there);
        short["value"]["size"] = json!(7);
        let mut shouted = lfs_file("x", &there);
        shouted["value"]["oid"] = json!(digest_of(&there).hex().to_uppercase());
        let broken = json!({ "key": "file", "value": { "path": "x", "content": "!", "encoding": "base64" } });
        for (lines, status, said) in [
            (vec![header(None), lfs_file("x/y.bin", &nowhere)], 400, "x/y.bin: the repository has no object"),
            (vec![header(None), short], 400, "the object has 20000 bytes, not 7"),
            (vec![header(None), shouted], 400, "lower case"),
            (vec![header(None), broken], 400, "no Base64"),
            (vec![header(None), file("../x", "x")], 400, "../x"),
            (vec![header(None), file("a//x", "x")], 400, "a//x"),
            (vec![header(None), file("a", "x")], 400, "a is a directory"),
            (vec![header(None), file("a/b.txt/c", "x")], 400, "a/b.txt is a file"),
            (vec![header(None), file(&"d/".repeat(70), "x")], 400, "a path"),
            (vec![header(None), file(&format!("{}x", "d/".repeat(70)), "x")], 400, "too deep"),
            (vec![header(None), file(&"n".repeat(256), "x")], 400, "more than 255 bytes"),
            (vec![header(None), file("x", &pointer(&nowhere))], 400, "x: the repository has no object"),
            (vec![header(None), header(None)], 400, "one header"),
            (vec![file("x", "x")], 400, "header"),
            (vec![], 400, "header"),
            (vec![header(None), json!({ "key": "other", "value": {} })], 400, "a line of the commit"),
            (vec![header(None), file("x", &"x".repeat(70_000))], 413, "Git LFS"),
            (vec![header(Some("main")), file("x", "x")], 412, "main"),
        ] {
            let message = refused(&hub.send("main", &lines).await, status, None);
            assert!(message.contains(said), "{message}");
        }
        // A pointer is the file that it stands for: Git has one name for both.
        let pointed = hub.commit(&[file("pointed.bin", &pointer(&there))]).await;
        assert!(hub.read("main", "pointed.bin").await.expect(200).body == there);
        assert_eq!(hub.commit(&[lfs_file("pointed.bin", &there)]).await, pointed);
        let head = hub.commit(&[deleted("pointed.bin")]).await;

        let lines = [header(None), file("x", "x")];
        refused(&hub.send("nowhere", &lines).await, 404, Some("RevisionNotFound"));
        refused(&hub.send(&head, &lines).await, 400, None);
        refused(&hub.send("main?create_pr=1", &lines).await, 501, None);
        let elsewhere = Hub { name: "models/team/other".to_owned(), ..hub.clone() };
        refused(&elsewhere.send("main", &lines).await, 404, Some("RepoNotFound"));
        let xet = refused(&hub.get("xet-write-token/main").await, 404, None);
        assert!(xet.contains("HF_HUB_DISABLE_XET=1"), "{xet}");
        refused(&Answer::to(hub.request(Method::GET, "api/agent-harnesses")).await, 404, None);
        let bad = json!({ "name": "-x", "organization": "team", "type": "model" });
        refused(&Answer::to(hub.request(Method::POST, "api/repos/create").json(&bad)).await, 400, None);
        assert_eq!(hub.head().await, head);
    }
    .boxed()
}

fn wrong_objects(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "models/team/m");
        hub.create().await.expect(200);
        let (wanted, other) = (content(20_000), vec![7; 20_000]);
        let asked = hub.asked(&object(&wanted)).await;
        let early = hub.verify(&asked, &object(&wanted)).await;
        assert!((400..500).contains(&early.status), "{}", early.text());
        // Another length is none that the URL was signed for.
        assert!(hub.put(&asked, &other[..10]).await.status >= 400);
        hub.put(&asked, &other).await.expect(200);
        let message = hub.verify(&asked, &object(&wanted)).await.expect(422).json()["message"].to_string();
        assert!(message.contains("the uploaded bytes are not"), "{message}");
        refused(&hub.send("main", &[header(None), lfs_file("x", &wanted)]).await, 400, None);
        // All but one of the parts.
        let small = content(11 << 20);
        let large = json!({ "oid": digest_of(b"not that large").hex(), "size": 6_u64 << 30 });
        let answer = hub.batch(&["basic", "multipart"], &[large, object(&small)]).await.expect(200).json();
        assert_eq!(answer["transfer"], "multipart");
        let upload = &answer["objects"][1]["actions"]["upload"];
        let size: usize = upload["header"]["chunk_size"].as_str().expect("text").parse().expect("a number");
        let mut parts = Vec::new();
        let chunks: Vec<_> = small.chunks(size).collect();
        assert!(chunks.len() > 1, "{size}");
        for (number, chunk) in (1..).zip(&chunks[1..]) {
            let href = upload["header"][format!("{:05}", number + 1)].as_str().expect("a URL");
            let etag = Answer::to(hub.http.put(href).body(chunk.to_vec())).await.expect(200);
            parts.push(json!({ "partNumber": number + 1, "etag": etag.header("etag").expect("one") }));
        }
        let told = json!({ "oid": digest_of(&small).hex(), "parts": parts });
        let href = upload["href"].as_str().expect("a URL");
        let complete = Answer::to(hub.http.post(href).json(&told)).await;
        assert!((400..500).contains(&complete.status), "{}", complete.text());
        assert_eq!(stack.objects().await.len(), 0);
    }
    .boxed()
}

fn collected(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--gc-grace", "0s", "--clean-interval", "1h"]).await;
        let (hub, other) = (Hub::of(&server, "models/team/m"), Hub::of(&server, "models/team/other"));
        for one in [&hub, &other] {
            one.create().await.expect(200);
            one.commit(&[file("d/shared", "shared")]).await;
        }
        hub.commit(&[file("own", "its own"), file("d/later", "later")]).await;
        hub.commit(&[deleted("own"), deleted("d/")]).await;
        stack.command(&["gc", "--gc-grace", "0s"]).await.done();
        // The commit before has them still, and no other door takes them away.
        assert_eq!(usage(&stack, "team").await, [18, 0, 0]);
        let repository = Repository::of(server.base_url(), "team/models/m");
        let unlink = repository.http.delete(repository.url(digest_of(b"its own")));
        Answer::to(unlink).await.refused(405, "DENIED");
        let deletion = Answer::to(hub.http.delete(format!("{}/api/v2.0/projects/team", hub.base))).await;
        assert!(deletion.status == 412 || deletion.status == 404, "{}", deletion.text());
        hub.end().await.expect(200);
        refused(&hub.get("revision/main").await, 404, Some("RepoNotFound"));
        refused(&hub.end().await, 404, Some("RepoNotFound"));
        tokio::time::sleep(Duration::from_millis(20)).await;
        stack.command(&["gc", "--gc-grace", "0s"]).await.done();
        assert_eq!(usage(&stack, "team").await, [6, 0, 0]);
        assert_eq!(other.read("main", "d/shared").await.expect(200).body, b"shared"[..]);
        // The name is free, and nothing of before is there.
        hub.create().await.expect(200);
        let info = hub.get("revision/main").await.expect(200).json();
        assert_eq!(info["siblings"], json!([]));
        hub.commit(&[file("d/shared", "shared")]).await;
        // A deletion that was begun before finds nothing in it that is its own.
        let (db, name) = (api::database(&stack).await, "team/models/m".parse().expect("a name"));
        let now = db.clock().await.expect("the database's clock").now();
        assert!(db.empty_hub_repository(&name, now, 100).await.expect("an answer"));
        assert_eq!(hub.read("main", "d/shared").await.expect(200).body, b"shared"[..]);
        // One that breaks off is finished by a cleaning.
        assert!(db.end_hub_repository(&name, now).await.expect("an answer"));
        assert!(db.find_hub_repository(&name).await.expect("an answer").is_some());
        stack.command(&["cleanup"]).await.done();
        assert_eq!(db.find_hub_repository(&name).await.expect("an answer"), None);
        db.close().await;
    }
    .boxed()
}

fn full(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "models/team/m");
        hub.create().await.expect(200);
        stack.database.limit("team", [20_000, -1]).await;
        let asked = hub.asked(&object(&content(20_001))).await;
        assert_eq!(asked["error"]["code"], 507, "{asked}");
        hub.push(&content(19_990)).await;
        let message = refused(&hub.send("main", &[header(None), file("x", "eleven bytes")]).await, 403, None);
        assert!(message.contains("team"), "{message}");
        hub.commit(&[file("x", "ten bytes!"), lfs_file("y", &content(19_990))]).await;
        assert_eq!(usage(&stack, "team").await, [20_000, 0, 0]);
    }
    .boxed()
}
