//! `ctr`, and the daemon of containerd, which pushes and pulls for it. `nerdctl` asks the same of the same daemon.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use tempfile::TempDir;

use super::containerd::{goes_direct, seen_redirected};
use super::docker::ALONE;
use super::team::Team;
use super::{Client, Machine, as_root, assert_stored};
use crate::support::containerd::Version;
use crate::support::layout::{Layout, Packing};
use crate::support::process::Process;
use crate::support::trial::Story;
use crate::support::{Login, Stack};

pub const CLIENT: Client = Client::Current("ctr");

/// Until it answers; alone it takes a second.
const READY_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);
/// Of an image's layers, in bytes; the first one is redirected.
const LAYERS: [usize; 2] = [6_000_000, 70_000];

pub fn cases() -> Vec<Story> {
    vec![("ctr_signs_in_pushes_and_pulls_by_name_and_by_address", signs_in)]
}

struct Daemon {
    _process: Process,
    /// A socket's path may have 107 bytes.
    folder: TempDir,
    ctr: PathBuf,
    machine: Machine,
}

impl Daemon {
    /// It runs no containers: what they need is left out.
    async fn start(machine: Machine) -> Self {
        let folder = TempDir::with_prefix_in("ctr", "/tmp").expect("a folder of our own");
        let ctr = PathBuf::from(machine.command().get_program());
        let place = folder.path().display();
        let configuration = format!(
            "version = 3\nroot = '{place}/root'\nstate = '{place}/state'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', \
             'io.containerd.cri.v1.runtime', 'io.containerd.nri.v1.nri', 'io.containerd.internal.v1.opt']\n\
             [plugins.'io.containerd.server.v1.grpc']\naddress = '{place}/socket'\n\
             [grpc]\naddress = '{place}/socket'\n\
             [[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\n\
             platform = 'linux/amd64'\nsnapshotter = 'native'\n"
        );
        let file = folder.path().join("config.toml");
        fs::write(&file, configuration).expect("a file of our own");
        let log = machine.path("daemon.log");
        let mut command = machine.stack.program(Path::new("unshare"));
        command.args(ALONE).arg(ctr.with_file_name("containerd")).arg("--config").arg(&file);
        let output = File::create(&log).expect("a file of our own");
        command.stdout(output.try_clone().expect("the same file")).stderr(output);
        let daemon = Self { _process: Process::spawn(&mut command), folder, ctr, machine };
        let deadline = Instant::now() + READY_LIMIT;
        while daemon.machine.run(&mut daemon.command(&["version"])).await.code != Some(0) {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "the daemon does not answer: {}", log());
            tokio::time::sleep(POLL).await;
        }
        daemon
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.stack.program(&self.ctr);
        command.arg("--address").arg(self.folder.path().join("socket")).args(arguments);
        command
    }

    async fn ctr(&self, arguments: &[&str]) -> String {
        self.machine.done(&mut self.command(arguments)).await
    }

    /// What it prints of `ctr images push` or `pull`.
    async fn images(&self, verb: &str, login: &Login, rest: &[&str]) -> String {
        let user = format!("{}:{}", login.name, login.secret);
        self.ctr(&[&["images", verb, "--plain-http", "--user", &user], rest].concat()).await
    }

    async fn digest(&self, reference: &str) -> String {
        let listed = self.ctr(&["images", "ls", &format!("name=={reference}")]).await;
        let found = listed.split_whitespace().find(|word| word.starts_with("sha256:"));
        found.unwrap_or_else(|| panic!("no image: {listed}")).to_owned()
    }
}

fn signs_in(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        as_root();
        let team = Team::of(&stack).await;
        let daemon = Daemon::start(Machine::new(&stack, CLIENT, "daemon")).await;
        let mut redirected = 0;
        for registry in team.registries() {
            let mut layout = Layout::new(stack.folder().join(format!("image-{}", registry.number)));
            let image =
                layout.image("amd64", Packing::TarGzip, &LAYERS.map(|size| size + registry.number * 1000));
            layout.tag("v1", image);
            let archive = stack.folder().join(format!("image-{}.tar", registry.number));
            let mut tar = stack.program(Path::new("tar"));
            tar.arg("-C").arg(layout.folder()).arg("-cf").arg(&archive).arg(".");
            daemon.machine.done(&mut tar).await;
            let (there, archive) = (registry.repository("app:v1"), archive.display().to_string());
            let name = ["--index-name", &there];
            daemon.ctr(&[&["images", "import", "--no-unpack"], &name[..], &[&archive]].concat()).await;
            let digest = daemon.digest(&there).await;

            daemon.images("push", &team.developer, &[&there]).await;
            redirected += usize::from(goes_direct(&stack, Version::Newest, &registry));
            assert_eq!(seen_redirected(&stack), redirected, "at {}", registry.name);
            let before = team.sent();
            daemon.images("push", &team.developer, &[&there]).await;
            team.assert_no_layer_sent(before);

            daemon.ctr(&["images", "rm", "--sync", &there]).await;
            daemon
                .images(
                    "pull",
                    &team.guest,
                    &["--platform", "linux/amd64", "--snapshotter", "native", &there],
                )
                .await;
            assert_eq!(daemon.digest(&there).await, digest);
        }
        assert_stored(&stack, 2 * (LAYERS.len() + 1)).await;
    }
    .boxed()
}
