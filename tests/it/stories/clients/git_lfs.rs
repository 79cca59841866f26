//! git-lfs, the newest and Debian's, with a bare repository for a Git host: `.lfsconfig` says where the objects go.

mod guarded;
mod locks;
mod parts;
mod pushes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use futures_util::future::FutureExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Client, Machine};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Login, Servers, Stack};

pub const NEWEST: Client = Client::Current("git_lfs");
pub const DEBIAN: Client = Client::Current("git_lfs_debian");
/// What sends objects in parts for it.
pub const PARTS_AGENT: Client = Client::Current("hf");

/// The project and the repository that the objects go to.
const NAME: &str = "team/game.git";
/// The folder of a checkout.
const WORK: &str = "work";
const LFS_CONFIG: &str = ".lfsconfig";

pub fn newest() -> Vec<Story> {
    vec![
        ("git_lfs_pushes_objects_that_a_clone_has_byte_by_byte", |s| pushes::pushed(s, NEWEST).boxed()),
        ("git_lfs_sends_a_large_file_past_the_service", |s| pushes::large(s).boxed()),
        ("git_lfs_pushes_many_small_files", |s| pushes::many(s).boxed()),
        ("git_lfs_sends_a_large_object_in_parts_by_our_agent", |s| parts::sent_by_own(s).boxed()),
        ("an_agent_of_ours_that_was_killed_sends_nothing_again_that_arrived", |s| parts::killed(s).boxed()),
        ("git_lfs_goes_on_with_a_push_that_was_interrupted", |s| pushes::interrupted(s).boxed()),
        ("git_lfs_signs_in_and_does_what_that_may", |s| guarded::signs_in(s, NEWEST).boxed()),
        ("git_lfs_signs_in_by_the_ssh_of_its_host", |s| guarded::by_ssh(s).boxed()),
        ("git_lfs_locks_files_for_their_owner_alone", |s| locks::locked(s).boxed()),
    ]
}

pub fn debian() -> Vec<Story> {
    vec![
        ("debians_git_lfs_pushes_objects_that_a_clone_has_byte_by_byte", |s| {
            pushes::pushed(s, DEBIAN).boxed()
        }),
        ("debians_git_lfs_signs_in_and_does_what_that_may", |s| guarded::signs_in(s, DEBIAN).boxed()),
    ]
}

pub fn parts() -> Vec<Story> {
    vec![("the_agent_that_git_lfs_has_for_parts_sends_them", |s| parts::sent(s).boxed())]
}

/// Somebody with git, git-lfs and a checkout.
struct Person {
    machine: Machine,
    origin: PathBuf,
}

impl Person {
    /// With git-lfs set up for all repositories, as its own `install` does.
    async fn new(stack: &Arc<Stack>, client: Client, name: &str) -> Self {
        let person =
            Self { machine: Machine::new(stack, client, name), origin: stack.folder().join("origin.git") };
        for (key, value) in [
            ("user.name", name),
            ("user.email", "somebody@example.org"),
            ("init.defaultBranch", "main"),
            ("advice.detachedHead", "false"),
            // Two replicas and four trials share the cores.
            ("lfs.concurrenttransfers", "4"),
        ] {
            person.git(".", &["config", "--global", key, value]).await;
        }
        person.git(".", &["lfs", "install", "--skip-repo"]).await;
        person
    }

    /// With a name and a secret that git's helper keeps, and forgets where they are wrong.
    async fn with(&self, login: &Login, server: &Server) -> &Self {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let host = super::host(server.base_url());
        let line = format!("http://{}:{}@{host}\n", encoded(&login.name), encoded(&login.secret));
        let file = self.machine.home.join("credentials");
        fs::write(&file, line).expect("a file of our own");
        let helper = format!("store --file={}", file.display());
        self.git(".", &["config", "--global", "credential.helper", &helper]).await;
        self
    }

    fn command(&self, folder: &str, arguments: &[&str]) -> Command {
        let program = self.machine.client.program(&Servers::from_environment()).map(Path::to_owned);
        let program = program.expect("a trial whose client is missing is only run when somebody asks for it");
        let search = std::env::var_os("PATH").unwrap_or_default();
        let folders = program.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&search));
        let mut command = self.machine.stack.program(Path::new("git"));
        command.env("PATH", std::env::join_paths(folders).expect("no path with a colon"));
        command.env("HOME", &self.machine.home).env("TMPDIR", &self.machine.home);
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
        command.current_dir(self.machine.home.join(folder)).args(arguments);
        command
    }

    /// What git prints, in a folder of the home.
    async fn git(&self, folder: &str, arguments: &[&str]) -> String {
        self.machine.done(&mut self.command(folder, arguments)).await
    }

    /// What git complains of.
    async fn git_refused(&self, folder: &str, arguments: &[&str]) -> String {
        self.machine.refused(&mut self.command(folder, arguments)).await
    }

    /// A checkout whose objects go to `lfs_url`, with a host for it to be pushed to.
    async fn begin(&self, lfs_url: &str) {
        let origin = self.origin.display().to_string();
        self.git(".", &["init", "--bare", &origin]).await;
        self.git(".", &["init", WORK]).await;
        self.git(WORK, &["remote", "add", "origin", &origin]).await;
        self.write(LFS_CONFIG, format!("[lfs]\n\turl = {lfs_url}\n").as_bytes());
        self.git(WORK, &["lfs", "track", "*.bin"]).await;
        self.commit().await;
    }

    async fn clone(&self) {
        self.git(".", &["clone", &self.origin.display().to_string(), WORK]).await;
    }

    async fn commit(&self) {
        self.git(WORK, &["add", "--all"]).await;
        self.git(WORK, &["commit", "--quiet", "--message", "more"]).await;
    }

    async fn push(&self) -> String {
        let pushed = self.machine.run(&mut self.command(WORK, &["push", "origin", "main"])).await;
        assert_eq!(pushed.code, Some(0), "{}{}", pushed.stdout, pushed.stderr);
        pushed.stderr
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.home.join(WORK).join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).expect("a file of our own");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect(name)
    }
}

/// Where the objects of [`NAME`] go at a server.
fn lfs_url(base_url: &str) -> String {
    format!("{}/{NAME}/info/lfs", base_url.trim_end_matches('/'))
}
