//! `/api/v2.0/users`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::{Action, Actions, Role};
use serde_json::json;

use super::{Api, field, id_of};
use crate::support::accounts::PASSWORD;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("an_administrator_makes_and_deletes_users", life),
        ("people_change_their_own_password_if_they_know_it", password),
        ("guessing_an_old_password_is_slowed_down", guessing),
        ("an_administrator_stays", stays),
    ]
}

fn life(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let root = accounts.administrator("root").await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&root);
        let created = api
            .post(
                "users",
                json!({ "username": "alice", "password": "long enough", "email": "a@example.com" }),
            )
            .await;
        assert_answer!(created.rendered(), @r#"
        201 Created
        location: /api/v2.0/users/2
        "#);
        assert!(api.lets_in("alice", "long enough").await && !api.lets_in("alice", "something else").await);
        let alice = super::Login { name: "alice".into(), secret: "long enough".into() };
        for (api, path) in
            [(&api, "users/2"), (&api.with(&alice), "users/2"), (&api.with(&alice), "users/current")]
        {
            assert_answer!(api.get(path).await.rendered(), @r#"
            200 OK
            content-type: application/json
            {
              "creation_time": "<time>",
              "has_password": true,
              "sysadmin_flag": false,
              "user_id": 2,
              "username": "alice"
            }
            "#);
        }
        let taken = api.post("users", json!({ "username": "alice", "password": "long enough" })).await;
        taken.refused(409, "CONFLICT");
        let identity =
            json!({ "username": "ci", "oidc_issuer": "https://issuer.example", "oidc_subject": "repo:1" });
        let made = api.post("users", identity).await.expect(201);
        let read = api.get(&format!("users/{}", id_of(&made))).await.json();
        assert_eq!(
            (&read["oidc_issuer"], &read["oidc_subject"]),
            (&json!("https://issuer.example"), &json!("repo:1"))
        );
        let list = api.get("users?page_size=2").await.expect(200);
        assert_eq!(field(&list, "username"), ["alice", "ci"]);
        assert_eq!(list.header("x-total-count"), Some("3"));
        for bad in [
            json!({ "username": "bob", "password": "short" }),
            json!({ "username": "bob", "password": "x".repeat(1025) }),
            json!({ "username": "robot$x", "password": "long enough" }),
            json!({ "username": "bob" }),
            json!({ "username": "bob", "oidc_issuer": "https://issuer.example" }),
            json!({ "username": "bob", "oidc_issuer": "issuer", "oidc_subject": "1" }),
            json!({ "password": "long enough" }),
        ] {
            api.post("users", bad).await.refused(400, "BAD_REQUEST");
        }

        accounts.project("team", true).await;
        accounts.member("team", "alice", Role::Admin).await;
        let program = accounts.robot("team", "ci", Actions::NONE.with(Action::Pull)).await;
        for somebody in [&api.with(&alice), &api.with(&program)] {
            for answer in [
                somebody.get("users").await,
                somebody.get("users/1").await,
                somebody.get("users/77").await,
                somebody.post("users", json!({ "username": "x", "password": "long enough" })).await,
                somebody.delete("users/2").await,
                somebody.put("users/1/password", json!({ "new_password": "long enough" })).await,
                somebody.put("users/2/sysadmin", json!({ "sysadmin_flag": true })).await,
            ] {
                answer.refused(403, "FORBIDDEN");
            }
        }
        api.with(&program).get("users/current").await.refused(403, "FORBIDDEN");
        let nobody = Api { login: None, ..api.clone() };
        nobody.get("users/current").await.refused(401, "UNAUTHORIZED");
        nobody.get("users").await.refused(401, "UNAUTHORIZED");

        api.delete("users/2").await.expect(200);
        assert!(!api.lets_in("alice", "long enough").await);
        api.get("users/2").await.refused(404, "NOT_FOUND");
        api.delete("users/2").await.refused(404, "NOT_FOUND");
        assert_eq!(field(&api.get("projects/team/members").await, "id").len(), 0);
    }
    .boxed()
}

fn password(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let (alice, root) = (accounts.user("alice").await, accounts.administrator("root").await);
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&alice);
        assert!(api.lets_in("alice", PASSWORD).await);
        for wrong in [
            json!({ "new_password": "another one" }),
            json!({ "new_password": "another one", "old_password": "wrong" }),
        ] {
            let message = api.put("users/1/password", wrong).await.refused(403, "FORBIDDEN");
            assert_eq!(message, "old_password is not your password");
        }
        let short = json!({ "new_password": "short", "old_password": PASSWORD });
        api.put("users/1/password", short).await.refused(400, "BAD_REQUEST");
        assert!(api.lets_in("alice", PASSWORD).await);
        let right = json!({ "new_password": "another one", "old_password": PASSWORD });
        api.put("users/1/password", right).await.expect(200);
        assert!(!api.lets_in("alice", PASSWORD).await, "at once");
        assert!(api.lets_in("alice", "another one").await);
        // For whoever has forgotten it there is an administrator.
        let admin = api.with(&root);
        admin.put("users/1/password", json!({ "new_password": "a third one" })).await.expect(200);
        assert!(api.lets_in("alice", "a third one").await && !api.lets_in("alice", "another one").await);
        admin
            .put("users/2/password", json!({ "new_password": "root's new one" }))
            .await
            .refused(403, "FORBIDDEN");
        admin
            .put("users/77/password", json!({ "new_password": "nobody's one" }))
            .await
            .refused(404, "NOT_FOUND");
    }
    .boxed()
}

fn guessing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let alice = accounts.user("alice").await;
        // A token that somebody has found is not enough to find out the password.
        let token = super::Login { name: alice.name.clone(), secret: accounts.token("alice").await };
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&token);
        let mut statuses = Vec::new();
        for guess in 0..12 {
            let body = json!({ "new_password": "long enough", "old_password": format!("guess {guess}") });
            statuses.push(api.put("users/1/password", body).await.status);
        }
        assert_eq!(statuses[0], 403);
        assert!(statuses.contains(&429), "{statuses:?}");
        assert!(!statuses.contains(&200));
    }
    .boxed()
}

fn stays(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let (alice, root) = (accounts.user("alice").await, accounts.administrator("root").await);
        let server = stack.guarded_server(&[]).await;
        let (api, root_api) = (Api::of(&server).with(&alice), Api::of(&server).with(&root));
        root_api.delete("users/2").await.refused(403, "FORBIDDEN");
        root_api.put("users/2/sysadmin", json!({ "sysadmin_flag": false })).await.refused(403, "FORBIDDEN");
        api.get("users").await.refused(403, "FORBIDDEN");
        root_api.put("users/1/sysadmin", json!({ "sysadmin_flag": true })).await.expect(200);
        api.get("users").await.expect(200);
        api.put("users/2/sysadmin", json!({ "sysadmin_flag": false })).await.expect(200);
        root_api.get("users").await.refused(403, "FORBIDDEN");
        api.put("users/77/sysadmin", json!({ "sysadmin_flag": true })).await.refused(404, "NOT_FOUND");
    }
    .boxed()
}
