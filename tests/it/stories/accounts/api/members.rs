//! `/api/v2.0/projects/{name_or_id}/members`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use serde_json::json;

use super::{Api, field, id_of};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("members_are_added_changed_and_removed", life),
        ("members_see_who_is_in_and_admins_decide_who_is", roles),
    ]
}

fn life(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let alice = accounts.user_as("alice", "team", Role::Admin).await;
        let bob = accounts.user("bob").await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&alice);
        let body = json!({ "role_id": 2, "member_user": { "username": "bob" } });
        let created = api.post("projects/team/members", body.clone()).await;
        assert_answer!(created.rendered(), @r#"
        201 Created
        location: /api/v2.0/projects/1/members/2
        "#);
        assert_answer!(api.get("projects/team/members").await.rendered(), @r#"
        200 OK
        content-type: application/json
        x-total-count: 2
        [
          {
            "entity_id": 1,
            "entity_name": "alice",
            "entity_type": "u",
            "id": 1,
            "project_id": 1,
            "role_id": 1,
            "role_name": "projectAdmin"
          },
          {
            "entity_id": 2,
            "entity_name": "bob",
            "entity_type": "u",
            "id": 2,
            "project_id": 1,
            "role_id": 2,
            "role_name": "developer"
          }
        ]
        "#);
        let message = api.post("projects/team/members", body).await.refused(409, "CONFLICT");
        assert_eq!(message, "bob is a member of team already");
        assert_eq!(api.with(&bob).get("projects/team").await.json()["current_user_role_id"], 2);

        api.put("projects/team/members/2", json!({ "role_id": 3 })).await.expect(200);
        assert_eq!(api.get("projects/team/members/2").await.json()["role_name"], "guest");
        api.delete("projects/team/members/2").await.expect(200);
        for answer in [
            api.get("projects/team/members/2").await,
            api.put("projects/team/members/2", json!({ "role_id": 3 })).await,
            api.delete("projects/team/members/2").await,
            api.delete("projects/team/members/x").await,
            api.post("projects/team/members", json!({ "role_id": 2, "member_user": { "username": "none" } }))
                .await,
            api.post("projects/team/members", json!({ "role_id": 2, "member_user": { "user_id": 77 } }))
                .await,
        ] {
            answer.refused(404, "NOT_FOUND");
        }
        api.with(&bob).get("projects/team").await.refused(403, "FORBIDDEN");
        for bad in [
            json!({ "role_id": 5, "member_user": { "username": "bob" } }),
            json!({ "role_id": 2 }),
            json!({ "role_id": 2, "member_user": { "username": "a\u{0}" } }),
            json!({ "role_id": 2, "member_group": { "group_name": "all" } }),
            json!({ "member_user": { "username": "bob" } }),
        ] {
            api.post("projects/team/members", bad).await.refused(400, "BAD_REQUEST");
        }
        let by_id = json!({ "role_id": 4, "member_user": { "user_id": 2 } });
        let again = api.post("projects/team/members", by_id).await.expect(201);
        // Another project's admin has no say here, whatever number they know.
        let other = api.with(&accounts.user("carol").await);
        other.post("projects", json!({ "project_name": "other" })).await.expect(201);
        other.delete(&format!("projects/other/members/{}", id_of(&again))).await.refused(404, "NOT_FOUND");
        other.delete(&format!("projects/team/members/{}", id_of(&again))).await.refused(403, "FORBIDDEN");
        assert_eq!(field(&api.get("projects/team/members").await, "role_id"), [1, 4]);
    }
    .boxed()
}

fn roles(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        for name in ["open", "closed"] {
            accounts.project(name, name == "open").await;
        }
        accounts.user("extra").await;
        let server = stack.guarded_server(&[]).await;
        let nobody = Api::of(&server);
        nobody.get("projects/open").await.expect(200);
        let hidden = nobody.get("projects/closed").await;
        assert_eq!(hidden.header("www-authenticate"), Some("Basic realm=\"overside\""));
        assert_eq!(hidden.text(), nobody.get("projects/none").await.text(), "nothing tells them apart");
        hidden.refused(401, "UNAUTHORIZED");
        nobody.get("projects/open/members").await.refused(401, "UNAUTHORIZED");
        let stranger = nobody.with(&accounts.user("stranger").await);
        assert_eq!(stranger.get("projects/open").await.status, 200);
        assert_eq!(stranger.get("projects/open/members").await.status, 403);
        assert_eq!(stranger.get("projects/closed").await.text(), stranger.get("projects/none").await.text());

        for role in Role::ALL {
            let login = accounts.user(role.as_str()).await;
            for name in ["open", "closed"] {
                accounts.member(name, role.as_str(), role).await;
                let (api, manages) = (nobody.with(&login), role == Role::Admin);
                let path = |rest: &str| format!("projects/{name}{rest}");
                assert_eq!(api.get(&path("")).await.status, 200, "{role} {name}");
                assert_eq!(api.get(&path("/members")).await.status, 200, "{role} {name}");
                let add = json!({ "role_id": 1, "member_user": { "username": "extra" } });
                let added = api.post(&path("/members"), add).await;
                assert_eq!(added.status, if manages { 201 } else { 403 }, "{role} {name}");
                let id = if manages { id_of(&added) } else { 1 };
                let changed = api.put(&path(&format!("/members/{id}")), json!({ "role_id": 3 })).await;
                let removed = api.delete(&path(&format!("/members/{id}"))).await;
                let updated = api.put(&path(""), json!({ "public": name == "open" })).await;
                for answer in [changed, removed, updated] {
                    assert_eq!(answer.status, if manages { 200 } else { 403 }, "{role} {name}");
                }
                if !manages {
                    api.delete(&path("")).await.refused(403, "FORBIDDEN");
                }
            }
        }
    }
    .boxed()
}
