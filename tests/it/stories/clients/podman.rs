//! Debian's podman, and with it what buildah and CRI-O push and pull with.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use tempfile::TempDir;

use super::team::{Registry, Team};
use super::{Client, Machine, as_root, assert_stored, unpacked};
use crate::support::Stack;
use crate::support::accounts::Login;
use crate::support::layout::{Layout, Packing};
use crate::support::trial::Story;

pub const CLIENT: Client = Client::Current("podman");

/// Signatures are not asked for. Debian has this in another package.
const POLICY: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

pub fn cases() -> Vec<Story> {
    vec![("podman_signs_in_pushes_and_pulls_by_name_and_by_address", signs_in)]
}

/// podman with images of its own, unpacked and not run.
struct Podman {
    machine: Machine,
    /// Its path may have 50 characters.
    run: TempDir,
}

impl Podman {
    fn of(team: &Team, registry: &Registry, login: &Login) -> Self {
        let machine = team.machine(CLIENT, registry, login);
        let settings = machine.path(".config/containers");
        fs::create_dir_all(&settings).expect("a folder of our own");
        fs::write(Path::new(&settings).join("policy.json"), POLICY).expect("a file of our own");
        Self { machine, run: TempDir::with_prefix_in("podman", "/tmp").expect("a folder of our own") }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command();
        let program = command.get_program().to_owned();
        unpacked(&mut command, Path::new(&program));
        let run = self.run.path().display();
        // Nothing of the machine's own.
        command.env("CONTAINERS_CONF", "/dev/null").env("REGISTRY_AUTH_FILE", self.machine.path("auth.json"));
        command.arg(format!("--root={}", self.machine.path("images"))).arg(format!("--runroot={run}"));
        command.arg(format!("--tmpdir={run}/tmp")).args(["--storage-driver=vfs", "--events-backend=none"]);
        command.args(["--cgroup-manager=cgroupfs"]).args(arguments);
        command
    }

    async fn run(&self, arguments: &[&str]) -> String {
        self.machine.done(&mut self.command(arguments)).await
    }

    /// Unpacks an image; says its id, which is its config's digest.
    async fn take(&self, layout: &Layout) -> String {
        let folder = Path::new(layout.folder());
        let mut pull = self.command(&["pull", "-q"]);
        // It names the image after the path, which so must have no capital letters.
        pull.arg(format!("oci:{}:v1", folder.file_name().expect("a name").display()));
        self.machine.done(pull.current_dir(folder.parent().expect("a folder"))).await
    }

    async fn refused(&self, arguments: &[&str]) -> String {
        self.machine.refused(&mut self.command(arguments)).await
    }
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        as_root();
        let team = Team::of(&stack).await;
        for registry in team.registries() {
            let layout = team.image(&registry, Packing::TarGzip);
            let there = registry.repository("app:v1");
            let login = ["login", "--tls-verify=false", &registry.host, "-u"];
            let push = ["push", "--tls-verify=false", "--digestfile=pushed", &there];

            let developer = Podman::of(&team, &registry, &team.developer);
            let wrong = [&login[..], &[&team.developer.name, "-p", "wrong"]].concat();
            let refused = developer.refused(&wrong).await;
            assert!(refused.contains("invalid username/password"), "{refused}");
            let right = [&login[..], &[&team.developer.name, "-p", &team.developer.secret]].concat();
            developer.run(&right).await;
            let image = developer.take(&layout).await;
            developer.run(&["tag", image.trim_end(), &there]).await;
            developer.run(&push).await;
            let before = team.sent();
            developer.run(&push).await;
            let copy = registry.repository("copy:v1");
            developer.run(&["push", "--tls-verify=false", image.trim_end(), &copy]).await;
            team.assert_no_layer_sent(before);

            let guest = Podman::of(&team, &registry, &team.guest);
            let right = [&login[..], &[&team.guest.name, "-p", &team.guest.secret]].concat();
            guest.run(&right).await;
            // The config names the layers as they are unpacked.
            assert_eq!(guest.run(&["pull", "-q", "--tls-verify=false", &there]).await, image);
            let digest = guest.run(&["image", "inspect", "--format={{.Digest}}", &there]).await;
            let pushed = fs::read_to_string(developer.machine.path("pushed")).expect("a digest");
            assert_eq!(digest.trim_end(), pushed);
            let refused =
                guest.refused(&["push", "--tls-verify=false", &there, &registry.repository("app:v2")]).await;
            assert!(
                refused.contains("guest is guest of project team, and this takes developer"),
                "{refused}"
            );
        }
        assert_stored(&stack, 2 * 3).await;
    }
    .boxed()
}
