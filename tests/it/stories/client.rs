//! Our own client: the commands that push, pull and copy, against our own server and against others'.

mod copies;
mod counted;
mod files;
mod foreign;
mod images;
mod interrupted;
mod malformed;
mod tls;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::stack::CommandOutput;
use crate::support::trial::Story;
use crate::support::{Servers, Stack, StackKind};

/// A name with several segments.
const NAME: &str = "team/app/model";

/// What has to be there for a story, besides its stack.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    Nothing,
    Skopeo,
    /// Both foreign registries, and skopeo to look into them.
    Registries,
    /// The same, and no server of ours.
    RegistriesAlone,
}

impl Need {
    pub const fn is_there(self, servers: &Servers) -> bool {
        match self {
            Self::Nothing => true,
            Self::Skopeo => servers.skopeo.is_some(),
            Self::Registries | Self::RegistriesAlone => {
                servers.registry.is_some()
                    && servers.registry_with_password.is_some()
                    && servers.skopeo.is_some()
            }
        }
    }

    /// What meets no server of ours is told once: no database or store has a part in it.
    pub const fn stacks(self) -> &'static [StackKind] {
        match self {
            Self::RegistriesAlone => &[StackKind::SqliteFilesystem],
            _ => &StackKind::ALL,
        }
    }
}

/// Every story with what it needs.
pub fn cases() -> Vec<(Need, Vec<Story>)> {
    vec![
        (Need::Skopeo, images::cases()),
        (Need::Nothing, copies::cases()),
        (Need::Nothing, interrupted::cases()),
        (Need::Nothing, malformed::cases()),
        (Need::Registries, foreign::cases()),
        (Need::RegistriesAlone, foreign::cases_without_us()),
        (Need::Nothing, files::cases()),
        (Need::Nothing, tls::cases()),
    ]
}

/// The commands on somebody's machine, which knows of no server but this registry.
#[derive(Debug)]
struct Overside<'a> {
    stack: &'a Stack,
    registry: String,
}

impl<'a> Overside<'a> {
    fn at(stack: &'a Stack, registry: &str) -> Self {
        Self { stack, registry: registry.trim_end_matches('/').to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stack.program(Path::new(env!("CARGO_BIN_EXE_overside")));
        command.env("OVERSIDE_SERVER", &self.registry).args(arguments);
        command
    }

    async fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.stack.run(&mut self.command(arguments)).await
    }

    /// What it printed, if it ended well.
    async fn done(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// The last `result` that it printed with `--json`, if it ended well.
    async fn result(&self, arguments: &[&str]) -> Value {
        let printed = self.done(&[arguments, &["--json"]].concat()).await;
        let mut events = printed.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        let result = events.rfind(|event| event["event"] == "result");
        result.unwrap_or_else(|| panic!("no result: {printed}"))
    }

    /// What it complained of, if it failed as a command does that was well given.
    async fn refused(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert_eq!(done.code, Some(1), "{arguments:?}: {}{}", done.stdout, done.stderr);
        done.stderr
    }
}
