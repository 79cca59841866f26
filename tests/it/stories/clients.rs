//! Stock clients, as people have them: skopeo, and two for Python that share no code with it or with each other.

mod dxf;
mod oras;
pub mod skopeo;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::support::process::Server;
use crate::support::stack::CommandOutput;
use crate::support::trial::Story;
use crate::support::{Servers, Stack};

/// A name with several segments, of which clients have views of their own.
const NAME: &str = "team/app/model";

/// What has to be installed for a story.
#[derive(Debug, Clone, Copy)]
pub enum Client {
    Skopeo,
    Python,
}

impl Client {
    pub fn program(self, servers: &Servers) -> Option<&Path> {
        match self {
            Self::Skopeo => servers.skopeo.as_deref(),
            Self::Python => servers.python.as_deref(),
        }
    }
}

/// Every story with the client that it needs.
pub fn cases() -> [(Client, Vec<Story>); 3] {
    [(Client::Skopeo, skopeo::cases()), (Client::Python, oras::cases()), (Client::Python, dxf::cases())]
}

/// One person's machine: what a client remembers between two runs, it keeps in a home of its own.
#[derive(Debug)]
struct Machine {
    stack: Arc<Stack>,
    client: Client,
    home: PathBuf,
}

impl Machine {
    fn new(stack: &Arc<Stack>, client: Client, name: &str) -> Self {
        let home = stack.folder().join(name);
        std::fs::create_dir(&home).expect("a folder of our own");
        Self { stack: Arc::clone(stack), client, home }
    }

    fn command(&self) -> Command {
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

    /// What it printed, if it ended well.
    async fn done(&self, command: &mut Command) -> String {
        let done = self.run(command).await;
        assert_eq!(done.code, Some(0), "{command:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// What it complained of, if it failed by itself.
    async fn refused(&self, command: &mut Command) -> String {
        let done = self.run(command).await;
        assert!(done.code.is_some_and(|code| code != 0), "{command:?}: {}{}", done.stdout, done.stderr);
        done.stderr
    }
}

/// `127.0.0.1:5000`, as clients take it.
fn host(base_url: &str) -> &str {
    base_url.trim_end_matches('/').rsplit('/').next().expect("a host")
}

fn json(text: &str) -> Value {
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
