//! `overside user`, `project` and `robot`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use super::Api;
use crate::support::Stack;
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("users_and_tokens_are_kept_from_the_command_line", users),
        ("projects_and_members_are_kept_from_the_command_line", projects),
        ("robots_are_kept_from_the_command_line", robots),
        ("what_a_command_cannot_do_it_says", wrong),
    ]
}

/// What a command says in JSON.
async fn said(stack: &Stack, arguments: &[&str]) -> Value {
    let done = stack.command(&[arguments, &["--json"]].concat()).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}: {}", done.stdout);
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", done.stdout))
}

/// The first line of what a command says to people.
async fn told(stack: &Stack, arguments: &[&str]) -> String {
    let done = stack.command(arguments).await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}: {}", done.stdout);
    done.stdout
}

fn users(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let made = said(&stack, &["user", "create", "root", "--admin"]).await;
        let root = made["password"].as_str().expect("a password").to_owned();
        let alice =
            stack.command_with_input("alice's own\n", &["user", "create", "alice", "--password-stdin"]).await;
        assert_eq!((alice.code, alice.stdout.as_str()), (Some(0), "made user alice\n"), "{}", alice.stderr);
        let federated = [
            "user",
            "create",
            "ci",
            "--oidc-issuer",
            "https://issuer.example",
            "--oidc-subject",
            "repo:team/app",
        ];
        assert_eq!(told(&stack, &federated).await, "made user ci\n");
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server);
        assert!(api.lets_in("root", &root).await && api.lets_in("alice", "alice's own").await);

        let list = said(&stack, &["user", "list"]).await;
        let mut list = list.as_array().expect("a list").clone();
        for user in &mut list {
            assert!(user["creation_time"].take().is_string() && user["user_id"].take().is_i64());
        }
        let user = |name: &str, is_admin: bool| {
            json!({ "user_id": null, "username": name, "sysadmin_flag": is_admin, "has_password": true,
                "oidc_issuer": null, "oidc_subject": null, "creation_time": null })
        };
        let mut ci = user("ci", false);
        ci["has_password"] = json!(false);
        ci["oidc_issuer"] = json!("https://issuer.example");
        ci["oidc_subject"] = json!("repo:team/app");
        assert_eq!(list, [user("alice", false), ci, user("root", true)]);
        let table = told(&stack, &["user", "list"]).await;
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(lines.next().expect("a heading"), ["NAME", "ADMINISTRATOR", "PASSWORD", "SINCE"]);
        assert_eq!(lines.next().expect("a line")[..3], ["alice", "no", "yes"]);
        assert_eq!(lines.next().expect("a line")[..3], ["ci", "no", "no"]);

        let fresh =
            said(&stack, &["user", "passwd", "alice"]).await["password"].as_str().expect("one").to_owned();
        assert!(api.lets_in("alice", &fresh).await && !api.lets_in("alice", "alice's own").await);
        let own = stack
            .command_with_input("own again!\r\n", &["user", "passwd", "alice", "--password-stdin"])
            .await;
        assert_eq!((own.code, own.stdout.as_str()), (Some(0), "alice has a new password\n"));
        assert!(api.lets_in("alice", "own again!").await);
        assert_eq!(told(&stack, &["user", "admin", "alice"]).await, "alice is an administrator now\n");
        let alice = super::Login { name: "alice".into(), secret: "own again!".into() };
        api.with(&alice).get("users").await.expect(200);
        told(&stack, &["user", "admin", "alice", "--revoke"]).await;
        api.with(&alice).get("users").await.refused(403, "FORBIDDEN");

        let token = said(&stack, &["user", "token", "create", "alice", "laptop", "--days", "7"]).await;
        let (id, secret) =
            (token["id"].as_str().expect("an id"), token["secret"].as_str().expect("a secret"));
        assert!(api.lets_in("alice", secret).await);
        let list = said(&stack, &["user", "token", "list", "alice"]).await;
        assert_eq!(
            (&list[0]["id"], &list[0]["name"], list[0].get("secret")),
            (&json!(id), &json!("laptop"), None)
        );
        told(&stack, &["user", "token", "revoke", "alice", id]).await;
        assert!(!api.lets_in("alice", secret).await);
        assert_eq!(told(&stack, &["user", "delete", "alice"]).await, "deleted user alice\n");
        assert!(!api.lets_in("alice", "own again!").await);
    }
    .boxed()
}

fn projects(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let limits = ["--public", "--storage-limit", "10GiB", "--count-limit", "5"];
        told(&stack, &[&["project", "create", "team"], limits.as_slice()].concat()).await;
        told(&stack, &["project", "create", "other"]).await;
        let show = said(&stack, &["project", "show", "team"]).await;
        for (field, value) in [
            ("name", json!("team")),
            ("public", json!(true)),
            ("storage_limit", json!(10_i64 << 30)),
            ("count_limit", json!(5)),
            ("repo_count", json!(0)),
            ("owner_name", json!("")),
        ] {
            assert_eq!(show[field], value, "{show}");
        }
        told(&stack, &["project", "update", "team", "--public", "false", "--storage-limit", "-1"]).await;
        let show = told(&stack, &["project", "show", "team"]).await;
        assert!(
            show.starts_with("team: private, 0 repositories, storage limit none, tag limit 5, made "),
            "{show}"
        );
        let list = said(&stack, &["project", "list"]).await;
        assert_eq!((&list[0]["name"], &list[1]["name"]), (&json!("other"), &json!("team")));
        assert_eq!(
            said(&stack, &["project", "list", "--name", "ea"]).await.as_array().map(Vec::len),
            Some(1)
        );

        told(&stack, &["user", "create", "alice"]).await;
        for role in ["guest", "maintainer"] {
            let set = told(&stack, &["project", "member", "set", "team", "alice", role]).await;
            assert_eq!(set, format!("alice is {role} of team now\n"));
            let members = said(&stack, &["project", "member", "list", "team"]).await;
            assert_eq!(members.as_array().map(Vec::len), Some(1));
            assert_eq!((&members[0]["username"], &members[0]["role"]), (&json!("alice"), &json!(role)));
        }
        told(&stack, &["project", "member", "remove", "team", "alice"]).await;
        assert_eq!(said(&stack, &["project", "member", "list", "team"]).await, json!([]));
        told(&stack, &["project", "delete", "team"]).await;
        assert_eq!(said(&stack, &["project", "list"]).await.as_array().map(Vec::len), Some(1));
    }
    .boxed()
}

fn robots(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        told(&stack, &["project", "create", "team"]).await;
        let made =
            said(&stack, &["robot", "create", "team", "ci", "--actions", "push,pull", "--days", "-1"]).await;
        assert_eq!((&made["name"], &made["expires_at"]), (&json!("robot$team+ci"), &Value::Null));
        let secret = made["secret"].as_str().expect("a secret");
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server);
        assert!(api.lets_in("robot$team+ci", secret).await);
        let list = said(&stack, &["robot", "list", "team"]).await;
        assert_eq!((&list[0]["actions"], list[0].get("secret")), (&json!(["pull", "push"]), None));
        let rotated = said(&stack, &["robot", "rotate", "robot$team+ci"]).await;
        let fresh = rotated["secret"].as_str().expect("a secret");
        assert!(api.lets_in("robot$team+ci", fresh).await && !api.lets_in("robot$team+ci", secret).await);
        assert_eq!(told(&stack, &["robot", "revoke", "robot$team+ci"]).await, "revoked robot$team+ci\n");
        assert!(!api.lets_in("robot$team+ci", fresh).await);
        assert_eq!(said(&stack, &["robot", "list"]).await, json!([]));
    }
    .boxed()
}

fn wrong(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        told(&stack, &["user", "create", "alice"]).await;
        told(&stack, &["project", "create", "team"]).await;
        told(&stack, &["robot", "create", "team", "ci"]).await;
        let nil = uuid::Uuid::nil().to_string();
        let cases: &[(&[&str], i32, &str)] = &[
            (&["user"], 2, "Usage"),
            (&["user", "create", "a b"], 2, "a user's name"),
            (&["user", "create", "alice"], 1, "already"),
            (&["user", "create", "x", "--oidc-issuer", "https://a"], 2, "--oidc-subject"),
            (&["user", "create", "x", "--oidc-issuer", "a", "--oidc-subject", "b"], 1, "URL"),
            (&["user", "passwd", "nobody"], 1, "there is no such user"),
            (&["user", "delete", "nobody"], 1, "there is no such user"),
            (&["user", "admin", "alice", "--revoke"], 1, "no administrator already"),
            (&["user", "token", "create", "alice", "x", "--days", "0"], 1, "1 to 36500 days"),
            (&["user", "token", "revoke", "alice", &nil], 1, "there is no such access token"),
            (&["project", "create", "A"], 2, "a project's name"),
            (&["project", "create", "team"], 1, "taken"),
            (&["project", "create", "x", "--storage-limit", "-2"], 2, "a limit is"),
            (&["project", "show", "none"], 1, "there is no such project"),
            (&["project", "member", "set", "team", "alice", "king"], 2, "guest, developer"),
            (&["project", "member", "set", "team", "nobody", "guest"], 1, "there is no such user"),
            (&["project", "member", "remove", "team", "alice"], 1, "there is no such member"),
            (&["robot", "create", "team", "ci"], 1, "already"),
            (&["robot", "create", "none", "ci"], 1, "there is no such project"),
            (&["robot", "create", "team", "x", "--actions", "fly"], 2, "pull, push and delete"),
            (&["robot", "revoke", "ci"], 2, "robot$PROJECT+NAME"),
            (&["robot", "revoke", "robot$team+none"], 1, "there is no such robot"),
        ];
        for (arguments, code, says) in cases {
            let done = stack.command(arguments).await;
            assert_eq!(done.code, Some(*code), "{arguments:?}: {}{}", done.stdout, done.stderr);
            assert!(done.stderr.contains(says), "{arguments:?}: {}", done.stderr);
        }
        let short = stack.command_with_input("short\n", &["user", "create", "bob", "--password-stdin"]).await;
        assert_eq!(short.code, Some(1));
        assert!(
            short.stderr.contains("8 to 1024 bytes") && !short.stderr.contains("short"),
            "{}",
            short.stderr
        );
    }
    .boxed()
}
