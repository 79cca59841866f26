//! `--auth none`: nobody has to sign in, and everybody keeps the accounts.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;

use super::Api;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![("where_nobody_has_to_sign_in_everybody_is_an_administrator", open)]
}

fn open(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let api = Api::of(&server);
        assert_answer!(api.get("users/current").await.rendered(), @r#"
        200 OK
        content-type: application/json
        {
          "creation_time": null,
          "has_password": false,
          "sysadmin_flag": true,
          "user_id": 0,
          "username": ""
        }
        "#);
        assert_eq!(Accounts::of(&stack).await.users().await, Vec::<String>::new(), "nobody is made");
        api.post("projects", json!({ "project_name": "team", "storage_limit": 5 })).await.expect(201);
        let team = api.get("projects/team").await.expect(200).json();
        assert_eq!((&team["owner_name"], &team["storage_limit"]), (&json!(""), &json!(5)));
        assert_eq!(team.get("current_user_role_id"), None);
        api.post("users", json!({ "username": "alice", "password": "long enough" })).await.expect(201);
        let member = json!({ "role_id": 1, "member_user": { "username": "alice" } });
        api.post("projects/team/members", member).await.expect(201);
        api.put("users/1/password", json!({ "new_password": "another one" })).await.expect(200);
        api.put("quotas/1", json!({ "hard": { "storage": -1 } })).await.expect(200);
        let permissions = json!([{ "kind": "project", "namespace": "team",
            "access": [{ "resource": "repository", "action": "pull" }] }]);
        let robot = json!({ "name": "ci", "duration": 1, "level": "project", "permissions": permissions });
        api.post("robots", robot).await.expect(201);
        api.get("robots/1").await.expect(200);
        api.get("users/current/tokens").await.refused(403, "FORBIDDEN");
        // Whatever is sent to sign in with means nothing here.
        let wrong = super::Login { name: "alice".into(), secret: "wrong".into() };
        api.with(&wrong).get("users").await.expect(200);
        api.delete("robots/1").await.expect(200);
        api.delete("projects/team").await.expect(200);
        api.delete("users/1").await.expect(200);
    }
    .boxed()
}
