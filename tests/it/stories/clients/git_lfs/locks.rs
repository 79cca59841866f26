//! Locks on files.

use std::sync::Arc;

use overside::domain::access::Role;

use super::{NEWEST, Person, WORK, lfs_url};
use crate::support::Stack;
use crate::support::accounts::Accounts;
use crate::support::api::content;

pub async fn locked(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    let mut logins = Vec::new();
    for (name, role) in [("alice", Role::Developer), ("bob", Role::Developer), ("carol", Role::Maintainer)] {
        logins.push(accounts.user_as(name, "team", role).await);
    }
    let url = lfs_url(server.base_url());
    let alice = Person::new(&stack, NEWEST, "alice").await;
    alice.with(&logins[0], &server).await.begin(&url).await;
    alice.write("scene.bin", &content(2_000));
    alice.commit().await;
    alice.push().await;
    let bob = Person::new(&stack, NEWEST, "bob").await;
    bob.with(&logins[1], &server).await.clone().await;
    let carol = Person::new(&stack, NEWEST, "carol").await;
    carol.with(&logins[2], &server).await.clone().await;

    alice.git(WORK, &["lfs", "lock", "scene.bin"]).await;
    let shown = bob.git(WORK, &["lfs", "locks"]).await;
    assert!(shown.contains("scene.bin") && shown.contains("alice"), "{shown}");
    let refused = bob.git_refused(WORK, &["lfs", "lock", "scene.bin"]).await;
    assert!(refused.contains("locked already"), "{refused}");
    // Her own lock is in nobody's way but others'.
    bob.write("scene.bin", &content(3_000));
    bob.commit().await;
    bob.git(WORK, &["config", "--local", &format!("lfs.{url}.locksverify"), "true"]).await;
    let refused = bob.git_refused(WORK, &["push", "origin", "main"]).await;
    assert!(refused.contains("locked files"), "{refused}");
    bob.git_refused(WORK, &["lfs", "unlock", "scene.bin"]).await;
    bob.git_refused(WORK, &["lfs", "unlock", "--force", "scene.bin"]).await;
    carol.git(WORK, &["lfs", "unlock", "--force", "scene.bin"]).await;
    assert_eq!(carol.git(WORK, &["lfs", "locks"]).await, "");
    bob.push().await;
    bob.git(WORK, &["lfs", "lock", "scene.bin"]).await;
    bob.git(WORK, &["lfs", "unlock", "scene.bin"]).await;
}
