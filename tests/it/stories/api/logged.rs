//! What is done here as the audit log has it, and what settings say of projects.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;

use super::{Api, field, id_of};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

pub fn cases() -> Vec<Story> {
    vec![
        ("what_is_changed_by_the_api_is_in_the_log_by_its_name", logged),
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

        let log = operator.get(&format!("projects/{project}/logs?page_size=100")).await.expect(200);
        let entries: Vec<_> = ["username", "operation", "resource_type", "resource"]
            .map(|name| field(&log, name))
            .into_iter()
            .fold(vec![String::new(); 8], |lines, column| {
                assert_eq!(column.len(), lines.len(), "{}", log.text());
                let lines = lines.into_iter().zip(column);
                lines.map(|(line, text)| format!("{line} {}", text.as_str().expect("text"))).collect()
            });
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
