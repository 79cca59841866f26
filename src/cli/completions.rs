//! `overside completions`

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// Print a shell's completions of these commands
///
/// For Bash: `overside completions bash > ~/.local/share/bash-completion/completions/overside`. For Zsh: into a file
/// `_overside` in a folder of `$fpath`. For Fish: into `~/.config/fish/completions/overside.fish`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    std::io::stdout().write_all(&script(args.shell)).context("cannot write to standard output")
}

/// Made in memory first: what makes it panics where it cannot write, and a closed pipe is nothing to panic at.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::{Command, ValueEnum};

    use super::*;

    #[test]
    fn every_shell_hears_of_every_command_and_flag() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8_lossy(&script(*shell)).into_owned();
            assert_names(*shell, &script, &Cli::command(), 0);
        }
    }

    /// What is made for Fish knows the flags of two levels of commands: `clap_complete` goes no deeper.
    fn assert_names(shell: Shell, script: &str, command: &Command, level: usize) {
        let is_known = shell != Shell::Fish || level <= 2;
        for flag in command.get_arguments().filter_map(clap::Arg::get_long).filter(|_| is_known) {
            assert!(script.contains(flag), "{shell}: --{flag}");
        }
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            assert_names(shell, script, command, level + 1);
        }
    }
}
