//! Files through the service: put, read, listed, deleted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use overside::domain::clock::Clock;

use super::{Artifacts, refused};
use crate::stories::lfs::Lfs;
use crate::stories::upkeep::quotas::usage;
use crate::support::api::{Answer, Repository, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, api};

/// More entries than a page of the database has.
const MANY: usize = 1100;
const AT_ONCE: usize = 20;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_file_is_put_read_overwritten_and_deleted", life),
        ("a_directory_is_listed_whole_however_much_it_has", listed),
        ("deleting_a_directory_takes_what_is_below_it", deleted),
        ("a_deleted_file_gives_its_room_back_and_one_that_another_path_names_stays", collected),
        ("a_file_that_does_not_fit_into_its_project_leaves_nothing", full),
        ("paths_that_climb_or_say_nothing_are_refused_and_touch_nothing", hostile),
        ("what_is_done_to_files_is_in_the_audit_log", audited),
        ("one_file_through_every_front_door_is_one_object", through_every_door),
    ]
}

fn life(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        refused(&artifacts.read("team/7/a.txt").await, 404, "RESOURCE_DOES_NOT_EXIST");
        for bytes in [content(70_000), Vec::new(), content(6 << 20)] {
            assert_eq!(artifacts.put("team/7/\u{e4} b.bin", &bytes).await.expect(200).text(), "{}");
            assert!(artifacts.read("team/7/%C3%A4%20b.bin").await.expect(200).body == bytes);
            assert_eq!(artifacts.list("team/7").await, [("\u{e4} b.bin".to_owned(), bytes.len() as u64)]);
        }
        let first = artifacts.http.get(artifacts.url("artifacts/team/7/\u{e4} b.bin"));
        let redirected = Answer::to(first.header("range", "bytes=0-9")).await;
        if redirected.status == 206 {
            assert_eq!(redirected.body, content(6 << 20)[..10]);
        } else {
            assert_eq!(redirected.status, 307);
        }
        for _ in 0..2 {
            artifacts.delete("team/7/\u{e4} b.bin").await.expect(200);
        }
        refused(&artifacts.read("team/7/\u{e4} b.bin").await, 404, "RESOURCE_DOES_NOT_EXIST");
        assert_eq!(artifacts.list("team/7").await, []);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn through_every_door(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let (bytes, artifacts) = (content(9_000_000), Artifacts::of(&server));
        let digest = digest_of(&bytes);
        // By Git LFS; through the registry, and past it; and by its path.
        assert_eq!(Lfs::of(&server, "team/lfs").push(&bytes).await, digest);
        assert_eq!(Repository::of(server.base_url(), "team/app").push(&bytes).await, digest);
        let past = Repository::of(server.base_url(), "other/app").begin().await;
        past.put(&bytes).await;
        past.finalize(&digest).await.expect(201);
        artifacts.put("third/7/file.bin", &bytes).await.expect(200);
        stack.settled().await;
        let objects = stack.objects().await;
        assert_eq!(objects.len(), 1, "{objects:?}");
        for project in ["team", "other", "third"] {
            assert_eq!(usage(&stack, project).await, [bytes.len() as u64, 0, 0], "{project}");
        }
        assert!(artifacts.read("third/7/file.bin").await.expect(200).body == bytes);
    }
    .boxed()
}

fn listed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        artifacts.put("team/first", b"one").await.expect(200);
        let digest = digest_of(b"one");
        // All of one content: past the service.
        let db = api::database(&stack).await;
        let repository = "team/mlflow-artifacts".parse().expect("a name");
        for number in 0..MANY {
            let file = overside::domain::file::NewFile {
                path: format!("many/{number:05}").parse().expect("a path"),
                digest,
                media_type: "a/b".parse().expect("a type"),
                updated_by: None,
            };
            assert!(db.put_file(&repository, &file, Clock::System.now()).await.expect("put"));
        }
        db.close().await;
        let expected: Vec<_> = (0..MANY).map(|number| (format!("{number:05}"), 3)).collect();
        assert_eq!(artifacts.list("team/many").await, expected);
        assert_eq!(artifacts.list("team/many/").await.len(), MANY);
        assert_eq!(artifacts.list("team").await, [("first".to_owned(), 3), ("many/".to_owned(), 0)]);
        // Of a file it is that one.
        assert_eq!(artifacts.list("team/many/00007").await, [("00007".to_owned(), 3)]);
        assert_eq!(artifacts.list("team/elsewhere").await, []);
        assert_eq!(artifacts.list("nobody/here").await, []);
    }
    .boxed()
}

fn deleted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        let paths: Vec<_> =
            (0..AT_ONCE).map(|number| format!("team/1/model/{}/{number}", number % 3)).collect();
        for put in join_all(paths.iter().map(|path| artifacts.put(path, path.as_bytes()))).await {
            put.expect(200);
        }
        artifacts.put("team/1/model.txt", b"beside").await.expect(200);
        artifacts.put("team/1/model", b"of the same name").await.expect(200);
        artifacts.delete("team/1/model/2/").await.expect(200);
        assert_eq!(artifacts.list("team/1/model").await.len(), 2);
        artifacts.delete("team/1/model").await.expect(200);
        assert_eq!(artifacts.list("team/1").await, [("model.txt".to_owned(), 6)]);
        artifacts.delete("team").await.expect(200);
        assert_eq!(artifacts.list("team").await, []);
    }
    .boxed()
}

fn collected(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--gc-grace", "0s", "--clean-interval", "1h"]).await;
        let artifacts = Artifacts::of(&server);
        for path in ["team/a", "team/b", "team/c/d"] {
            artifacts.put(path, b"shared").await.expect(200);
        }
        artifacts.put("team/own", b"its own").await.expect(200);
        assert_eq!(usage(&stack, "team").await, [13, 0, 0]);
        // What a path names is not taken out of the repository by another door.
        let repository = Repository::of(server.base_url(), "team/mlflow-artifacts");
        let unlink = repository.http.delete(repository.url(digest_of(b"shared")));
        Answer::to(unlink).await.refused(405, "DENIED");
        artifacts.delete("team/a").await.expect(200);
        artifacts.delete("team/own").await.expect(200);
        artifacts.put("team/b", b"another").await.expect(200);
        tokio::time::sleep(Duration::from_millis(20)).await;
        stack.command(&["gc", "--gc-grace", "0s"]).await.done();
        assert_eq!(artifacts.read("team/c/d").await.expect(200).body, b"shared"[..]);
        assert_eq!(usage(&stack, "team").await, [13, 0, 0]);
        artifacts.delete("team/c").await.expect(200);
        tokio::time::sleep(Duration::from_millis(20)).await;
        stack.command(&["gc", "--gc-grace", "0s"]).await.done();
        assert_eq!(usage(&stack, "team").await, [7, 0, 0]);
        assert_eq!(artifacts.read("team/b").await.expect(200).body, b"another"[..]);
    }
    .boxed()
}

fn full(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--max-blob-size", "200000"]).await;
        let artifacts = Artifacts::of(&server);
        stack.database.limit("team", [100_000, -1]).await;
        let message = refused(&artifacts.put("team/a", &content(100_001)).await, 403, "PERMISSION_DENIED");
        assert!(message.contains("team"), "{message}");
        refused(&artifacts.put("other/a", &content(200_001)).await, 413, "INVALID_PARAMETER_VALUE");
        assert_eq!(usage(&stack, "team").await, [0, 0, 0]);
        artifacts.put("team/a", &content(100_000)).await.expect(200);
        refused(&artifacts.put("team/b", b"x").await, 403, "PERMISSION_DENIED");
        assert_eq!(artifacts.list("team").await, [("a".to_owned(), 100_000)]);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn hostile(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        let longest = format!("team/{}", "x".repeat(1024));
        let too_long = format!("team/{}", "x".repeat(1025));
        artifacts.put(&longest, b"x").await.expect(200);
        for path in [
            "team",
            "team/",
            "..%2fx",
            "team/..%2fx",
            "team/a/.%2fb",
            "team//a",
            "team/a%00",
            "team/a%0a",
            "Team/a",
            "_team/a",
            &too_long,
        ] {
            let answer = artifacts.put(path, b"x").await;
            refused(&answer, 400, "INVALID_PARAMETER_VALUE");
        }
        refused(&artifacts.put("team/%ff", b"x").await, 404, "ENDPOINT_NOT_FOUND");
        for path in ["team/..", "/etc/passwd", "", "team/\u{1}"] {
            let list = artifacts.http.get(artifacts.url("artifacts")).query(&[("path", path)]);
            refused(&Answer::to(list).await, 400, "INVALID_PARAMETER_VALUE");
        }
        refused(&Answer::to(artifacts.http.get(artifacts.url("elsewhere"))).await, 404, "ENDPOINT_NOT_FOUND");
        let method = artifacts.http.patch(artifacts.url("artifacts/team/a"));
        refused(&Answer::to(method).await, 405, "ENDPOINT_NOT_FOUND");
        assert_eq!(stack.objects().await.len(), 1);
    }
    .boxed()
}

fn audited(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let artifacts = Artifacts::of(&server);
        artifacts.put("team/7/a", b"x").await.expect(200);
        artifacts.delete("team/7").await.expect(200);
        artifacts.delete("team/7").await.expect(200);
        let db = api::database(&stack).await;
        let entries = db.audit_entries(None, None, u32::MAX, 0).await.expect("entries").0;
        let done = |operation: &str, resource: &str| (operation.to_owned(), resource.to_owned());
        let mut found: Vec<_> = entries.into_iter().map(|entry| (entry.operation, entry.resource)).collect();
        found.sort_unstable();
        let repository = "team/mlflow-artifacts";
        let expected = [
            done("delete", &format!("{repository}:7")),
            done("push", &format!("{repository}:7/a")),
            done("push", &format!("{repository}@{}", digest_of(b"x"))),
        ];
        assert_eq!(found, expected);
        db.close().await;
    }
    .boxed()
}
