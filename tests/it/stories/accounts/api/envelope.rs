//! Whatever goes wrong below `/api/` is told in Harbor's words.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::Method;
use serde_json::json;

use super::Api;
use crate::support::api::Answer;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![
        ("errors_have_harbors_envelope_and_codes", envelope),
        ("a_page_that_somebody_visits_cannot_write_with_their_password", forms),
    ]
}

fn envelope(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        let nobody = Api::of(&server);
        let admin = nobody.with(&accounts.administrator("root").await);
        let refused = nobody.post("projects", json!({ "project_name": "team" })).await;
        assert_answer!(refused.rendered(), @r#"
        401 Unauthorized
        content-type: application/json
        www-authenticate: Basic realm="overside"
        {
          "errors": [
            {
              "code": "UNAUTHORIZED",
              "message": "sign in first"
            }
          ]
        }
        "#);
        for path in ["", "none", "projects/a/b/c", "users/1/none"] {
            for api in [&nobody, &admin] {
                api.get(path).await.refused(404, "NOT_FOUND");
            }
        }
        let other = Answer::to(admin.http.get(format!("{}/api/v1.0/projects", server.base_url()))).await;
        other.refused(404, "NOT_FOUND");
        let wrong = admin.call(Method::DELETE, "projects", None).await;
        let allowed: Vec<_> = wrong.header("allow").expect("Allow").split(',').map(str::to_owned).collect();
        assert!(
            ["GET", "HEAD", "POST"].iter().all(|method| allowed.iter().any(|one| one == method)),
            "{allowed:?}"
        );
        wrong.refused(405, "METHOD_NOT_ALLOWED");
        let wrong = super::Login { name: "root".into(), secret: "not the password".into() };
        nobody.with(&wrong).get("projects").await.refused(401, "UNAUTHORIZED");
        let long = json!({ "project_name": "x".repeat(70_000) });
        admin.post("projects", long).await.refused(413, "BAD_REQUEST");
    }
    .boxed()
}

fn forms(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let root = accounts.administrator("root").await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&root);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let post = root.sign(api.http.post(format!("{}projects", api.base)));
            let post = post.header("content-type", kind).body(r#"{"project_name":"team"}"#);
            Answer::to(post).await.refused(415, "BAD_REQUEST");
        }
        api.get("projects/team").await.refused(404, "NOT_FOUND");
        let post = root.sign(api.http.post(format!("{}projects", api.base)));
        let post = post.header("content-type", "Application/JSON; charset=utf-8");
        Answer::to(post.body(r#"{"project_name":"team"}"#)).await.expect(201);
    }
    .boxed()
}
