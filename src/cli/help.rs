//! The first page of `--help`: commands by what they are for, and not thirty in a row.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::Cli;

const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Files and images",
        &[
            "login",
            "logout",
            "put",
            "get",
            "push",
            "pull",
            "copy",
            "ls",
            "tags",
            "tag",
            "inspect",
            "referrers",
            "rm",
        ],
    ),
    ("Git LFS", &["lfs", "lfs-agent", "lfs-authenticate"]),
    ("The service", &["serve", "quickstart", "doctor", "migrate", "cleanup", "gc", "verify"]),
    ("Administration", &["user", "project", "robot", "config"]),
    ("This program", &["completions", "man", "help"]),
];

/// The command line, as it is shown.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let commands = listed(&command);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{commands}Options:\n{{options}}{{after-help}}"
    );
    command.help_template(template)
}

fn listed(command: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        // A string takes whatever is written to it.
        let _ = writeln!(text, "{heading}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map_or_else(|| "Show the help of a command".to_owned(), ToString::to_string);
            let first = about.lines().next().unwrap_or_default();
            let _ = writeln!(text, "  {name:<12} {first}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let command = Cli::command();
        let mut shown: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        shown.retain(|name| *name != "help");
        let mut known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        shown.sort_unstable();
        known.sort_unstable();
        assert_eq!(shown, known);
        let help = super::command().render_help().to_string();
        assert!(help.contains("Administration:\n  user ") && help.contains("Usage: overside"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 110), "{help}");
    }
}
