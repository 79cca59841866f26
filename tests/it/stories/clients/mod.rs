//! Our own client, a browser, and stock clients, as people have them: what Debian has of them, the newest in Go, and two
//! for Python that share no code with those or with each other.

// The page of `examples/browser`, in Chromium.
mod browser;
// Our own client, against our own server and against others'.
mod client;
// containerd's library, which Docker, BuildKit and nerdctl push with too.
mod containerd;
// crane, and what is built on it: ko, cosign, kaniko.
mod crane;
// containerd's daemon and its own command.
mod ctr;
// Debian's docker and its daemon.
mod docker;
// The dxf package for Python.
mod dxf;
// Large files in a Git repository.
mod git_lfs;
// Charts in a registry.
mod helm;
// The oras package for Python.
mod oras;
// The oras command.
mod oras_cli;
// Debian's podman, and what buildah and CRI-O share with it.
mod podman;
// regctl, and what is built on it: regsync, regbot.
mod regctl;
// skopeo, with what podman, buildah and CRI-O pull and push with.
mod skopeo;
// A team that signs in, as every client of today is tried.
mod team;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use super::Group;
use crate::support::process::Server;
use crate::support::stack::CommandOutput;
use crate::support::trial::not_here;
use crate::support::{Servers, Shows, Stack};

/// A name with several segments, of which clients have views of their own.
const NAME: &str = "team/app/model";

/// What has to be installed for a story.
#[derive(Debug, Clone, Copy)]
pub enum Client {
    Skopeo,
    Python,
    /// One of `scripts/testing/clients.py`.
    Current(&'static str),
}

impl Client {
    pub fn program(self, servers: &Servers) -> Option<&Path> {
        match self {
            Self::Skopeo => servers.skopeo.as_deref(),
            Self::Python => servers.python.as_deref(),
            Self::Current(name) => servers.clients.get(name).map(PathBuf::as_path),
        }
    }
}

pub fn groups(servers: &Servers) -> Vec<Group> {
    let groups = [
        (Client::Skopeo, skopeo::cases()),
        (Client::Python, oras::cases()),
        (Client::Python, dxf::cases()),
        (crane::CLIENT, crane::cases()),
        (containerd::CLIENT, containerd::cases()),
        (ctr::CLIENT, ctr::cases()),
        (regctl::CLIENT, regctl::cases()),
        (oras_cli::CLIENT, oras_cli::cases()),
        (helm::CLIENT, helm::cases()),
        (podman::CLIENT, podman::cases()),
        (docker::CLIENT, docker::cases()),
        (git_lfs::NEWEST, git_lfs::newest()),
        (git_lfs::DEBIAN, git_lfs::debian()),
        (git_lfs::PARTS_AGENT, git_lfs::parts()),
    ];
    let group = |(client, stories): (Client, _)| Group {
        module: "clients",
        // They would tell nothing more of another S3 store.
        shows: Shows::Databases,
        is_there: client.program(servers).is_some(),
        stories,
    };
    let mut groups: Vec<_> = groups.into_iter().map(group).collect();
    groups.extend(client::groups(servers));
    let browser = Group::new("clients::browser", Shows::Databases, browser::cases());
    groups.push(browser.if_there(servers.chromium.is_some()));
    groups
}

/// One person's machine: what a client remembers between two runs, it keeps in a home of its own.
#[derive(Debug)]
pub struct Machine {
    stack: Arc<Stack>,
    client: Client,
    home: PathBuf,
}

impl Machine {
    pub fn new(stack: &Arc<Stack>, client: Client, name: &str) -> Self {
        let home = stack.folder().join(name);
        std::fs::create_dir(&home).expect("a folder of our own");
        Self { stack: Arc::clone(stack), client, home }
    }

    pub fn command(&self) -> Command {
        let servers = Servers::from_environment();
        let program = self.client.program(&servers);
        let program = program.expect("a trial whose client is missing is only run when somebody asks for it");
        let mut command = self.stack.program(program);
        command.current_dir(&self.home).env("HOME", &self.home).env("TMPDIR", &self.home);
        command
    }

    async fn run(&self, command: &mut Command) -> CommandOutput {
        self.stack.run(command).await
    }

    /// What the client prints, told this.
    async fn client(&self, arguments: &[&str]) -> String {
        self.done(self.command().args(arguments)).await
    }

    /// What it complains of, told this.
    async fn client_refused(&self, arguments: &[&str]) -> String {
        self.refused(self.command().args(arguments)).await
    }

    pub fn path(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// What it printed, if it ended well.
    pub async fn done(&self, command: &mut Command) -> String {
        let done = self.run(command).await;
        assert_eq!(done.code, Some(0), "{command:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// What it complained of, if it failed by itself.
    pub async fn refused(&self, command: &mut Command) -> String {
        let done = self.run(command).await;
        assert!(done.code.is_some_and(|code| code != 0), "{command:?}: {}{}", done.stdout, done.stderr);
        done.stderr
    }
}

/// Ends a story of a client that only root can run on every machine.
fn as_root() {
    let owner = std::fs::metadata("/proc/self").expect("Linux has it").uid();
    if owner != 0 {
        not_here("it runs as root only");
    }
    // Within containers root often has none of these, and neither daemon nor layers come about.
    let alone = ["--mount", "--mount-proc", "--pid", "--fork", "true"];
    if !Command::new("unshare").args(alone).output().is_ok_and(|done| done.status.success()) {
        not_here("this machine gives no namespaces of its own");
    }
}

/// Debian's programs that are unpacked and not installed find each other and their libraries.
fn unpacked(command: &mut Command, program: &Path) {
    let usr = program.ancestors().nth(2).expect("a program in /usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [usr.join("bin"), usr.join("sbin")].into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).expect("no path with a colon"));
    let libraries = std::fs::read_dir(usr.join("lib")).expect("a folder of libraries");
    let libraries = libraries.map(|entry| entry.expect("an entry").path());
    let libraries = libraries.filter(|path| path.display().to_string().ends_with("-linux-gnu"));
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).expect("no path with a colon"));
}

/// `127.0.0.1:5000`, as clients take it.
fn host(base_url: &str) -> &str {
    base_url.trim_end_matches('/').rsplit('/').next().expect("a host")
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The texts of a JSON array.
fn texts(array: &Value) -> Vec<&str> {
    array.as_array().expect("an array").iter().map(|text| text.as_str().expect("text")).collect()
}

async fn server(stack: &Stack) -> Server {
    stack.server(&[]).await
}

/// Nothing temporary is left, and so many blobs are stored.
async fn assert_stored(stack: &Stack, blobs: usize) {
    let objects = stack.objects().await;
    assert_eq!(objects.len(), blobs, "{objects:?}");
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
