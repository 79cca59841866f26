//! The oras command: files as artifacts, and artifacts about artifacts.

use std::fs;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::team::{LAYERS, Registry, Team};
use super::{Client, Machine, assert_stored, json};
use crate::support::Stack;
use crate::support::accounts::Login;
use crate::support::api::content;
use crate::support::trial::Story;

pub const CLIENT: Client = Client::Current("oras");

const REVIEW: &str = "application/vnd.example.review";

pub fn cases() -> Vec<Story> {
    vec![("the_oras_command_signs_in_pushes_attaches_and_pulls_by_name_and_by_address", signs_in)]
}

/// Of `localhost` it knows by itself that it speaks plain HTTP, of an address it does not.
fn sign_in<'a>(registry: &'a Registry, name: &'a str, secret: &'a str) -> [&'a str; 7] {
    ["login", "--plain-http", &registry.host, "-u", name, "-p", secret]
}

async fn machine(team: &Team, registry: &Registry, login: &Login) -> Machine {
    let machine = team.machine(CLIENT, registry, login);
    machine.client(&sign_in(registry, &login.name, &login.secret)).await;
    machine
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let team = Team::of(&stack).await;
        for registry in team.registries() {
            let developer = machine(&team, &registry, &team.developer).await;
            // What was right is kept.
            let wrong = developer.client_refused(&sign_in(&registry, &team.developer.name, "wrong")).await;
            assert!(wrong.contains("the name, password or token is wrong"), "{wrong}");
            for (name, size) in ["weights.bin", "card.md"].into_iter().zip(LAYERS) {
                fs::write(developer.path(name), content(size + registry.number * 1000)).expect("a file");
            }
            fs::write(developer.path("review.txt"), format!("seaworthy {}", registry.host)).expect("a file");
            let [there, copy] = ["model:v1", "copy:v1"].map(|name| registry.repository(name));
            let push = ["push", "--plain-http", "--no-tty", &there, "weights.bin:application/x", "card.md"];
            developer.client(&push).await;
            let before = team.sent();
            developer.client(&push).await;
            let attach = ["attach", "--plain-http", "--no-tty", "--artifact-type", REVIEW, &there];
            developer.client(&[&attach[..], &["review.txt"]].concat()).await;
            let plain_http = ["--from-plain-http", "--to-plain-http"];
            developer.client(&[&["cp", "-r", "--no-tty"], &plain_http[..], &[&there, &copy]].concat()).await;
            team.assert_no_layer_sent(before);

            let guest = machine(&team, &registry, &team.guest).await;
            for from in [&there, &copy] {
                guest.client(&["pull", "--plain-http", "--no-tty", "-o", "back", from]).await;
                for name in ["weights.bin", "card.md"] {
                    let [sent, back] = [developer.path(name), guest.path(&format!("back/{name}"))];
                    let [sent, back] = [sent, back].map(|path| fs::read(path).expect("a file"));
                    assert!(sent == back, "{from} {name}");
                }
                let known = guest.client(&["discover", "--plain-http", "--format=json", from]).await;
                let known = json(&known);
                let referrer = &known["referrers"][0];
                assert_eq!(referrer["artifactType"], REVIEW, "{known}");
                let review = referrer["reference"].as_str().expect("a reference");
                guest.client(&["pull", "--plain-http", "--no-tty", "-o", "review", review]).await;
                let review = fs::read_to_string(guest.path("review/review.txt")).expect("a file");
                assert_eq!(review, format!("seaworthy {}", registry.host));
            }
            let tags = guest.client(&["repo", "tags", "--plain-http", &registry.repository("copy")]).await;
            assert_eq!(tags, "v1\n");
            fs::write(guest.path("note.txt"), "a note").expect("a file");
            let note = ["push", "--plain-http", "--no-tty", &there, "note.txt"];
            let refused = guest.client_refused(&note).await;
            assert!(
                refused.contains("guest is guest of project team, and this takes developer"),
                "{refused}"
            );
        }
        // Two files and a review of each registry, and the config that says nothing.
        assert_stored(&stack, 2 * 3 + 1).await;
    }
    .boxed()
}
