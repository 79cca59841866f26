//! crane, and with it what ko, cosign and kaniko push and pull with.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::team::{Registry, Team};
use super::{Client, Machine, assert_stored};
use crate::support::Stack;
use crate::support::layout::Packing;
use crate::support::trial::Story;

pub const CLIENT: Client = Client::Current("crane");

pub fn cases() -> Vec<Story> {
    vec![("crane_signs_in_pushes_and_pulls_by_name_and_by_address", signs_in)]
}

/// It asks no registry whether the password is right.
async fn sign_in(machine: &Machine, registry: &Registry, name: &str, secret: &str) {
    machine.client(&["auth", "login", &registry.host, "-u", name, "-p", secret]).await;
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let team = Team::of(&stack).await;
        for registry in team.registries() {
            let layout = team.image(&registry, Packing::TarGzip);
            let [folder, there] = [layout.folder(), &registry.repository("app:v1")];
            let push = ["push", folder, there];

            let developer = team.machine(CLIENT, &registry, &team.developer);
            sign_in(&developer, &registry, &team.developer.name, "wrong").await;
            let refused = developer.client_refused(&push).await;
            assert!(refused.contains("the name, password or token is wrong"), "{refused}");
            sign_in(&developer, &registry, &team.developer.name, &team.developer.secret).await;
            let pushed = developer.client(&push).await;
            let before = team.sent();
            assert_eq!(developer.client(&push).await, pushed);
            developer.client(&["copy", there, &registry.repository("copy:v1")]).await;
            team.assert_no_layer_sent(before);

            let guest = team.machine(CLIENT, &registry, &team.guest);
            sign_in(&guest, &registry, &team.guest.name, &team.guest.secret).await;
            guest.client(&["pull", "--format=oci", there, &guest.path("back")]).await;
            layout.assert_same_as(guest.path("back").as_ref());
            let digest = guest.client(&["digest", there]).await;
            assert!(pushed.ends_with(&digest), "{pushed} {digest}");
            assert_eq!(guest.client(&["ls", &registry.repository("copy")]).await, "v1\n");
            let refused = guest.client_refused(&["push", folder, &registry.repository("app:v2")]).await;
            assert!(
                refused.contains("guest is guest of project team, and this takes developer"),
                "{refused}"
            );
        }
        assert_stored(&stack, 2 * 3).await;
    }
    .boxed()
}
