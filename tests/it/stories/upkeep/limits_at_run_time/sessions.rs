//! Sessions that one user has open.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::json;

use super::{NAME, refusal, set, unset};
use crate::support::Stack;
use crate::support::api::{Answer, digest_of};
use crate::support::people;
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![("a_user_has_as_many_uploads_open_as_the_limit_says_and_no_more", open)]
}

fn open(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let alice = people::user(&stack, "alice", false).await;
        let bob = people::user(&stack, "bob", false).await;
        let root = people::user(&stack, "root", true).await;
        people::project(&stack, "team", &[(&alice, "developer"), (&bob, "developer")]).await;
        set(&root.http, &server, json!({ "open_sessions_per_user": 3 })).await;
        let repository = alice.repository(server.base_url(), NAME);
        let begin = |query: &str| {
            let begun = repository.http.post(repository.url(format!("uploads/{query}")));
            Answer::to(begun.header("content-length", 0))
        };
        let answers =
            join_all((0..20).map(|turn| begin(if turn % 2 == 0 { "" } else { "?presigned=true&size=10" })))
                .await;
        let (open, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
        assert_eq!((open.len(), refused.len()), (3, 17));
        refused.iter().for_each(refusal);
        // A blob in one request is a session of its own.
        let whole = repository.http.post(repository.url("uploads/"));
        let whole = whole.query(&[("digest", digest_of(b"whole").to_string())]).body("whole");
        refusal(&Answer::to(whole.try_clone().expect("a small body")).await);
        bob.repository(server.base_url(), NAME).begin().await;

        let location = open[0].header("location").expect("one");
        Answer::to(repository.http.delete(location)).await.expect(204);
        Answer::to(whole.try_clone().expect("a small body")).await.expect(201);
        begin("").await.expect(202);
        refusal(&begin("").await);
        unset(&root.http, &server, "open_sessions_per_user").await;
        begin("").await.expect(202);
    }
    .boxed()
}
