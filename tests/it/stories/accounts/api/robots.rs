//! `/api/v2.0/robots`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::{Action, Actions, Role};
use serde_json::{Value, json};

use super::{Api, field, id_of};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_robot_is_made_used_given_another_secret_and_revoked", life),
        ("robots_are_those_of_who_manages_their_project", roles),
        ("what_a_robot_cannot_be_is_refused", refused),
    ]
}

fn robot(name: &str, namespace: &str, actions: &[&str]) -> Value {
    let access: Vec<_> =
        actions.iter().map(|action| json!({ "resource": "repository", "action": action })).collect();
    json!({
        "name": name, "description": "builds", "duration": 30, "level": "project",
        "permissions": [{ "kind": "project", "namespace": namespace, "access": access }],
    })
}

fn life(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let alice = accounts.user_as("alice", "team", Role::Admin).await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&alice);
        let created = api.post("robots", robot("ci", "team", &["pull", "push"])).await.expect(201);
        assert_eq!(created.header("location"), Some("/api/v2.0/robots/1"));
        assert_eq!(created.header("cache-control"), Some("no-store"));
        let made = created.json();
        let keys: Vec<_> = made.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["creation_time", "expires_at", "id", "name", "secret"]);
        assert_eq!(made["name"], "robot$team+ci");
        let until = made["expires_at"].as_i64().expect("a number");
        let made_at = chrono::DateTime::parse_from_rfc3339(made["creation_time"].as_str().expect("a time"));
        assert_eq!(until - made_at.expect("a time").timestamp(), 30 * 24 * 60 * 60);
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        assert!(api.lets_in("robot$team+ci", &secret).await);
        assert!(!api.lets_in("robot$team+ci", "wrong").await);

        let mut read = api.get("robots/1").await.expect(200).json();
        assert_eq!(read["expires_at"].take(), until);
        read["creation_time"].take();
        let access = json!([
            { "resource": "repository", "action": "pull" }, { "resource": "repository", "action": "push" },
        ]);
        let expected = json!({
            "id": 1, "name": "robot$team+ci", "description": "builds", "level": "project", "duration": 30,
            "disable": false, "editable": true, "expires_at": null, "creation_time": null,
            "permissions": [{ "kind": "project", "namespace": "team", "access": access }],
        });
        assert_eq!(read, expected);
        api.post("robots", robot("ci", "team", &["pull"])).await.refused(409, "CONFLICT");

        let rotated = api.patch("robots/1", json!({})).await.expect(200);
        assert_eq!(rotated.header("cache-control"), Some("no-store"));
        let fresh = rotated.json()["secret"].as_str().expect("a secret").to_owned();
        assert!(api.lets_in("robot$team+ci", &fresh).await && !api.lets_in("robot$team+ci", &secret).await);
        api.patch("robots/1", json!({ "secret": "of my own choice" })).await.refused(400, "BAD_REQUEST");
        assert!(api.lets_in("robot$team+ci", &fresh).await);

        api.put("robots/1", json!({ "disable": true })).await.expect(200);
        assert!(!api.lets_in("robot$team+ci", &fresh).await);
        api.put("robots/1", json!({ "disable": false, "description": "more" })).await.expect(200);
        assert!(api.lets_in("robot$team+ci", &fresh).await);
        assert_eq!(api.get("robots/1").await.json()["description"], "more");

        api.delete("robots/1").await.expect(200);
        assert!(!api.lets_in("robot$team+ci", &fresh).await);
        let forever = json!({ "name": "ever", "duration": -1, "level": "project",
            "permissions": robot("", "team", &["pull"])["permissions"] });
        let made = api.post("robots", forever).await.expect(201);
        assert_eq!(made.json()["expires_at"], -1);
        assert_eq!(api.get(&format!("robots/{}", id_of(&made))).await.json()["duration"], -1);
    }
    .boxed()
}

fn roles(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let pull = Actions::NONE.with(Action::Pull);
        for name in ["one", "two"] {
            accounts.project(name, true).await;
            for robot in ["a", "b"] {
                accounts.robot(name, robot, pull).await;
            }
        }
        let robot_login = accounts.robot("one", "c", Actions::ALL).await;
        let server = stack.guarded_server(&[]).await;
        let nobody = Api::of(&server);
        let one = nobody.with(&accounts.user_as("one", "one", Role::Admin).await);
        let maintainer = nobody.with(&accounts.user_as("maintainer", "one", Role::Maintainer).await);
        let admin = nobody.with(&accounts.administrator("root").await);
        let names = async |api: &Api, query: &str| {
            field(&api.get(&format!("robots{query}")).await.expect(200), "name")
        };
        assert_eq!(names(&one, "").await, ["robot$one+a", "robot$one+b", "robot$one+c"]);
        assert_eq!(names(&one, "?project=two").await, Vec::<Value>::new());
        assert_eq!(names(&maintainer, "").await, Vec::<Value>::new());
        assert_eq!(names(&admin, "?project=two").await, ["robot$two+a", "robot$two+b"]);
        let page = admin.get("robots?page=2&page_size=2").await;
        assert_eq!((field(&page, "name").len(), page.header("x-total-count")), (2, Some("5")));
        nobody.get("robots").await.refused(401, "UNAUTHORIZED");

        // Three is in project two: to those who do not manage that it is as if it were not there.
        for api in [&one, &maintainer, &nobody.with(&robot_login)] {
            assert_eq!(api.get("robots/3").await.text(), api.get("robots/99").await.text());
            for answer in [
                api.get("robots/3").await,
                api.put("robots/3", json!({ "disable": true })).await,
                api.patch("robots/3", json!({})).await,
                api.delete("robots/3").await,
                api.delete("robots/99").await,
                api.delete("robots/x").await,
                api.post("robots", robot("new", "two", &["pull"])).await,
                api.post("robots", robot("new", "none", &["pull"])).await,
            ] {
                answer.refused(403, "FORBIDDEN");
            }
        }
        for answer in
            [nobody.get("robots/3").await, nobody.post("robots", robot("new", "two", &["pull"])).await]
        {
            answer.refused(401, "UNAUTHORIZED");
        }
        // Whoever manages it may, and a robot never makes robots, whatever it may do with images.
        one.get("robots/1").await.expect(200);
        maintainer.get("robots/1").await.refused(403, "FORBIDDEN");
        nobody
            .with(&robot_login)
            .post("robots", robot("new", "one", &["pull"]))
            .await
            .refused(403, "FORBIDDEN");
        admin.delete("robots/3").await.expect(200);
        assert_answer!(admin.delete("robots/3").await.rendered(), @r#"
        404 Not Found
        content-type: application/json
        {
          "errors": [
            {
              "code": "NOT_FOUND",
              "message": "there is no such robot"
            }
          ]
        }
        "#);
        admin.post("robots", robot("new", "none", &["pull"])).await.refused(404, "NOT_FOUND");
    }
    .boxed()
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&accounts.administrator("root").await);
        let manager = api.with(&accounts.user_as("alice", "team", Role::Admin).await);
        manager
            .post("robots", json!({ "permissions": [{ "namespace": "team" }] }))
            .await
            .refused(400, "BAD_REQUEST");
        manager.post("robots", json!({ "permissions": [] })).await.refused(403, "FORBIDDEN");
        let with = |field: &str, value: Value| {
            let mut body = robot("ci", "team", &["pull"]);
            *body.pointer_mut(field).expect(field) = value;
            body
        };
        let mut chosen = robot("ci", "team", &["pull"]);
        chosen["secret"] = json!("of my own choice");
        let mut twice = robot("ci", "team", &["pull"]);
        twice["permissions"] = json!([twice["permissions"][0], twice["permissions"][0]]);
        let mut denied = robot("ci", "team", &["pull"]);
        denied["permissions"][0]["access"][0]["effect"] = json!("deny");
        for bad in [
            chosen,
            twice,
            denied,
            robot("ci", "team", &[]),
            robot("ci", "team", &["pull", "admin"]),
            robot("c/i", "team", &["pull"]),
            robot("", "team", &["pull"]),
            with("/level", json!("system")),
            with("/duration", json!(0)),
            with("/duration", json!(40_000)),
            with("/duration", json!(i64::MAX)),
            with("/permissions", json!([])),
            with("/permissions/0/kind", json!("system")),
            with("/permissions/0/namespace", json!("*")),
            with("/permissions/0/access/0/resource", json!("project")),
            with("/description", json!("\u{0}")),
        ] {
            api.post("robots", bad).await.refused(400, "BAD_REQUEST");
        }
        assert_eq!(field(&api.get("robots").await, "name"), Vec::<Value>::new());
    }
    .boxed()
}
