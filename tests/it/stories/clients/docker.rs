//! Debian's docker. It is its daemon that pushes and pulls.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use tempfile::TempDir;

use super::team::{LAYERS, Registry, Team};
use super::{Client, Machine, as_root, assert_stored, unpacked};
use crate::support::Stack;
use crate::support::accounts::Login;
use crate::support::api::content;
use crate::support::process::Process;
use crate::support::trial::Story;

pub const CLIENT: Client = Client::Current("docker");

/// Until it answers; alone it takes half a second.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Until the last of its processes has let go of its folder.
const END_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// In namespaces of its own, so that nothing of it outlives it, no mount either.
pub(super) const ALONE: [&str; 5] = ["--mount", "--mount-proc", "--pid", "--fork", "--kill-child"];
/// Without a network for containers, of which none is run, and with images as plain folders.
const DAEMON: [&str; 9] = [
    "dockerd",
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--userland-proxy=false",
    "--storage-driver=vfs",
    "--log-level=warn",
];
/// Two layers.
const DOCKERFILE: &str = "FROM scratch\nCOPY large /\nCOPY small /\n";

pub fn cases() -> Vec<Story> {
    vec![("docker_signs_in_pushes_and_pulls_by_name_and_by_address", signs_in)]
}

struct Daemon {
    process: Option<Process>,
    folder: PathBuf,
    socket: String,
}

impl Daemon {
    async fn start(team: &Team, machine: &Machine) -> Self {
        // A socket's path may have 107 bytes.
        let folder = TempDir::with_prefix_in("docker", "/tmp").expect("a folder of our own").keep();
        let log = machine.path("daemon.log");
        let mut command = team.stack.program(Path::new("unshare"));
        unpacked(&mut command, Path::new(machine.command().get_program()));
        command.args(ALONE).args(DAEMON);
        for (flag, name) in [("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid")] {
            command.arg(format!("--{flag}={}", folder.join(name).display()));
        }
        let socket = format!("unix://{}", folder.join("socket").display());
        command.arg(format!("--host={socket}"));
        let file = File::create(&log).expect("a file of our own");
        command.stdout(file.try_clone().expect("the same file")).stderr(file);
        let daemon = Self { process: Some(Process::spawn(&mut command)), folder, socket };
        let deadline = Instant::now() + READY_LIMIT;
        while machine.run(daemon.client(machine).arg("version")).await.code != Some(0) {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "the daemon does not answer: {}", log());
            tokio::time::sleep(POLL).await;
        }
        daemon
    }

    fn client(&self, machine: &Machine) -> Command {
        let mut command = machine.command();
        let program = command.get_program().to_owned();
        unpacked(&mut command, Path::new(&program));
        command.env("DOCKER_HOST", &self.socket);
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its namespace ends with it, and all that runs there a moment later.
        self.process = None;
        let deadline = Instant::now() + END_LIMIT;
        while fs::remove_dir_all(&self.folder).is_err() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }
}

/// One person's docker; its daemon is everybody's.
struct Docker<'a> {
    daemon: &'a Daemon,
    machine: Machine,
}

impl<'a> Docker<'a> {
    fn of(team: &Team, daemon: &'a Daemon, registry: &Registry, login: &Login) -> Self {
        Self { daemon, machine: team.machine(CLIENT, registry, login) }
    }

    async fn run(&self, arguments: &[&str]) -> String {
        self.machine.done(self.daemon.client(&self.machine).args(arguments)).await
    }

    async fn refused(&self, arguments: &[&str]) -> String {
        self.machine.refused(self.daemon.client(&self.machine).args(arguments)).await
    }

    /// Builds an image of that name, like no other registry's; says its id, which is its config's digest.
    async fn build(&self, registry: &Registry, name: &str) -> String {
        let folder = self.machine.home.join("build");
        fs::create_dir(&folder).expect("a folder of our own");
        fs::write(folder.join("Dockerfile"), DOCKERFILE).expect("a file of our own");
        for (file, size) in ["large", "small"].into_iter().zip(LAYERS) {
            fs::write(folder.join(file), content(size + registry.number * 1000)).expect("a file of our own");
        }
        self.run(&["build", "-q", "-t", name, &folder.display().to_string()]).await
    }
}

/// `sha256:…` in what a push or a pull says.
fn digest(said: &str) -> &str {
    let (_, digest) = said.split_once("igest: ").unwrap_or_else(|| panic!("no digest: {said}"));
    digest.split_whitespace().next().expect("a digest")
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        as_root();
        let team = Team::of(&stack).await;
        let daemon = Daemon::start(&team, &Machine::new(&stack, CLIENT, "daemon")).await;
        for registry in team.registries() {
            let [there, copy] = ["app:v1", "copy:v1"].map(|name| registry.repository(name));
            let login = ["login", &registry.host, "-u"];

            let developer = Docker::of(&team, &daemon, &registry, &team.developer);
            let wrong = [&login[..], &[&team.developer.name, "-p", "wrong"]].concat();
            let refused = developer.refused(&wrong).await;
            assert!(refused.contains("the name, password or token is wrong"), "{refused}");
            let right = [&login[..], &[&team.developer.name, "-p", &team.developer.secret]].concat();
            developer.run(&right).await;
            let image = developer.build(&registry, &there).await;
            let pushed = developer.run(&["push", &there]).await;
            let before = team.sent();
            let again = developer.run(&["push", &there]).await;
            assert_eq!(again.matches("Layer already exists").count(), LAYERS.len(), "{again}");
            developer.run(&["tag", &there, &copy]).await;
            let copied = developer.run(&["push", &copy]).await;
            assert_eq!(copied.matches("Mounted from").count(), LAYERS.len(), "{copied}");
            team.assert_no_layer_sent(before);

            let guest = Docker::of(&team, &daemon, &registry, &team.guest);
            let right = [&login[..], &[&team.guest.name, "-p", &team.guest.secret]].concat();
            guest.run(&right).await;
            guest.run(&["rmi", "-f", image.trim_end()]).await;
            let pulled = guest.run(&["pull", &there]).await;
            assert_eq!(digest(&pulled), digest(&pushed));
            assert_eq!(guest.run(&["images", "-q", "--no-trunc", &there]).await, image);
            guest.run(&["tag", &there, &registry.repository("app:v2")]).await;
            let refused = guest.refused(&["push", &registry.repository("app:v2")]).await;
            assert!(refused.contains("denied"), "{refused}");
        }
        assert_stored(&stack, 2 * 3).await;
    }
    .boxed()
}
