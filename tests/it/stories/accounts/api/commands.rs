//! `overside user`, `project`, `robot` and `config`: over HTTP, as somebody who is signed in, and on the database.

mod refused;

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use super::Api;
use crate::support::accounts::PASSWORD;
use crate::support::command_line::CommandLine;
use crate::support::process::Server;
use crate::support::stack::CommandOutput;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

pub fn cases() -> Vec<Story> {
    let kept: Vec<Story> = vec![
        ("users_and_tokens_are_kept_over_http", |stack| users(stack, Way::Http).boxed()),
        ("users_and_tokens_are_kept_on_the_database", |stack| users(stack, Way::Database).boxed()),
        ("projects_and_members_are_kept_over_http", |stack| projects(stack, Way::Http).boxed()),
        ("projects_and_members_are_kept_on_the_database", |stack| projects(stack, Way::Database).boxed()),
        ("robots_are_kept_over_http", |stack| robots(stack, Way::Http).boxed()),
        ("robots_are_kept_on_the_database", |stack| robots(stack, Way::Database).boxed()),
        ("settings_are_kept_over_http", settings),
        ("people_keep_their_own_password_and_tokens_over_http", own),
    ];
    [kept, refused::cases()].concat()
}

/// How a command gets at what it manages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As the administrator `root`.
    Http,
    Database,
}

/// Somebody who runs commands, beside a server on which there is an administrator `root`.
struct Commands {
    server: Server,
    line: CommandLine,
    way: Way,
}

impl Commands {
    async fn of(stack: &Arc<Stack>, way: Way) -> Self {
        Accounts::of(stack).await.administrator("root").await;
        let server = stack.guarded_server(&[]).await;
        let line = CommandLine::new(stack, "root", server.base_url());
        if way == Way::Http {
            assert_eq!(line.login(server.base_url(), "root", PASSWORD).await.code, Some(0));
        }
        Self { server, line, way }
    }

    fn api(&self) -> Api {
        Api::of(&self.server)
    }

    async fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.run_with_input("", arguments).await
    }

    async fn run_with_input(&self, input: &str, arguments: &[&str]) -> CommandOutput {
        let url = self.line.stack().database.url();
        let more = if self.way == Way::Database { vec!["--database", url.as_str()] } else { vec![] };
        let command = self.line.command(&[arguments, &more].concat());
        self.line.stack().run_with_input(input, &command).await
    }

    /// What a command says in JSON.
    async fn said(&self, arguments: &[&str]) -> Value {
        let told = self.told(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&told).unwrap_or_else(|_| panic!("{arguments:?}: {told}"))
    }

    /// What a command says to people.
    async fn told(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}: {}", done.stdout);
        done.stdout
    }
}

async fn users(stack: Arc<Stack>, way: Way) {
    let root = Commands::of(&stack, way).await;
    let api = root.api();
    let made = root.said(&["user", "create", "eve", "--admin"]).await;
    assert!(api.lets_in("eve", made["password"].as_str().expect("a password")).await);
    let alice = root.run_with_input("alice's own\n", &["user", "create", "alice", "--password-stdin"]).await;
    assert_eq!((alice.code, alice.stdout.as_str()), (Some(0), "made user alice\n"), "{}", alice.stderr);
    assert!(api.lets_in("alice", "alice's own").await);
    let issuer = ["--oidc-issuer", "https://issuer.example", "--oidc-subject", "repo:team/app"];
    assert_eq!(root.told(&[&["user", "create", "ci"], &issuer[..]].concat()).await, "made user ci\n");

    let mut list = root.said(&["user", "list"]).await.as_array().expect("a list").clone();
    for user in &mut list {
        assert!(user["creation_time"].take().is_string() && user["user_id"].take().is_i64());
    }
    let user = |name: &str, is_admin: bool| {
        json!({ "user_id": null, "username": name, "sysadmin_flag": is_admin, "has_password": true,
            "creation_time": null })
    };
    let mut ci = user("ci", false);
    ci["has_password"] = json!(false);
    ci["oidc_issuer"] = json!("https://issuer.example");
    ci["oidc_subject"] = json!("repo:team/app");
    assert_eq!(list, [user("alice", false), ci, user("eve", true), user("root", true)]);
    let table = root.told(&["user", "list"]).await;
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().expect("a heading"), ["NAME", "ADMINISTRATOR", "PASSWORD", "SINCE"]);
    assert_eq!(lines.next().expect("a line")[..3], ["alice", "no", "yes"]);
    assert_eq!(lines.next().expect("a line")[..3], ["ci", "no", "no"]);

    let fresh = root.said(&["user", "passwd", "alice"]).await["password"].as_str().expect("one").to_owned();
    assert!(api.lets_in("alice", &fresh).await && !api.lets_in("alice", "alice's own").await);
    let own = root.run_with_input("own again!\r\n", &["user", "passwd", "alice", "--password-stdin"]).await;
    assert_eq!((own.code, own.stdout.as_str()), (Some(0), "alice has a new password\n"));
    assert!(api.lets_in("alice", "own again!").await);
    assert_eq!(root.told(&["user", "admin", "alice"]).await, "alice is an administrator now\n");
    let alice = super::Login { name: "alice".into(), secret: "own again!".into() };
    api.with(&alice).get("users").await.expect(200);
    root.told(&["user", "admin", "alice", "--revoke"]).await;
    api.with(&alice).get("users").await.refused(403, "FORBIDDEN");

    let token = root.said(&["user", "token", "create", "laptop", "--user", "alice", "--days", "7"]).await;
    let (id, secret) = (token["id"].as_str().expect("an id"), token["secret"].as_str().expect("a secret"));
    assert!(api.lets_in("alice", secret).await);
    let list = root.said(&["user", "token", "list", "--user", "alice"]).await;
    assert_eq!(
        (&list[0]["id"], &list[0]["name"], list[0].get("secret")),
        (&json!(id), &json!("laptop"), None)
    );
    root.told(&["user", "token", "revoke", id, "--user", "alice"]).await;
    assert!(!api.lets_in("alice", secret).await);
    assert_eq!(root.told(&["user", "delete", "alice"]).await, "deleted user alice\n");
    assert!(!api.lets_in("alice", "own again!").await);
}

async fn projects(stack: Arc<Stack>, way: Way) {
    let root = Commands::of(&stack, way).await;
    let limits = ["--public", "--storage-limit", "10GiB", "--count-limit", "5"];
    root.told(&[&["project", "create", "team"], limits.as_slice()].concat()).await;
    // A name of digits is no id.
    root.told(&["project", "create", "2024"]).await;
    let show = root.said(&["project", "show", "team"]).await;
    for (field, value) in [
        ("name", json!("team")),
        ("metadata", json!({ "public": "true" })),
        ("storage_limit", json!(10_i64 << 30)),
        ("count_limit", json!(5)),
        ("repo_count", json!(0)),
        ("owner_name", json!(if way == Way::Http { "root" } else { "" })),
    ] {
        assert_eq!(show[field], value, "{show}");
    }
    let usage = root.told(&["project", "usage", "team"]).await;
    assert!(
        usage.starts_with(
            "team: 0 B (0 bytes) of 10.0 GiB (10737418240 bytes), 0 B (0 bytes) reserved, 0 tags of 5\n"
        ),
        "{usage}"
    );
    root.told(&["project", "update", "team", "--public", "false", "--storage-limit", "-1"]).await;
    let show = root.told(&["project", "show", "team"]).await;
    let told = "team: private, 0 repositories, storage limit none, tag limit 5, made ";
    assert!(show.starts_with(told), "{show}");
    let list = root.said(&["project", "list"]).await;
    assert_eq!((&list[0]["name"], &list[1]["name"]), (&json!("2024"), &json!("team")));
    let named = root.said(&["project", "list", "--name", "ea"]).await;
    assert_eq!(named.as_array().map(Vec::len), Some(1));

    root.told(&["user", "create", "alice"]).await;
    let others = if way == Way::Http { vec![("root", "projectAdmin")] } else { vec![] };
    for role in ["guest", "maintainer"] {
        let set = root.told(&["project", "member", "set", "team", "alice", role]).await;
        assert_eq!(set, format!("alice is {role} of team now\n"));
        let members = root.said(&["project", "member", "list", "team"]).await;
        let members = members.as_array().expect("a list").iter();
        let members: Vec<_> = members
            .map(|member| {
                (member["entity_name"].as_str().expect("one"), member["role_name"].as_str().expect("one"))
            })
            .collect();
        assert_eq!(members, [vec![("alice", role)], others.clone()].concat());
    }
    root.told(&["project", "member", "remove", "team", "alice"]).await;
    let members = root.said(&["project", "member", "list", "team"]).await;
    assert_eq!(members.as_array().map(Vec::len), Some(others.len()));
    root.told(&["project", "delete", "team"]).await;
    root.told(&["project", "delete", "2024"]).await;
    assert_eq!(root.said(&["project", "list"]).await, json!([]));
}

async fn robots(stack: Arc<Stack>, way: Way) {
    let root = Commands::of(&stack, way).await;
    root.told(&["project", "create", "team"]).await;
    let made = root.said(&["robot", "create", "team", "ci", "--actions", "push,pull", "--days", "-1"]).await;
    assert_eq!((&made["name"], &made["expires_at"]), (&json!("robot$team+ci"), &json!(-1)));
    let secret = made["secret"].as_str().expect("a secret");
    let api = root.api();
    assert!(api.lets_in("robot$team+ci", secret).await);
    let list = root.said(&["robot", "list", "team"]).await;
    assert_eq!(
        (list[0]["permissions"][0]["access"].as_array().map(Vec::len), list[0].get("secret")),
        (Some(2), None)
    );
    let table = root.told(&["robot", "list"]).await;
    let line: Vec<_> = table.lines().nth(1).expect("a robot").split_whitespace().collect();
    assert_eq!(line, ["robot$team+ci", "pull,push", "never", "no"]);
    let rotated = root.said(&["robot", "rotate", "robot$team+ci"]).await;
    let fresh = rotated["secret"].as_str().expect("a secret");
    assert!(api.lets_in("robot$team+ci", fresh).await && !api.lets_in("robot$team+ci", secret).await);
    assert_eq!(root.told(&["robot", "revoke", "robot$team+ci"]).await, "revoked robot$team+ci\n");
    assert!(!api.lets_in("robot$team+ci", fresh).await);
    assert_eq!(root.said(&["robot", "list"]).await, json!([]));
}

fn settings(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let root = Commands::of(&stack, Way::Http).await;
        assert_eq!(root.told(&["config", "set", "upload_concurrent", "7"]).await, "upload_concurrent = 7\n");
        assert_eq!(
            root.said(&["config", "get", "upload_concurrent"]).await,
            json!({ "upload_concurrent": 7 })
        );
        assert_eq!(root.told(&["config", "unset", "upload_concurrent"]).await, "upload_concurrent = -1\n");
        let all = root.told(&["config", "get"]).await;
        assert!(all.contains("url_lifetime = 15m\n    "), "{all}");
    }
    .boxed()
}

/// What everybody may do for themselves, and no more.
fn own(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let root = Commands::of(&stack, Way::Http).await;
        Accounts::of(&stack).await.user("alice").await;
        let alice = CommandLine::new(&stack, "alice", root.server.base_url());
        let stranger = alice.failed(1, &["user", "token", "list"]).await;
        assert!(stranger.contains("overside login") && stranger.contains("--database"), "{stranger}");
        assert_eq!(alice.login(root.server.base_url(), "alice", PASSWORD).await.code, Some(0));

        let made = alice.done(&["user", "token", "create", "laptop"]).await;
        let secret = made.split_whitespace().nth(3).expect("a secret");
        assert!(root.api().lets_in("alice", secret).await, "{made}");
        let list = alice.done(&["user", "token", "list"]).await;
        let id = list.lines().nth(1).expect("a token").split_whitespace().next().expect("an id");
        assert_eq!(alice.done(&["user", "token", "revoke", id]).await, format!("revoked token {id}\n"));
        for others in [
            &["user", "list"][..],
            &["user", "passwd", "root"],
            &["user", "token", "list", "--user", "root"],
            &["user", "delete", "root"],
            &["config", "get"],
        ] {
            let refused = alice.failed(1, others).await;
            assert!(refused.contains("administrator"), "{others:?}: {refused}");
        }

        let done = alice.done_with_input(b"alice's own\n", &["user", "passwd", "--password-stdin"]).await;
        assert_eq!(done, "alice has a new password; sign in with it: overside login\n");
        assert!(root.api().lets_in("alice", "alice's own").await);
        assert!(!root.api().lets_in("alice", PASSWORD).await);
    }
    .boxed()
}
