//! helm: charts in a registry.

use std::fs;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::team::{Registry, Team};
use super::{Client, Machine, assert_stored};
use crate::support::Stack;
use crate::support::accounts::Login;
use crate::support::api::content;
use crate::support::trial::Story;

pub const CLIENT: Client = Client::Current("helm");

/// Of the file that the chart has beside its templates, in bytes: helm takes none above 5 MiB.
const FILE: usize = 4_000_000;
const CONFIG_MAP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: ship}
data: {colour: {{ .Values.colour }}}
";

pub fn cases() -> Vec<Story> {
    vec![("helm_signs_in_pushes_and_pulls_a_chart_by_name_and_by_address", signs_in)]
}

fn sign_in<'a>(registry: &'a Registry, name: &'a str, secret: &'a str) -> [&'a str; 8] {
    ["registry", "login", "--plain-http", &registry.host, "-u", name, "-p", secret]
}

async fn machine(team: &Team, registry: &Registry, login: &Login) -> Machine {
    let machine = team.machine(CLIENT, registry, login);
    machine.client(&sign_in(registry, &login.name, &login.secret)).await;
    machine
}

/// Packs a chart; says the file's name.
async fn chart(machine: &Machine, registry: &Registry) -> &'static str {
    fs::create_dir_all(machine.path("ship/templates")).expect("a folder");
    for (name, text) in [
        ("Chart.yaml", "apiVersion: v2\nname: ship\nversion: 1.2.3\n".as_bytes()),
        ("values.yaml", b"colour: blue\n"),
        ("templates/map.yaml", CONFIG_MAP.as_bytes()),
        ("model.bin", &content(FILE + registry.number * 1000)),
    ] {
        fs::write(machine.path(&format!("ship/{name}")), text).expect("a file");
    }
    machine.client(&["package", "ship"]).await;
    "ship-1.2.3.tgz"
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let team = Team::of(&stack).await;
        for registry in team.registries() {
            let developer = machine(&team, &registry, &team.developer).await;
            // What was right is kept.
            let wrong = developer.client_refused(&sign_in(&registry, &team.developer.name, "wrong")).await;
            assert!(wrong.contains("the name, password or token is wrong"), "{wrong}");
            let chart = chart(&developer, &registry).await;
            let charts = format!("oci://{}", registry.repository("charts"));
            let push = ["push", "--plain-http", chart, &charts];
            developer.client(&push).await;
            let before = team.sent();
            developer.client(&push).await;
            team.assert_no_layer_sent(before);

            let guest = machine(&team, &registry, &team.guest).await;
            let there = format!("{charts}/ship");
            // By a range, so that the tags are asked for.
            guest.client(&["pull", "--plain-http", &there, "--version", ">1.0"]).await;
            let [sent, back] = [&developer, &guest].map(|machine| fs::read(machine.path(chart)));
            assert!(sent.expect("what was sent") == back.expect("what was pulled"));
            let rendered = guest.client(&["template", "--plain-http", "--set", "colour=red", &there]).await;
            assert!(rendered.contains("data: {colour: red}"), "{rendered}");
            let elsewhere = format!("oci://{}", registry.repository("other"));
            let refused = guest.client_refused(&["push", "--plain-http", chart, &elsewhere]).await;
            assert!(
                refused.contains("guest is guest of project team, and this takes developer"),
                "{refused}"
            );
        }
        // A chart of each registry; what is said about it is the same.
        assert_stored(&stack, 2 + 1).await;
    }
    .boxed()
}
