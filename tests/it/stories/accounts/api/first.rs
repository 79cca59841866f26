//! The first administrator.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};

use super::Api;
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

const VARIABLE: &str = "OVERSIDE_ADMIN_PASSWORD";

pub fn cases() -> Vec<Story> {
    vec![
        ("the_first_administrators_password_is_printed_once", printed),
        ("the_first_administrators_password_is_taken_from_the_environment", given),
        ("replicas_that_start_at_once_make_one_administrator", at_once),
    ]
}

/// A server that has this in its environment; what it printed and logged goes to a file of this name.
async fn server(stack: &Stack, name: &str, password: Option<&str>) -> Server {
    let mut command = stack.binary();
    command.args(["serve", "--auth", "token"]);
    if let Some(password) = password {
        command.env(VARIABLE, password);
    }
    Server::start(&mut command, &stack.folder().join(name)).await
}

fn output(stack: &Stack, name: &str) -> String {
    std::fs::read_to_string(stack.folder().join(name)).expect("what it printed")
}

/// The password in what a server printed.
fn shown(output: &str) -> Option<String> {
    let (_, rest) = output.split_once("made the first administrator: admin, password ")?;
    Some(rest.split_once(" (not shown again)\n")?.0.to_owned())
}

fn printed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let first = server(&stack, "first", None).await;
        let password = shown(&output(&stack, "first")).expect("a password");
        assert_eq!(password.len(), 43, "256 random bits");
        let api = Api::of(&first);
        assert!(api.lets_in("admin", &password).await && !api.lets_in("admin", "admin").await);
        let admin = super::Login { name: "admin".into(), secret: password.clone() };
        let current = api.with(&admin).get("users/current").await.expect(200).json();
        assert_eq!((&current["username"], &current["sysadmin_flag"]), (&"admin".into(), &true.into()));
        assert_eq!(output(&stack, "first").matches(&password).count(), 1);
        // It is there now, and stays as it is.
        let second = server(&stack, "second", Some("of the environment")).await;
        assert!(!output(&stack, "second").contains("administrator"));
        assert!(Api::of(&second).lets_in("admin", &password).await);
        assert!(!Api::of(&second).lets_in("admin", "of the environment").await);
    }
    .boxed()
}

fn given(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let mut command = stack.binary();
        command.args(["serve", "--auth", "token"]).env(VARIABLE, "short");
        let refused = stack.run(&mut command).await;
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("a password has 8 to 1024 bytes"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("short") && !refused.stdout.contains("short"));
        assert_eq!(Accounts::of(&stack).await.users().await, Vec::<String>::new());

        let first = server(&stack, "first", Some("of the environment")).await;
        assert!(Api::of(&first).lets_in("admin", "of the environment").await);
        let output = output(&stack, "first");
        assert!(output.contains("made the first administrator: admin"), "{output}");
        assert!(!output.contains("of the environment"), "{output}");
    }
    .boxed()
}

fn at_once(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        stack.command(&["migrate"]).await;
        let names = ["a", "b", "c"];
        let servers = join_all(names.map(|name| server(&stack, name, None))).await;
        let passwords: Vec<_> = names.iter().filter_map(|name| shown(&output(&stack, name))).collect();
        let [password] = passwords.as_slice() else { panic!("{} passwords", passwords.len()) };
        assert_eq!(Accounts::of(&stack).await.users().await, ["admin"]);
        for server in &servers {
            assert!(Api::of(server).lets_in("admin", password).await);
        }
    }
    .boxed()
}
