//! What is read of a repository, a page at a time or by its path, and by whom.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::{Action, Actions, Role};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Hub, file, header, lfs_file, refused};
use crate::support::api::{Answer, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, Store};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_file_comes_with_the_headers_that_clients_go_by", resolved),
        ("a_tree_is_listed_in_pages_of_one_commit", listed),
        ("branches_and_tags_are_made_used_and_deleted", refs),
        ("a_blob_that_its_committer_may_not_read_is_one_that_is_not_there", hidden),
        ("a_repository_is_told_of_only_to_whoever_may_read_it", strangers),
    ]
}

fn resolved(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "models/team/M");
        hub.create().await.expect(200);
        let bytes = content(100_000);
        hub.push(&bytes).await;
        stack.settled().await;
        let commit = hub.commit(&[lfs_file("a b/\u{e4}.bin", &bytes)]).await;
        let is_bucket = matches!(stack.store, Store::S3 { .. });
        for (method, name) in [(Method::HEAD, "team/M"), (Method::GET, "Team/m")] {
            let hub = Hub { name: format!("models/{name}"), ..hub.clone() };
            let answer = hub.resolve(method, "refs%2Fheads%2Fmain", "a%20b/%C3%A4.bin").await;
            assert_eq!(answer.status, if is_bucket { 302 } else { 200 });
            assert_eq!(answer.header("x-repo-commit"), Some(&*commit));
            let linked = format!("\"{}\"", digest_of(&bytes).hex());
            assert_eq!(answer.header("x-linked-etag"), Some(&*linked));
            let etag = answer.header("etag").expect("one").to_owned();
            let again = hub.request(Method::GET, "team/M/resolve/main/a%20b/%C3%A4.bin");
            assert_eq!(Answer::to(again.header("if-none-match", etag)).await.status, 304);
            assert_eq!(answer.header("x-linked-size"), Some("100000"));
            if let Some(url) = answer.header("location") {
                let seconds = url.split("X-Amz-Expires=").nth(1).and_then(|rest| rest.split('&').next());
                assert!(seconds.and_then(|seconds| seconds.parse().ok()) >= Some(3_600_u32), "{url}");
            }
        }
        let part =
            hub.request(Method::GET, "team/M/resolve/main/a%20b/%C3%A4.bin").header("range", "bytes=9-");
        let part = Answer::to(part).await;
        if !is_bucket {
            assert_eq!((part.status, part.body.len()), (206, 99_991));
        }
        let missing = hub.read("main", "a%20b/none").await;
        refused(&missing, 404, Some("EntryNotFound"));
        assert_eq!(missing.header("x-repo-commit"), Some(&*commit));
        refused(&hub.read("main", "a%20b").await, 404, Some("EntryNotFound"));
        refused(&hub.read("nowhere", "x").await, 404, Some("RevisionNotFound"));
        refused(&hub.read(&"0".repeat(40), "x").await, 404, Some("RevisionNotFound"));
        refused(
            &Hub { name: "models/team/n".to_owned(), ..hub }.read("main", "x").await,
            404,
            Some("RepoNotFound"),
        );
    }
    .boxed()
}

fn listed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "spaces/team/s");
        hub.create().await.expect(200);
        let paths = ["a/b/c", "a/b/d", "a.txt", "a0", "a/x y", "z/z/z/z"];
        let changes: Vec<_> = paths.iter().map(|path| file(path, "x")).collect();
        hub.commit(&changes).await;
        let path_of = |entry: &Value| entry["path"].as_str().expect("a path").to_owned();
        let whole = hub.get("tree/main?recursive=True").await.expect(200).json();
        let whole: Vec<_> = whole.as_array().expect("entries").iter().map(path_of).collect();
        assert_eq!(
            whole,
            ["a", "a/b", "a/b/c", "a/b/d", "a/x y", "a.txt", "a0", "z", "z/z", "z/z/z", "z/z/z/z",]
        );
        let flat = hub.get("tree/main/a").await.expect(200).json();
        assert_eq!(
            flat.as_array().expect("entries").iter().map(path_of).collect::<Vec<_>>(),
            ["a/b", "a/x y"]
        );
        let pages = async |first: String| {
            let (mut seen, mut url) = (Vec::new(), Some(first));
            while let Some(next) = url {
                let page = Answer::to(hub.http.get(next)).await.expect(200);
                let entries = page.json();
                assert!(
                    entries.as_array().is_some_and(|entries| (1..=2).contains(&entries.len())),
                    "{entries}"
                );
                seen.extend(entries.as_array().expect("entries").iter().map(path_of));
                let link = page.header("link").map(|link| link.trim_start_matches('<'));
                url = link.and_then(|link| Some(link.split_once(">; rel=\"next\"")?.0.to_owned()));
                // What comes meanwhile is in none of the pages.
                hub.commit(&[file(&format!("b{}", seen.len()), "x")]).await;
            }
            seen
        };
        let url = format!("{}/api/{}/tree/main", hub.base, hub.name);
        assert_eq!(pages(format!("{url}?recursive=true&limit=2")).await, whole);
        assert_eq!(pages(format!("{url}/a?recursive=true&limit=2")).await, whole[1..5]);
        assert_eq!(pages(format!("{url}/a/b?limit=1")).await, whole[2..4]);
        // As deep as a file may lie: a page that ends there is gone on with there.
        let deep = "d/".repeat(64);
        hub.commit(&[file(&format!("{deep}e"), "x"), file(&format!("{deep}f"), "x")]).await;
        let below = hub.get("tree/main/d?recursive=true").await.expect(200).json();
        let below: Vec<_> = below.as_array().expect("entries").iter().map(path_of).collect();
        assert_eq!((below.len(), below[64].as_str()), (65, format!("{deep}f").as_str()));
        assert_eq!(pages(format!("{url}/d?recursive=true&limit=2")).await, below);
        assert_eq!(pages(format!("{url}/{}?limit=1", deep.trim_end_matches('/'))).await, below[63..]);
        refused(&hub.get("tree/main/none").await, 404, Some("EntryNotFound"));
        let asked = json!({ "paths": ["a/b/", "a0", "none", "../x"], "expand": false });
        let info = hub.post("paths-info/main", &asked).await.expect(200).json();
        assert_eq!(info.as_array().expect("entries").iter().map(path_of).collect::<Vec<_>>(), ["a/b", "a0"]);
        let form = hub.request(Method::POST, &format!("api/{}/paths-info/main", hub.name));
        let form = form
            .header("content-type", "application/x-www-form-urlencoded")
            .body("paths=a0&paths=z&expand=True");
        assert_eq!(Answer::to(form).await.expect(200).json().as_array().map(Vec::len), Some(2));
        let all = Answer::to(hub.request(Method::GET, "api/spaces?author=team")).await.expect(200).json();
        assert_eq!((all.as_array().map(Vec::len), &all[0]["id"]), (Some(1), &json!("team/s")));
    }
    .boxed()
}

fn refs(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let hub = Hub::of(&server, "models/team/m");
        hub.create().await.expect(200);
        let first = hub.commit(&[file("a", "1")]).await;
        hub.post("branch/feature%2Fx", &json!({})).await.expect(200);
        refused(&hub.post("branch/feature%2Fx", &json!({})).await, 409, None);
        hub.post("tag/main", &json!({ "tag": "v1", "message": null })).await.expect(200);
        let lines = [header(None), file("a", "2")];
        let second = hub.send("feature%2Fx", &lines).await.expect(200).json()["commitOid"].clone();
        assert_eq!(hub.read("main", "a").await.expect(200).body, b"1"[..]);
        assert_eq!(hub.read("feature%2Fx", "a").await.expect(200).body, b"2"[..]);
        assert_eq!(hub.read("v1", "a").await.expect(200).body, b"1"[..]);
        let refs = hub.get("refs").await.expect(200).json();
        assert_eq!(
            refs["branches"][0],
            json!({ "name": "feature/x", "ref": "refs/heads/feature/x", "targetCommit": second })
        );
        assert_eq!(refs["tags"], json!([{ "name": "v1", "ref": "refs/tags/v1", "targetCommit": first }]));
        let at = json!({ "startingPoint": first });
        hub.post("branch/old", &at).await.expect(200);
        refused(
            &hub.post("branch/none", &json!({ "startingPoint": "nowhere" })).await,
            404,
            Some("RevisionNotFound"),
        );
        refused(&hub.post("branch/a..b", &json!({})).await, 400, None);
        hub.delete("branch/feature%2Fx").await.expect(200);
        hub.delete("tag/v1").await.expect(200);
        for gone in ["branch/feature%2Fx", "tag/v1"] {
            refused(&hub.delete(gone).await, 404, Some("RevisionNotFound"));
        }
        refused(&hub.delete("branch/main").await, 403, None);
        // Its commits stay as long as the repository.
        let old = second.as_str().expect("a commit");
        assert_eq!(hub.read(old, "a").await.expect(200).body, b"2"[..]);
    }
    .boxed()
}

fn hidden(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.guarded_server(&[]).await;
        let accounts = Accounts::of(&stack).await;
        for project in ["secret", "own"] {
            accounts.project(project, false).await;
        }
        let owner = accounts.user_as("owner", "secret", Role::Developer).await;
        let other = accounts.user_as("other", "own", Role::Developer).await;
        let theirs = Hub::of(&server, "models/secret/m").by(&owner);
        let own = Hub::of(&server, "models/own/m").by(&other);
        for hub in [&theirs, &own] {
            hub.create().await.expect(200);
        }
        let (there, nowhere) = (content(20_000), content(20_001));
        theirs.push(&there).await;
        stack.settled().await;
        let mut seen = Vec::new();
        for bytes in [&there, &nowhere] {
            let asked = own.asked(&json!({ "oid": digest_of(bytes).hex(), "size": 5 })).await;
            assert!(asked["actions"]["upload"].is_object(), "{asked}");
            let message = refused(&own.send("main", &[header(None), lfs_file("x", bytes)]).await, 400, None);
            seen.push(message.replace(&digest_of(bytes).hex(), "OID"));
        }
        assert_eq!(seen[0], seen[1]);
    }
    .boxed()
}

fn strangers(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.guarded_server(&[]).await;
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let (dev, stranger) =
            (accounts.user_as("dev", "team", Role::Developer).await, accounts.user("stranger").await);
        let robot = accounts.robot("team", "ci", Actions::NONE.with(Action::Pull).with(Action::Push)).await;
        let hub = Hub::of(&server, "models/team/m");
        let named = Hub::of(&server, "models/dev/m").by(&dev);
        refused(&named.create().await, 403, None);
        hub.by(&dev).create().await.expect(200);
        hub.by(&robot).commit(&[file("a", "by a robot")]).await;
        let info = hub.by(&dev).get("revision/main").await.expect(200).json();
        assert_eq!(info["private"], true);
        // As the client sends a token.
        let token = accounts.token("dev").await;
        let who = Answer::to(hub.request(Method::GET, "api/whoami-v2").bearer_auth(&token))
            .await
            .expect(200)
            .json();
        assert_eq!((&who["name"], &who["type"]), (&json!("dev"), &json!("user")));
        let wrong = Answer::to(hub.request(Method::GET, "api/whoami-v2").bearer_auth("hf_wrong")).await;
        refused(&wrong, 401, Some("RepoNotFound"));
        // What is there looks like what is not.
        for visitor in [hub.clone(), hub.by(&stranger)] {
            let mut seen = Vec::new();
            for name in ["models/team/m", "models/team/n", "models/none/m", "datasets/team/m"] {
                let visitor = Hub { name: name.to_owned(), ..visitor.clone() };
                let answers = [
                    visitor.get("revision/main").await,
                    visitor.resolve(Method::GET, "main", "a").await,
                    visitor.send("main", &[header(None), file("a", "x")]).await,
                    visitor.create().await,
                    visitor.end().await,
                    visitor.batch(&["basic"], &[]).await,
                    Answer::to(visitor.request(Method::GET, "api/models?author=team")).await,
                ];
                assert!(answers.iter().take(6).all(|answer| matches!(answer.status, 401 | 403)), "{name}");
                assert_eq!(answers[6].json(), json!([]));
                let shown = answers.map(|answer| answer.rendered().replace("none", "team"));
                seen.push(shown);
            }
            assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
        }
        // Developers make, and do not delete.
        refused(&hub.by(&dev).end().await, 403, None);
        accounts.user_as("max", "team", Role::Maintainer).await;
        let max = crate::support::Login { name: "max".to_owned(), ..dev };
        hub.by(&max).end().await.expect(200);
    }
    .boxed()
}
