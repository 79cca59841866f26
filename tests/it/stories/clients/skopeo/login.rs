//! Signing in, and what comes of it.

use std::sync::Arc;

use overside::domain::access::{Action, Actions, Role};

use super::super::host;
use super::super::team::Team;
use super::{Skopeo, at};
use crate::support::Stack;
use crate::support::accounts::{Accounts, PASSWORD};
use crate::support::layout::Packing;
use crate::support::process::Server;

const PROJECT: &str = "team";
const IMAGE: &str = "team/app/model:v1";
const LAYERS: [usize; 2] = [30_000, 500];
const PLAIN_HTTP: &str = "--tls-verify=false";

/// Somebody's machine, signed in there.
async fn signed_in(stack: &Arc<Stack>, server: &Server, home: &str, name: &str, secret: &str) -> Skopeo {
    let skopeo = Skopeo::new(stack, home);
    let registry = host(server.base_url());
    let said = skopeo.run(&["login", PLAIN_HTTP, "-u", name, "-p", secret, registry]).await;
    assert!(said.contains("Login Succeeded"), "{said}");
    skopeo
}

pub async fn roles(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project(PROJECT, false).await;
    for (name, role) in [
        ("guest", Some(Role::Guest)),
        ("developer", Some(Role::Developer)),
        ("maintainer", Some(Role::Maintainer)),
        ("stranger", None),
    ] {
        accounts.user(name).await;
        if let Some(role) = role {
            accounts.member(PROJECT, name, role).await;
        }
    }
    let (url, there) = (server.base_url(), at(server.base_url(), IMAGE));

    let wrong = Skopeo::new(&stack, "wrong");
    wrong.refused(&["login", PLAIN_HTTP, "-u", "developer", "-p", "wrong", host(url)]).await;
    let developer = signed_in(&stack, &server, "developer", "developer", PASSWORD).await;
    let mut layout = developer.layout("image");
    let image = layout.image("amd64", Packing::TarGzip, &LAYERS);
    layout.tag("v1", image);
    let push = ["copy", "--dest-tls-verify=false", &layout.reference("v1"), &there];
    let delete = ["delete", PLAIN_HTTP, &there];

    let guest = signed_in(&stack, &server, "guest", "guest", PASSWORD).await;
    let stranger = signed_in(&stack, &server, "stranger", "stranger", PASSWORD).await;
    for nobody in [&wrong, &stranger, &guest] {
        nobody.refused(&push).await;
    }
    assert_eq!(stack.objects().await, vec![], "nobody who may not has left anything");
    developer.run(&push).await;

    for (reader, may) in [(&wrong, false), (&stranger, false), (&guest, true), (&developer, true)] {
        let folder = reader.folder("back");
        let pull = ["copy", "--src-tls-verify=false", &there, &folder];
        if may {
            reader.run(&pull).await;
            layout.assert_same_as(&reader.path("back"));
        } else {
            reader.refused(&pull).await;
        }
    }

    let robots = [("ci", Actions::NONE.with(Action::Pull)), ("cd", Actions::ALL)];
    let [puller, remover] = robots.map(|(name, actions)| accounts.robot(PROJECT, name, actions));
    let puller = signed_in(&stack, &server, "puller", "robot$team+ci", &puller.await.secret).await;
    puller.refused(&push).await;
    puller.run(&["inspect", PLAIN_HTTP, &there]).await;
    for nobody in [&wrong, &stranger, &guest, &developer, &puller] {
        nobody.refused(&delete).await;
    }
    signed_in(&stack, &server, "maintainer", "maintainer", PASSWORD).await.run(&delete).await;
    guest.refused(&["inspect", PLAIN_HTTP, &there]).await;
    let remover = signed_in(&stack, &server, "remover", "robot$team+cd", &remover.await.secret).await;
    remover.run(&push).await;
    remover.run(&delete).await;
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn anonymous(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project(PROJECT, true).await;
    accounts.user("developer").await;
    accounts.member(PROJECT, "developer", Role::Developer).await;
    let there = at(server.base_url(), IMAGE);
    let developer = signed_in(&stack, &server, "developer", "developer", PASSWORD).await;
    let mut layout = developer.layout("image");
    let image = layout.image("amd64", Packing::TarGzip, &LAYERS);
    layout.tag("v1", image);
    developer.copy(&[], &layout.reference("v1"), &there).await;
    // Mounted from the same repository's project, by a token that names both.
    let copy = at(server.base_url(), "team/copy:v1");
    developer.copy(&[], &there, &copy).await;

    let anybody = Skopeo::new(&stack, "anybody");
    for image in [&there, &copy] {
        anybody.copy(&[], image, &anybody.folder("back")).await;
        layout.assert_same_as(&anybody.path("back"));
        std::fs::remove_dir_all(anybody.path("back")).expect("a folder of ours");
    }
    anybody.refused(&["copy", "--dest-tls-verify=false", &layout.reference("v1"), &there]).await;
    anybody.refused(&["delete", PLAIN_HTTP, &there]).await;
}

pub async fn names_of_loopback(stack: Arc<Stack>) {
    let team = Team::of(&stack).await;
    for registry in team.registries() {
        let layout = team.image(&registry, Packing::TarGzip);
        let there = format!("docker://{}", registry.repository("app:v1"));
        let login = ["login", PLAIN_HTTP, &registry.host, "-u"];
        let push = ["copy", "--dest-tls-verify=false", &layout.reference("v1"), &there];

        let developer = Skopeo::new(&stack, &format!("developer-{}", registry.name));
        let wrong = [&login[..], &[&team.developer.name, "-p", "wrong"]].concat();
        let refused = developer.refused(&wrong).await;
        assert!(refused.contains("invalid username/password"), "{refused}");
        let right = [&login[..], &[&team.developer.name, "-p", &team.developer.secret]].concat();
        developer.run(&right).await;
        developer.run(&push).await;
        let before = team.sent();
        developer.run(&push).await;
        team.assert_no_layer_sent(before);

        let guest = Skopeo::new(&stack, &format!("guest-{}", registry.name));
        let right = [&login[..], &[&team.guest.name, "-p", &team.guest.secret]].concat();
        guest.run(&right).await;
        guest.copy(&[], &there, &guest.folder("back")).await;
        layout.assert_same_as(&guest.path("back"));
        let refused = guest.refused(&push).await;
        assert!(refused.contains("guest is guest of project team, and this takes developer"), "{refused}");
    }
}
