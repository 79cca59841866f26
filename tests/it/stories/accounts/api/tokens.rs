//! `/api/v2.0/users/{user}/tokens`

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::{Action, Actions};
use serde_json::json;

use super::{Api, field};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_personal_token_signs_in_until_it_is_revoked_or_has_expired", life),
        ("tokens_are_their_users_alone", own),
    ]
}

fn life(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let alice = accounts.user("alice").await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server).with(&alice);
        let created =
            api.post("users/current/tokens", json!({ "name": "ci", "duration": 7 })).await.expect(201);
        assert_eq!(created.header("cache-control"), Some("no-store"));
        let made = created.json();
        let (id, secret) = (made["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
        assert_eq!(created.header("location"), Some(format!("/api/v2.0/users/1/tokens/{id}").as_str()));
        assert!(secret.starts_with("ovs_"), "what scanners for leaked secrets look for");
        assert!(api.lets_in("alice", secret).await);
        assert!(
            !api.lets_in("bob", secret).await && !api.lets_in("alice", &secret[..secret.len() - 1]).await
        );
        let bearer = api.http.get(format!("{}users/current", api.base)).bearer_auth(secret);
        assert_eq!(bearer.send().await.expect("an answer").status(), 200);

        let list = api.get("users/current/tokens").await.expect(200);
        assert_eq!((field(&list, "name"), list.header("x-total-count")), (vec![json!("ci")], Some("1")));
        assert!(!list.text().contains("secret") && !list.text().contains(secret));
        api.post("users/current/tokens", json!({ "name": "ci" })).await.refused(409, "CONFLICT");
        for bad in [
            json!({ "name": "" }),
            json!({ "name": "a\nb" }),
            json!({ "name": "x", "duration": 0 }),
            json!({}),
        ] {
            api.post("users/current/tokens", bad).await.refused(400, "BAD_REQUEST");
        }
        stack
            .database
            .write(
                "UPDATE access_token SET expires_at = $1 WHERE created_at < $2",
                [-TimeDelta::seconds(1), TimeDelta::days(1)],
            )
            .await;
        assert!(!api.lets_in("alice", secret).await, "it has expired");
        stack
            .database
            .write(
                "UPDATE access_token SET expires_at = $1 WHERE created_at < $2",
                [TimeDelta::days(1), TimeDelta::days(1)],
            )
            .await;
        assert!(api.lets_in("alice", secret).await);
        api.delete(&format!("users/current/tokens/{id}")).await.expect(200);
        assert!(!api.lets_in("alice", secret).await, "it was revoked");
        api.delete(&format!("users/current/tokens/{id}")).await.refused(404, "NOT_FOUND");
        api.delete("users/current/tokens/x").await.refused(404, "NOT_FOUND");
    }
    .boxed()
}

fn own(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let (alice, bob) = (accounts.user("alice").await, accounts.administrator("bob").await);
        accounts.project("team", true).await;
        let robot = accounts.robot("team", "ci", Actions::NONE.with(Action::Pull)).await;
        let server = stack.guarded_server(&[]).await;
        let api = Api::of(&server);
        let made =
            api.with(&alice).post("users/current/tokens", json!({ "name": "ci" })).await.expect(201).json();
        assert_eq!(made["expires_at"], -1);
        let path = format!("users/current/tokens/{}", made["id"].as_str().expect("an id"));
        assert_eq!(field(&api.with(&bob).get("users/current/tokens").await, "id").len(), 0);
        api.with(&bob).delete(&path).await.refused(404, "NOT_FOUND");
        for answer in [
            api.with(&robot).get("users/current/tokens").await,
            api.with(&robot).post("users/current/tokens", json!({ "name": "ci" })).await,
            api.with(&robot).delete(&path).await,
        ] {
            answer.refused(403, "FORBIDDEN");
        }
        api.get("users/current/tokens").await.refused(401, "UNAUTHORIZED");
        // Whoever runs the service sees to leaked ones, and nobody else to anybody's.
        let (of_alice, of_bob) = ("users/1/tokens", "users/2/tokens");
        assert_eq!(field(&api.with(&bob).get(of_alice).await.expect(200), "name"), [json!("ci")]);
        for answer in [
            api.with(&alice).get(of_bob).await,
            api.with(&alice).post(of_bob, json!({ "name": "mine" })).await,
            api.with(&alice).get("users/77/tokens").await,
            api.with(&robot).get(of_alice).await,
        ] {
            answer.refused(403, "FORBIDDEN");
        }
        api.with(&bob).post("users/77/tokens", json!({ "name": "whose" })).await.refused(404, "NOT_FOUND");
        let leaked = api.with(&alice).post(of_alice, json!({ "name": "leaked" })).await.expect(201).json();
        let leaked_path = format!("{of_alice}/{}", leaked["id"].as_str().expect("an id"));
        api.with(&bob).delete(&leaked_path).await.expect(200);
        assert!(!api.lets_in("alice", leaked["secret"].as_str().expect("a secret")).await);
        assert!(api.lets_in("alice", made["secret"].as_str().expect("a secret")).await);
    }
    .boxed()
}
