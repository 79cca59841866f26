//! What is done here as the audit log has it, and what settings say of projects.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use super::{Api, field, id_of};
use crate::support::trial::Story;
use crate::support::{Accounts, Login, Stack};

pub fn cases() -> Vec<Story> {
    vec![
        ("what_is_changed_by_the_api_is_in_the_log_by_its_name", logged),
        ("what_is_changed_by_commands_is_in_the_log_as_theirs", commands),
        ("settings_say_who_makes_projects_and_how_large_they_are", settings),
    ]
}

fn logged(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        accounts.user("bob").await;
        let server = stack.guarded_server(&[]).await;
        let operator = Api::of(&server).with(&accounts.administrator("root").await);
        let project = id_of(&operator.post("projects", json!({ "project_name": "team" })).await.expect(201));
        let member = json!({ "role_id": 3, "member_user": { "username": "bob" } });
        let member = id_of(&operator.post("projects/team/members", member).await.expect(201));
        operator
            .put(&format!("projects/{project}/members/{member}"), json!({ "role_id": 2 }))
            .await
            .expect(200);
        operator.delete(&format!("projects/team/members/{member}")).await.expect(200);
        let access = json!([{ "resource": "repository", "action": "pull" }]);
        let permissions = json!([{ "kind": "project", "namespace": "team", "access": access }]);
        let robot = json!({ "name": "ci", "duration": 1, "level": "project", "permissions": permissions });
        let robot = id_of(&operator.post("robots", robot).await.expect(201));
        operator.patch(&format!("robots/{robot}"), json!({})).await.expect(200);
        operator.delete(&format!("robots/{robot}")).await.expect(200);
        operator.put(&format!("quotas/{project}"), json!({ "hard": { "count": 9 } })).await.expect(200);
        // What is refused is not done.
        operator.post("projects", json!({ "project_name": "team" })).await.refused(409, "CONFLICT");

        let entries = entries(&operator, &format!("projects/{project}/logs")).await;
        let expected = [
            " root update quota team",
            " root delete robot robot$team+ci",
            " root update robot robot$team+ci",
            " root create robot robot$team+ci",
            " root delete member bob",
            " root update member bob",
            " root create member bob",
            " root create project team",
        ];
        assert_eq!(entries, expected);
    }
    .boxed()
}

fn commands(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let done = async |arguments: &[&str]| {
            let done = stack.command(&[arguments, &["--json", "--database"]].concat()).await;
            assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
            serde_json::from_str::<Value>(&done.stdout).expect("JSON")
        };
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
        let root = done(&["user", "create", "root", "--admin"]).await;
        done(&["user", "create", "bob"]).await;
        done(&["user", "passwd", "bob"]).await;
        done(&["user", "admin", "bob"]).await;
        let token = done(&["user", "token", "create", "laptop", "--user", "bob"]).await;
        let token = token["id"].as_str().expect("an id");
        done(&["user", "token", "revoke", token, "--user", "bob"]).await;
        done(&["project", "create", "team"]).await;
        done(&["project", "update", "team", "--count-limit", "9"]).await;
        done(&["project", "member", "set", "team", "bob", "developer"]).await;
        done(&["project", "member", "remove", "team", "bob"]).await;
        done(&["robot", "create", "team", "ci"]).await;
        done(&["robot", "rotate", "robot$team+ci"]).await;
        done(&["robot", "revoke", "robot$team+ci"]).await;
        done(&["config", "set", "audit_retention", "88d"]).await;
        done(&["user", "delete", "bob"]).await;
        // What fails is not done, and what only reads is no entry.
        assert_eq!(stack.command(&["project", "create", "team", "--database"]).await.code, Some(1));
        done(&["project", "list"]).await;

        let server = stack.guarded_server(&[]).await;
        let secret = root["password"].as_str().expect("a password").to_owned();
        let operator = Api::of(&server).with(&Login { name: "root".to_owned(), secret });
        let of_project = [
            " (command line) delete robot robot$team+ci",
            " (command line) update robot robot$team+ci",
            " (command line) create robot robot$team+ci",
            " (command line) delete member bob",
            " (command line) create member bob",
            " (command line) update project team",
            " (command line) create project team",
        ];
        assert_eq!(entries(&operator, "projects/team/logs").await, of_project);
        let all = entries(&operator, "audit-logs").await;
        let (revoked, made) = (
            format!(" (command line) delete access_token {token}"),
            " (command line) create access_token laptop",
        );
        let of_all = [
            " (command line) delete user bob",
            " (command line) update configuration audit_retention=88d",
            &revoked,
            made,
            " (command line) update user bob",
            " (command line) update user bob",
            " (command line) create user bob",
            " (command line) create user root",
        ];
        let others: Vec<_> = all.iter().filter(|entry| !of_project.contains(&entry.as_str())).collect();
        assert_eq!(others, of_all);
    }
    .boxed()
}

/// Who did what to what, the newest first.
async fn entries(api: &Api, path: &str) -> Vec<String> {
    let log = api.get(&format!("{path}?page_size=100")).await.expect(200);
    let entries: Vec<_> = field(&log, "id").iter().map(|_| String::new()).collect();
    ["username", "operation", "resource_type", "resource"].map(|name| field(&log, name)).into_iter().fold(
        entries,
        |lines, column| {
            assert_eq!(column.len(), lines.len(), "{}", log.text());
            let lines = lines.into_iter().zip(column);
            lines.map(|(line, text)| format!("{line} {}", text.as_str().expect("text"))).collect()
        },
    )
}

fn settings(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let alice = accounts.user("alice").await;
        let server = stack.guarded_server(&[]).await;
        let operator = Api::of(&server).with(&accounts.administrator("root").await);
        let alice = operator.with(&alice);
        let set = json!({ "storage_per_project": 1000, "project_creation_restriction": "adminonly" });
        operator.put("configurations", set).await.expect(200);
        alice.post("projects", json!({ "project_name": "mine" })).await.refused(403, "FORBIDDEN");
        operator.put("configurations", json!({ "project_creation_restriction": null })).await.expect(200);
        alice.post("projects", json!({ "project_name": "mine" })).await.expect(201);
        assert_eq!(alice.get("projects/mine").await.json()["storage_limit"], 1000);
        alice.put("projects/mine", json!({ "storage_limit": 1001 })).await.refused(403, "FORBIDDEN");
        let more = json!({ "project_name": "more", "storage_limit": -1 });
        operator.post("projects", more).await.expect(201);
        assert_eq!(operator.get("projects/more").await.json()["storage_limit"], -1);
    }
    .boxed()
}
