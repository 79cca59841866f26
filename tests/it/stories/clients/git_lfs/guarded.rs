//! Where people sign in.

use std::sync::Arc;

use overside::domain::access::Role;

use super::{Person, WORK, lfs_url};
use crate::stories::clients::{Client, assert_stored};
use crate::support::accounts::Accounts;
use crate::support::api::content;
use crate::support::{Login, Stack};

pub async fn signs_in(stack: Arc<Stack>, client: Client) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let developer = accounts.user_as("developer", "team", Role::Developer).await;
    let guest = accounts.user_as("guest", "team", Role::Guest).await;
    let stranger = accounts.user("stranger").await;
    let url = lfs_url(server.base_url());
    let bytes = content(300_000);

    let nobody = Person::new(&stack, client, "nobody").await;
    nobody.begin(&url).await;
    nobody.write("weights.bin", &bytes);
    nobody.commit().await;
    // Neither who did not sign in, nor with another secret, nor who may not.
    let push = ["push", "origin", "main"];
    nobody.git_refused(WORK, &push).await;
    let guesser = Login { secret: "wrong".to_owned(), ..developer.clone() };
    for login in [&guesser, &stranger, &guest] {
        let refused = nobody.with(login, &server).await.git_refused(WORK, &push).await;
        assert!(!refused.contains("panic"), "{refused}");
    }
    assert_eq!(stack.objects().await, vec![], "nobody who may not has left anything");
    nobody.with(&developer, &server).await.push().await;
    assert_stored(&stack, 1).await;

    for (name, login, may) in [("reader", &guest, true), ("other", &stranger, false)] {
        let person = Person::new(&stack, client, name).await;
        person.with(login, &server).await;
        if may {
            person.clone().await;
            assert!(person.read("weights.bin") == bytes);
        } else {
            let origin = person.origin.display().to_string();
            person.git_refused(".", &["clone", &origin, WORK]).await;
            assert!(!std::fs::read(person.path("weights.bin")).is_ok_and(|found| found == bytes));
        }
    }
    // What was pushed is in the log under its pusher's name, and no URL of it has a secret in the service's own log.
    let log = stack.whole_logs();
    assert!(log.contains("user=\"developer\"") || log.contains("user=developer"), "who pushed is named");
    for secret in ["signature=", &developer.secret] {
        assert!(!log.contains(secret), "{secret}");
    }
}
