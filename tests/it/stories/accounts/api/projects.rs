//! `/api/v2.0/projects`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::{Action, Actions, Role};
use serde_json::{Value, json};

use super::{Api, field, id_of};
use crate::support::api::digest_of;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_project_is_made_read_changed_and_deleted", life),
        ("a_project_that_is_there_is_a_conflict_and_one_with_a_repository_stays", conflicts),
        ("projects_are_listed_a_page_at_a_time_as_far_as_one_may_see_them", listed),
        ("whether_a_project_is_there_is_told_to_those_who_may_see_it", found),
        ("limits_are_set_within_what_an_administrator_granted", limits),
        ("a_project_is_meant_by_its_id_or_its_name", references),
        ("what_was_pushed_before_people_had_to_sign_in_is_not_given_away", not_given_away),
    ]
}

fn life(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let alice = accounts.user("alice").await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&alice);
        let created =
            api.post("projects", json!({ "project_name": "team", "metadata": { "public": "true" } })).await;
        assert_answer!(created.rendered(), @r#"
        201 Created
        location: /api/v2.0/projects/1
        "#);
        assert_answer!(api.get("projects/team").await.rendered(), @r#"
        200 OK
        content-type: application/json
        {
          "count_limit": -1,
          "creation_time": "<time>",
          "current_user_role_id": 1,
          "metadata": {
            "public": "true"
          },
          "name": "team",
          "owner_name": "alice",
          "project_id": 1,
          "repo_count": 0,
          "storage_limit": -1,
          "update_time": "<time>"
        }
        "#);
        api.put("projects/team", json!({ "public": false, "project_name": "team" })).await.expect(200);
        let read = api.get("projects/1").await.expect(200).json();
        assert_eq!(read["metadata"]["public"], "false");
        assert!(read["update_time"].as_str() > read["creation_time"].as_str(), "{read}");
        api.put("projects/team", json!({ "metadata": { "public": "true" } })).await.expect(200);
        assert_eq!(api.get("projects/team").await.json()["metadata"]["public"], "true");
        api.put("projects/team", json!({ "project_name": "other" })).await.refused(400, "BAD_REQUEST");

        api.delete("projects/team").await.expect(200);
        // To whoever manages no project of that name, none is there or it is somebody else's.
        assert_answer!(api.get("projects/team").await.rendered(), @r#"
        403 Forbidden
        content-type: application/json
        {
          "errors": [
            {
              "code": "FORBIDDEN",
              "message": "there is no such thing here, or you have no permission for it"
            }
          ]
        }
        "#);
        let admin = api.with(&accounts.administrator("root").await);
        assert_answer!(admin.get("projects/team").await.rendered(), @r#"
        404 Not Found
        content-type: application/json
        {
          "errors": [
            {
              "code": "NOT_FOUND",
              "message": "there is no such project"
            }
          ]
        }
        "#);
        for method in ["put", "delete"] {
            let answer = match method {
                "put" => admin.put("projects/team", json!({ "public": true })).await,
                _ => admin.delete("projects/team").await,
            };
            answer.refused(404, "NOT_FOUND");
        }
    }
    .boxed()
}

fn conflicts(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let (alice, bob) = (accounts.user("alice").await, accounts.user("bob").await);
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&alice);
        api.post("projects", json!({ "project_name": "team" })).await.expect(201);
        for other in [&api, &api.with(&bob)] {
            let again = other.post("projects", json!({ "project_name": "team", "public": true })).await;
            assert_answer!(again.rendered(), @r#"
            409 Conflict
            content-type: application/json
            {
              "errors": [
                {
                  "code": "CONFLICT",
                  "message": "the name team is taken"
                }
              ]
            }
            "#);
        }
        assert_eq!(api.get("projects/team").await.json()["metadata"]["public"], "false", "it is as it was");
        let many = futures_util::future::join_all(
            (0..8).map(|_| api.post("projects", json!({ "project_name": "race" }))),
        );
        let mut statuses: Vec<_> = many.await.into_iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [[201].as_slice(), &[409; 7]].concat());

        let (content, url) = (b"a blob", format!("{}/v2/team/app/blobs/uploads/", server.base_url()));
        let push = alice.sign(api.http.post(url)).query(&[("digest", digest_of(content).to_string())]);
        assert_eq!(push.body(content.to_vec()).send().await.expect("an answer").status(), 201);
        assert_eq!(api.get("projects/team").await.json()["repo_count"], 1);
        assert_answer!(api.delete("projects/team").await.rendered(), @r#"
        412 Precondition Failed
        content-type: application/json
        {
          "errors": [
            {
              "code": "PRECONDITION",
              "message": "the project has repositories; delete their manifests and blobs first"
            }
          ]
        }
        "#);
        let pushed = format!("{}/v2/team/app/blobs/{}", server.base_url(), digest_of(content));
        assert_eq!(alice.sign(api.http.delete(pushed)).send().await.expect("an answer").status(), 202);
        api.delete("projects/team").await.expect(200);

        for (body, says) in [
            (json!({}), "a project's name"),
            (json!({ "project_name": "a/b" }), "a project's name"),
            (json!({ "project_name": "Team" }), "a project's name"),
            (json!({ "project_name": "a", "public": "maybe" }), "public is true or false"),
            (json!({ "project_name": "a", "public": true, "metadata": { "public": "false" } }), "different"),
            (json!({ "project_name": "a", "registry_id": 3 }), "proxy caches"),
            (json!({ "project_name": 7 }), "JSON"),
            (json!(["a"]), "no object"),
        ] {
            let message = api.post("projects", body).await.refused(400, "BAD_REQUEST");
            assert!(message.contains(says), "{message}");
        }
    }
    .boxed()
}

fn listed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let alice = accounts.user("alice").await;
        for number in 0..12 {
            accounts.project(&format!("public-{number:02}"), true).await;
            accounts.project(&format!("private-{number:02}"), false).await;
        }
        accounts.member("private-03", "alice", Role::Maintainer).await;
        let robot = accounts.robot("private-04", "ci", Actions::NONE.with(Action::Pull)).await;
        let admin = accounts.administrator("root").await;
        let server = stack.guarded_server(&[]).await;
        let nobody = Api::of(&server);
        let total = async |api: &Api, query: &str| {
            let answer = api.get(&format!("projects{query}")).await.expect(200);
            answer.header("x-total-count").and_then(|total| total.parse::<usize>().ok()).expect("a number")
        };
        assert_eq!(total(&nobody, "").await, 12);
        assert_eq!(total(&nobody.with(&alice), "").await, 13);
        assert_eq!(total(&nobody.with(&robot), "").await, 13);
        assert_eq!(total(&nobody.with(&admin), "").await, 24);
        assert_eq!(total(&nobody.with(&alice), "?public=false").await, 1);
        assert_eq!(total(&nobody.with(&admin), "?public=true").await, 12);
        assert_eq!(total(&nobody.with(&admin), "?name=-0").await, 20);
        assert_eq!(total(&nobody, "?name=private").await, 0);
        let own = nobody.with(&alice).get("projects?name=private").await;
        assert_eq!(field(&own, "current_user_role_id"), [4]);
        assert_eq!(field(&nobody.with(&robot).get("projects?name=private").await, "name"), ["private-04"]);

        let first = nobody.get("projects").await;
        assert_eq!(field(&first, "name").len(), 10, "unless it is said otherwise");
        assert_eq!(first.header("link"), Some("</api/v2.0/projects?page=2&page_size=10>; rel=\"next\""));
        let middle = nobody.get("projects?name=blic&page=2&page_size=3").await;
        let names = ["public-03", "public-04", "public-05"].map(Value::from);
        assert_eq!(field(&middle, "name"), names);
        assert_eq!(
            middle.header("link"),
            Some(
                "</api/v2.0/projects?name=blic&page=1&page_size=3>; rel=\"prev\", \
                 </api/v2.0/projects?name=blic&page=3&page_size=3>; rel=\"next\""
            )
        );
        let last = nobody.get("projects?page=4&page_size=3").await;
        assert_eq!(last.header("link"), Some("</api/v2.0/projects?page=3&page_size=3>; rel=\"prev\""));
        let beyond = nobody.get("projects?page=9999999999999&page_size=5000").await.expect(200);
        assert_eq!((field(&beyond, "name").len(), beyond.header("x-total-count")), (0, Some("12")));
        for bad in ["page=0", "page_size=0", "page=-1", "page=x", "page=1&page=2", "public=x", "name=%00"] {
            nobody.get(&format!("projects?{bad}")).await.refused(400, "BAD_REQUEST");
        }
    }
    .boxed()
}

fn found(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let (alice, bob) = (accounts.user("alice").await, accounts.user("bob").await);
        accounts.project("open", true).await;
        accounts.project("closed", false).await;
        accounts.member("closed", "alice", Role::Guest).await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server);
        let status =
            async |api: &Api, name: &str| api.head(&format!("projects?project_name={name}")).await.status;
        for (login, name, expected) in [
            (Some(&alice), "open", 200),
            (Some(&alice), "closed", 200),
            (Some(&alice), "none", 404),
            (Some(&bob), "open", 200),
            (Some(&bob), "closed", 404),
            (Some(&bob), "No/Name", 404),
            (None, "open", 401),
        ] {
            let api = login.map_or_else(|| api.clone(), |login| api.with(login));
            assert_eq!(status(&api, name).await, expected, "{login:?} {name}");
        }
        assert_eq!(api.with(&alice).head("projects").await.status, 400);
    }
    .boxed()
}

fn limits(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        let alice = Api::of(&server).with(&accounts.user("alice").await);
        let admin = alice.with(&accounts.administrator("root").await);
        for limited in
            [json!({ "storage_limit": 5 }), json!({ "count_limit": 5 }), json!({ "storage_limit": -1 })]
        {
            let mut body = limited.clone();
            body["project_name"] = json!("mine");
            alice.post("projects", body).await.refused(403, "FORBIDDEN");
        }
        alice.post("projects", json!({ "project_name": "mine" })).await.expect(201);
        // Nobody has granted it less than all there is.
        alice.put("projects/mine", json!({ "storage_limit": 5 })).await.expect(200);
        alice.put("projects/mine", json!({ "storage_limit": -1 })).await.expect(200);
        let body = json!({ "project_name": "theirs", "storage_limit": 1_i64 << 40, "count_limit": 7 });
        admin.post("projects", body).await.expect(201);
        let read = admin.get("projects/theirs").await.json();
        assert_eq!((&read["storage_limit"], &read["count_limit"]), (&json!(1_i64 << 40), &json!(7)));
        admin.put("projects/mine", json!({ "storage_limit": 9 })).await.expect(200);
        let read = alice.get("projects/mine").await.json();
        assert_eq!((&read["storage_limit"], &read["count_limit"]), (&json!(9), &json!(-1)));
        for (limit, status) in [(4, 200), (9, 200), (10, 403), (-1, 403)] {
            let set = alice.put("projects/mine", json!({ "storage_limit": limit })).await;
            assert_eq!(set.status, status, "{limit}");
        }
        let read = alice.get("projects/mine").await.json();
        assert_eq!((&read["storage_limit"], &read["count_limit"]), (&json!(9), &json!(-1)));
        for bad in [json!(-2), json!(1.5), json!("9")] {
            admin.put("projects/mine", json!({ "storage_limit": bad })).await.refused(400, "BAD_REQUEST");
        }
    }
    .boxed()
}

fn references(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&accounts.administrator("root").await);
        let first = id_of(&api.post("projects", json!({ "project_name": "first" })).await.expect(201));
        // A name that reads as the other one's id.
        let digits = first.to_string();
        api.post("projects", json!({ "project_name": digits })).await.expect(201);
        assert_eq!(api.get(&format!("projects/{digits}")).await.json()["name"], "first");
        let by_name =
            api.http.get(format!("{}projects/{digits}", api.base)).header("x-is-resource-name", "true");
        let by_name = api.login.as_ref().expect("one").sign(by_name).send().await.expect("an answer");
        let by_name: Value = by_name.json().await.expect("JSON");
        assert_eq!(by_name["name"], json!(digits));
        for none in ["99999999999999999999", "-1", "No-Name", "a%2Fb", "%00", "..%2F.."] {
            api.get(&format!("projects/{none}")).await.refused(404, "NOT_FOUND");
        }
    }
    .boxed()
}

fn not_given_away(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let before = stack.server(&[]).await;
        crate::support::api::Repository::of(before.base_url(), "team/app").push(b"secret").await;
        drop(before);
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&accounts.user("alice").await);
        api.post("projects", json!({ "project_name": "team" })).await.refused(409, "CONFLICT");
        let admin = api.with(&accounts.administrator("root").await);
        admin.post("projects", json!({ "project_name": "team" })).await.expect(201);
        assert_eq!(admin.get("projects/team").await.json()["repo_count"], 1);
    }
    .boxed()
}
