//! Where people sign in.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use overside::domain::access::Role;

use super::{Person, WORK, lfs_url};
use crate::stories::clients::{Client, assert_stored};
use crate::support::accounts::Accounts;
use crate::support::api::content;
use crate::support::process::Server;
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

/// At a Git host with ssh, which knows who signs in: no password is asked for, and no URL configured.
pub async fn by_ssh(stack: Arc<Stack>) {
    let server = stack.guarded_server(&[]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    accounts.user_as("developer", "team", Role::Developer).await;
    accounts.user_as("guest", "team", Role::Guest).await;
    let bytes = content(300_000);

    let writer = at_a_host(&stack, &server, "developer").await;
    writer.git(".", &["init", WORK]).await;
    writer.git(WORK, &["remote", "add", "origin", REMOTE]).await;
    writer.git(WORK, &["lfs", "track", "*.bin"]).await;
    writer.write("weights.bin", &bytes);
    writer.commit().await;
    let host = writer.origin.display().to_string();
    writer.git(".", &["init", "--bare", &host]).await;
    writer.push().await;
    assert_stored(&stack, 1).await;

    let reader = at_a_host(&stack, &server, "guest").await;
    reader.git(".", &["clone", REMOTE, WORK]).await;
    assert!(reader.read("weights.bin") == bytes);
    reader.write("weights.bin", b"changed");
    reader.commit().await;
    let refused = reader.git_refused(WORK, &["push", "origin", "main"]).await;
    assert!(refused.contains("guest") && refused.contains("team/game"), "{refused}");
    assert_stored(&stack, 1).await;

    for (arguments, complaint) in [
        (&["/../etc/passwd", "upload"][..], "is no repository"),
        (&["/team/game.git", "delete"], "upload or download"),
        (&[], "SSH_ORIGINAL_COMMAND"),
    ] {
        let mut command = stack.binary();
        command.args(["lfs-authenticate", "--user", "developer", "--public-url", server.base_url()]);
        let refused = stack.run(command.args(arguments)).await.refused();
        assert!(refused.contains(complaint), "{refused}");
    }
}

const REMOTE: &str = "ssh://git@127.0.0.1/team/game.git";

/// Somebody whose ssh is a script, that does what the host's would do for a user of this name.
async fn at_a_host(stack: &Arc<Stack>, server: &Server, name: &str) -> Person {
    let person = Person::new(stack, super::NEWEST, name).await;
    let script = person.machine.home.join("ssh");
    let text = format!(
        "#!/bin/sh\n\
         for command; do :; done\n\
         case $command in\n\
         git-lfs-authenticate*) SSH_ORIGINAL_COMMAND=$command OVERSIDE_DATABASE='{}' \\\n\
           exec '{}' lfs-authenticate --user {name} --public-url {} ;;\n\
         git-*-pack*) exec ${{command%% *}} '{}' ;;\n\
         *) exit 127 ;;\n\
         esac\n",
        stack.database.url(),
        env!("CARGO_BIN_EXE_overside"),
        server.base_url(),
        person.origin.display(),
    );
    std::fs::write(&script, text).expect("a file of our own");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).expect("a file of our own");
    person.git(".", &["config", "--global", "core.sshCommand", &script.display().to_string()]).await;
    person.git(".", &["config", "--global", "ssh.variant", "ssh"]).await;
    person
}
