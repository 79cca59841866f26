//! What a command cannot do, it says; and none makes a database by the way.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};

use super::{Commands, Way};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

pub fn cases() -> Vec<Story> {
    vec![
        ("what_a_command_cannot_do_it_says_over_http", |stack| wrong(stack, Way::Http).boxed()),
        ("what_a_command_cannot_do_it_says_on_the_database", |stack| wrong(stack, Way::Database).boxed()),
        ("the_last_administrator_stays", last),
        ("no_command_but_serve_and_migrate_makes_a_database", makes_none),
    ]
}

async fn wrong(stack: Arc<Stack>, way: Way) {
    let root = Commands::of(&stack, way).await;
    root.told(&["user", "create", "alice"]).await;
    root.told(&["project", "create", "team"]).await;
    root.told(&["robot", "create", "team", "ci"]).await;
    let nil = uuid::Uuid::nil().to_string();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["user", "create", "a b"], 2, "a user's name"),
        (&["user", "create", "alice"], 1, "already"),
        (&["user", "create", "x", "--oidc-issuer", "https://a"], 2, "--oidc-subject"),
        (&["user", "create", "x", "--oidc-issuer", "a", "--oidc-subject", "b"], 1, "URL"),
        (&["user", "passwd", "nobody"], 1, "there is no user nobody"),
        (&["user", "delete", "nobody"], 1, "there is no user nobody"),
        (&["user", "admin", "alice", "--revoke"], 1, "no administrator already"),
        (&["user", "token", "create", "x", "--user", "alice", "--days", "0"], 1, "1 to 36500 days"),
        (&["user", "token", "revoke", &nil, "--user", "alice"], 1, "there is no such access token"),
        (&["project", "create", "A"], 2, "a project's name"),
        (&["project", "create", "team"], 1, "taken"),
        (&["project", "create", "x", "--storage-limit", "-2"], 2, "a limit is"),
        (&["project", "show", "none"], 1, "there is no such project"),
        (&["project", "member", "set", "team", "alice", "king"], 2, "guest, developer"),
        (&["project", "member", "set", "team", "nobody", "guest"], 1, "there is no such user"),
        (&["project", "member", "remove", "team", "alice"], 1, "there is no member alice"),
        (&["robot", "create", "team", "ci"], 1, "already"),
        (&["robot", "create", "none", "ci"], 1, "there is no such project"),
        (&["robot", "create", "team", "x", "--actions", "fly"], 2, "pull, push and delete"),
        (&["robot", "revoke", "ci"], 2, "robot$PROJECT+NAME"),
        (&["robot", "revoke", "robot$team+none"], 1, "there is no robot robot$team+none"),
        (&["config", "set", "upload_concurrent", "many"], 2, "upload_concurrent"),
    ];
    for (arguments, code, says) in cases {
        let done = root.run(arguments).await;
        assert_eq!(done.code, Some(*code), "{arguments:?}: {}{}", done.stdout, done.stderr);
        assert!(done.stderr.contains(says), "{arguments:?}: {}", done.stderr);
    }
    let short = root.run_with_input("short\n", &["user", "create", "bob", "--password-stdin"]).await;
    assert_eq!(short.code, Some(1));
    assert!(short.stderr.contains("8 to 1024 bytes") && !short.stderr.contains("short"), "{}", short.stderr);
}

/// Two who remove each other at once, and whoever is alone.
fn last(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let root = Commands::of(&stack, Way::Http).await;
        let eve = Accounts::of(&stack).await.administrator("eve").await;
        let api = root.api();
        let id_of = async |name: &str| {
            let found = api.with(&eve).get(&format!("users?q=username%3D{name}")).await.expect(200).json();
            assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
            found[0]["user_id"].clone()
        };
        let ids = [id_of("root").await, id_of("eve").await];
        let login =
            super::super::Login { name: "root".into(), secret: crate::support::accounts::PASSWORD.into() };
        let (one, other) = (api.with(&login), api.with(&eve));
        let statuses =
            join_all([one.delete(&format!("users/{}", ids[1])), other.delete(&format!("users/{}", ids[0]))])
                .await;
        let statuses: Vec<_> = statuses.iter().map(|answer| answer.status).collect();
        assert!(statuses.contains(&200) && !statuses.iter().all(|status| *status == 200), "{statuses:?}");
        let left = Accounts::of(&stack).await.users().await;
        assert_eq!(left.len(), 1, "{left:?}");

        let on_database = Commands { way: Way::Database, ..root };
        for wish in [&["user", "delete", &left[0]][..], &["user", "admin", &left[0], "--revoke"]] {
            let refused = on_database.run(wish).await;
            assert_eq!(refused.code, Some(1), "{wish:?}: {}", refused.stdout);
            assert!(refused.stderr.contains("last administrator"), "{}", refused.stderr);
        }
        on_database.told(&["user", "create", "heir", "--admin"]).await;
        on_database.told(&["user", "delete", &left[0]]).await;
    }
    .boxed()
}

fn makes_none(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let here = stack.folder().join("here");
        std::fs::create_dir(&here).expect("a folder of our own");
        let run = async |arguments: &[&str]| {
            let mut command = stack.program(env!("CARGO_BIN_EXE_overside").as_ref());
            stack.run(command.current_dir(&here).args(arguments)).await
        };
        for arguments in [
            &["user", "create", "alice", "--database"][..],
            &["project", "list", "--database", "sqlite://data/other.db"],
            &["project", "usage", "--recount", "--database"],
            &["config", "get", "--database"],
            &["robot", "list", "--database"],
            &["doctor"],
            &["cleanup"],
            &["gc", "--dry-run"],
            &["verify"],
        ] {
            let done = run(arguments).await;
            assert_eq!(done.code, Some(1), "{arguments:?}: {}{}", done.stdout, done.stderr);
            let told = done.stdout + &done.stderr;
            assert!(
                told.contains("there is no database at data/") && told.contains("serve"),
                "{arguments:?}: {told}"
            );
            assert_eq!(std::fs::read_dir(&here).expect("a folder").count(), 0, "{arguments:?}");
        }
        // On a database alone there is a store to miss.
        assert_eq!(run(&["migrate"]).await.code, Some(0));
        for arguments in [&["gc", "--dry-run"][..], &["doctor"]] {
            let done = run(arguments).await;
            assert_eq!(done.code, Some(1), "{arguments:?}: {}{}", done.stdout, done.stderr);
            assert!(
                (done.stdout + &done.stderr).contains("there is no store at data/store"),
                "{arguments:?}"
            );
            assert!(!here.join("data/store").exists(), "{arguments:?}");
        }
    }
    .boxed()
}
