//! regctl, and with it what regsync and regbot copy with.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::team::{Registry, Team};
use super::{Client, Machine, assert_stored};
use crate::support::Stack;
use crate::support::accounts::Login;
use crate::support::layout::Packing;
use crate::support::trial::Story;

pub const CLIENT: Client = Client::Current("regctl");

pub fn cases() -> Vec<Story> {
    vec![("regctl_signs_in_pushes_and_pulls_by_name_and_by_address", signs_in)]
}

/// The machine of somebody to whom it has been said that this registry has no TLS.
async fn machine(team: &Team, registry: &Registry, login: &Login) -> Machine {
    let machine = team.machine(CLIENT, registry, login);
    machine.client(&["registry", "set", "--tls=disabled", &registry.host]).await;
    machine
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let team = Team::of(&stack).await;
        for registry in team.registries() {
            let layout = team.image(&registry, Packing::TarGzip);
            let [here, there] = [&format!("ocidir://{}:v1", layout.folder()), &registry.repository("app:v1")];
            let login = ["registry", "login", &registry.host, "-u"];
            let push = ["image", "copy", here, there];

            let developer = machine(&team, &registry, &team.developer).await;
            let wrong = [&login[..], &[&team.developer.name, "-p", "wrong"]].concat();
            let refused = developer.client_refused(&wrong).await;
            assert!(refused.contains("unauthorized"), "{refused}");
            // It has kept that one, and sends it with every request of a push, several times.
            let refused = developer.client_refused(&push).await;
            assert!(refused.contains("unauthorized"), "{refused}");
            let right = [&login[..], &[&team.developer.name, "-p", &team.developer.secret]].concat();
            developer.client(&right).await;
            developer.client(&push).await;
            let before = team.sent();
            developer.client(&push).await;
            developer.client(&["image", "copy", there, &registry.repository("copy:v1")]).await;
            team.assert_no_layer_sent(before);

            let guest = machine(&team, &registry, &team.guest).await;
            let right = [&login[..], &[&team.guest.name, "-p", &team.guest.secret]].concat();
            guest.client(&right).await;
            let back = guest.path("back");
            guest.client(&["image", "copy", there, &format!("ocidir://{back}:v1")]).await;
            layout.assert_same_as(back.as_ref());
            assert_eq!(guest.client(&["tag", "ls", &registry.repository("copy")]).await, "v1\n");
            let refused =
                guest.client_refused(&["image", "copy", here, &registry.repository("app:v2")]).await;
            assert!(refused.contains("unauthorized"), "{refused}");
        }
        assert_stored(&stack, 2 * 3).await;
    }
    .boxed()
}
