//! Our own client on somebody's machine: what it prints, and how it ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use super::Stack;
use super::stack::CommandOutput;

/// A machine's home: there the client runs, and keeps what it remembers between two runs.
#[derive(Debug, Clone)]
pub struct CommandLine {
    stack: Arc<Stack>,
    home: PathBuf,
    server: String,
}

impl CommandLine {
    /// Names without a host are on this server.
    pub fn new(stack: &Arc<Stack>, name: &str, server: &str) -> Self {
        let home = stack.folder().join(name);
        std::fs::create_dir(&home).expect("a folder of our own");
        Self { stack: Arc::clone(stack), home, server: server.to_owned() }
    }

    /// The same machine, where names without a host are on another server.
    pub fn at(&self, server: &str) -> Self {
        Self { server: server.to_owned(), ..self.clone() }
    }

    pub fn stack(&self) -> &Arc<Stack> {
        &self.stack
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stack.program(Path::new(env!("CARGO_BIN_EXE_overside")));
        command.current_dir(&self.home).env("HOME", &self.home).env("OVERSIDE_SERVER", &self.server);
        command.args(arguments);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.stack.run(&mut self.command(arguments)).await
    }

    /// What it printed, if it ended well: without a terminal that is all that it says.
    pub async fn done(&self, arguments: &[&str]) -> String {
        quiet(arguments, self.run(arguments).await)
    }

    /// The last `result` that it printed with `--json`, if it ended well.
    pub async fn result(&self, arguments: &[&str]) -> Value {
        let printed = self.done(&[arguments, &["--json"]].concat()).await;
        let result = events(&printed).into_iter().rfind(|event| event["event"] == "result");
        result.unwrap_or_else(|| panic!("no result: {printed}"))
    }

    pub async fn done_with_input(&self, input: &[u8], arguments: &[&str]) -> String {
        quiet(arguments, self.stack.run_with_input(input, &self.command(arguments)).await)
    }

    /// What it complained of, if it ended with this code and printed no result.
    pub async fn failed(&self, code: i32, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{arguments:?}: {}", done.stderr);
        done.stderr
    }

    pub async fn login(&self, registry: &str, name: &str, secret: &str) -> CommandOutput {
        let command = self.command(&["login", registry, "--username", name, "--password-stdin"]);
        self.stack.run_with_input(secret, &command).await
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Writes a file, and makes its folders.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders of our own");
        std::fs::write(path, content).expect("a file of our own");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

#[track_caller]
fn quiet(arguments: &[&str], done: CommandOutput) -> String {
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}: {}", done.stdout);
    done.stdout
}

/// What `--json` printed: a JSON object a line.
#[track_caller]
pub fn events(printed: &str) -> Vec<Value> {
    let parsed = printed.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event.is_object(), "{event}");
        event
    });
    parsed.collect()
}

/// The digest that a line of output begins with.
#[track_caller]
pub fn digest(line: &str) -> &str {
    let word = line.split_whitespace().next().unwrap_or_default();
    assert!(word.starts_with("sha256:"), "{line}");
    word
}

/// `127.0.0.1:5000`
pub fn host(base_url: &str) -> &str {
    base_url.trim_end_matches('/').rsplit('/').next().expect("a host")
}
