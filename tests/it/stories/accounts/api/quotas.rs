//! `/api/v2.0/quotas`

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use serde_json::{Value, json};

use super::{Api, field};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, assert_answer};

pub fn cases() -> Vec<Story> {
    vec![("a_quota_is_seen_by_members_and_set_by_admins_within_what_was_granted", quotas)]
}

fn quotas(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        accounts.project("one", true).await;
        accounts.project("two", false).await;
        let guest = accounts.user_as("guest", "one", Role::Guest).await;
        let server = stack.guarded_server(&[]).await;
        let admin = Api::of(&server).with(&accounts.administrator("root").await);
        let guest = admin.with(&guest);
        let body = json!({ "hard": { "storage": 1024, "count": -1 } });
        guest.put("quotas/1", body.clone()).await.refused(403, "FORBIDDEN");
        admin.put("quotas/1", body).await.expect(200);
        assert_answer!(guest.get("quotas/1").await.rendered(), @r#"
        200 OK
        content-type: application/json
        {
          "creation_time": "<time>",
          "hard": {
            "count": -1,
            "storage": 1024
          },
          "id": 1,
          "ref": {
            "id": 1,
            "name": "one",
            "owner_name": ""
          },
          "reserved": {
            "storage": 0
          },
          "update_time": "<time>",
          "used": {
            "count": 0,
            "storage": 0
          }
        }
        "#);
        admin.put("quotas/1", json!({ "hard": { "count": 3 } })).await.expect(200);
        assert_eq!(guest.get("quotas/1").await.json()["hard"], json!({ "count": 3, "storage": 1024 }));
        guest.get("quotas/2").await.refused(403, "FORBIDDEN");
        assert_eq!(guest.get("quotas/2").await.text(), guest.get("quotas/77").await.text());
        admin.get("quotas/77").await.refused(404, "NOT_FOUND");
        admin.get("quotas/one").await.refused(404, "NOT_FOUND");
        admin.put("quotas/77", json!({ "hard": { "count": 3 } })).await.refused(404, "NOT_FOUND");
        admin.put("quotas/1", json!({ "hard": { "count": -3 } })).await.refused(400, "BAD_REQUEST");
        admin.put("quotas/1", json!({})).await.refused(400, "BAD_REQUEST");
        assert_eq!(field(&guest.get("quotas").await, "id"), [1]);
        assert_eq!(field(&admin.get("quotas").await, "id"), [1, 2].map(Value::from));
        // What is granted, the project's own admins set within that.
        let head = admin.with(&accounts.user_as("head", "one", Role::Admin).await);
        for (hard, status) in [
            (json!({ "storage": 1000, "count": 2 }), 200),
            (json!({ "storage": 1024 }), 200),
            (json!({ "storage": 1025 }), 403),
            (json!({ "count": 4 }), 403),
            (json!({ "storage": -1 }), 403),
        ] {
            assert_eq!(head.put("quotas/1", json!({ "hard": hard })).await.status, status, "{hard}");
        }
        assert_eq!(head.get("quotas/1").await.json()["hard"], json!({ "count": 2, "storage": 1024 }));
        head.put("quotas/2", json!({ "hard": { "count": 1 } })).await.refused(403, "FORBIDDEN");
        let stranger = admin.with(&accounts.user("stranger").await);
        assert_eq!(field(&stranger.get("quotas").await, "id"), Vec::<Value>::new());
        stranger.get("quotas/1").await.refused(403, "FORBIDDEN");
    }
    .boxed()
}
