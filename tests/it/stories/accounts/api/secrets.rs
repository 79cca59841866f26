//! Secrets are shown once, to whoever made them.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::json;

use super::Api;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

pub fn cases() -> Vec<Story> {
    vec![("no_secret_is_in_the_database_or_a_log", nowhere)]
}

fn nowhere(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let root = accounts.administrator("root").await;
        let server = stack.guarded_server(&["--log", "trace"]).await;
        let api = Api::of(&server).with(&root);
        let text = |json: &serde_json::Value| json.as_str().expect("a secret").to_owned();
        let mut secrets = vec!["alice's first one".to_owned(), "alice's second one".to_owned()];
        api.post("users", json!({ "username": "alice", "password": secrets[0] })).await.expect(201);
        let alice = super::Login { name: "alice".into(), secret: secrets[0].clone() };
        let change = json!({ "old_password": secrets[0], "new_password": secrets[1] });
        api.with(&alice).put("users/2/password", change).await.expect(200);
        assert!(api.lets_in("alice", &secrets[1]).await);
        let guessed = "what somebody guessed".to_owned();
        assert!(!api.lets_in("alice", &guessed).await);
        secrets.push(guessed);

        let token = api.post("users/current/tokens", json!({ "name": "ci" })).await.expect(201).json();
        let token = text(&token["secret"]);
        assert!(api.lets_in("root", &token).await);
        // `ovs_<id>_<secret>`: the id is no secret.
        secrets.push(token.splitn(3, '_').nth(2).expect("a secret").to_owned());
        api.post("projects", json!({ "project_name": "team" })).await.expect(201);
        let permissions = json!([{ "kind": "project", "namespace": "team",
            "access": [{ "resource": "repository", "action": "pull" }] }]);
        let body = json!({ "name": "ci", "duration": 1, "level": "project", "permissions": permissions });
        secrets.push(text(&api.post("robots", body).await.expect(201).json()["secret"]));
        secrets.push(text(&api.patch("robots/1", json!({})).await.expect(200).json()["secret"]));
        assert!(api.lets_in("robot$team+ci", secrets.last().expect("one")).await);

        for path in ["users/2", "users", "users/current/tokens", "robots", "robots/1", "projects/team"] {
            let answer = api.get(path).await.expect(200).text();
            assert!(secrets.iter().all(|secret| !answer.contains(secret.as_str())), "{path}: {answer}");
        }
        let logs = stack.whole_logs();
        assert!(logs.contains("/api/v2.0/robots"), "the log is looked at");
        let rows = stack.database.dump().await;
        assert!(rows.contains("alice") && rows.contains("$argon2id$"), "the database is looked at");
        for secret in &secrets {
            assert!(!logs.contains(secret.as_str()), "{secret} is in a log");
            assert!(!rows.contains(secret.as_str()), "{secret} is in the database");
            assert!(!rows.contains(&hex::encode(secret)), "{secret} is in the database, as bytes");
        }
    }
    .boxed()
}
