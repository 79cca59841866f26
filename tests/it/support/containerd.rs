//! containerd's library as a client, in the program of `scripts/testing/containerd`: with other names it sends what Docker,
//! `BuildKit` and nerdctl send, which push with it too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::accounts::Login;
use super::layout::Layout;
use super::servers::Servers;
use super::stack::{CommandOutput, Stack};

/// Which of them: the names that `scripts/testing/clients.py` installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The newest.
    Newest,
    /// The oldest line whose push is done when a bucket has answered 200.
    V2_2,
    /// The last one that then misses `Docker-Content-Digest` and fails.
    V2_1,
}

impl Version {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Newest => "containerd",
            Self::V2_2 => "containerd_2_2",
            Self::V2_1 => "containerd_2_1",
        }
    }
}

/// How a layer is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// In one request, as the daemon does where its configuration says nothing.
    Whole,
    /// In ranges of so many bytes, several at a time (`concurrent_layer_fetch_buffer`).
    Ranges(usize),
}

#[derive(Debug)]
pub struct Containerd {
    stack: Arc<Stack>,
    program: PathBuf,
    login: Option<Login>,
}

impl Containerd {
    pub fn new(stack: &Arc<Stack>, version: Version) -> Self {
        let servers = Servers::from_environment();
        let program = servers.clients.get(version.name());
        let program = program.expect("a trial whose client is missing is only run when somebody asks for it");
        Self { stack: Arc::clone(stack), program: program.clone(), login: None }
    }

    /// The same one, for somebody.
    pub fn signed_in(self, login: &Login) -> Self {
        Self { login: Some(login.clone()), ..self }
    }

    /// Pushes a layout's image to `127.0.0.1:5000/team/app:v1`, as its daemon or under another name.
    pub async fn push(&self, layout: &Layout, reference: &str, user_agent: Option<&str>) -> CommandOutput {
        let mut command = self.command(user_agent);
        self.stack.run(command.args(["push", layout.folder(), reference])).await
    }

    /// Pulls an image into a folder, which becomes a layout of it. What an earlier pull left there is gone on with.
    pub async fn pull(&self, reference: &str, folder: &Path, fetch: Fetch) -> CommandOutput {
        let mut command = self.command(None);
        if let Fetch::Ranges(bytes) = fetch {
            command.arg(format!("--chunk={bytes}"));
        }
        self.stack.run(command.args(["pull", reference]).arg(folder)).await
    }

    fn command(&self, user_agent: Option<&str>) -> Command {
        let mut command = self.stack.program(&self.program);
        if let Some(user_agent) = user_agent {
            command.arg(format!("--user-agent={user_agent}"));
        }
        if let Some(Login { name, secret }) = &self.login {
            command.arg(format!("--user={name}:{secret}"));
        }
        command
    }
}
