//! `overside man`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Cli;

/// Write the manual: one page for each command
///
/// Into `~/.local/share/man/man1`, or `/usr/local/share/man/man1` for everybody: then `man overside-put` shows it.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Folder for the pages; it is made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &ManArgs) -> anyhow::Result<()> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("cannot create {folder}"))?;
    let pages = write(&manual(), &args.folder).with_context(|| format!("cannot write to {folder}"))?;
    say!("{pages} pages are in {folder}");
    Ok(())
}

/// The commands, each of which knows its full name.
fn manual() -> Command {
    // `help` has nothing to say that a page does not.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// How many pages were written.
fn write(command: &Command, folder: &Path) -> std::io::Result<usize> {
    let mut pages = 1;
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages += write(command, folder)?;
    }
    let page = Man::new(command.clone());
    page.source(concat!("Overside ", env!("CARGO_PKG_VERSION"))).manual("Overside").generate_to(folder)?;
    Ok(pages)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_flags() {
        let folder = tempfile::tempdir().unwrap();
        let pages = write(&manual(), folder.path()).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), pages);
        assert_page(&manual(), "overside", folder.path());
        assert!(folder.path().join("overside-user-token-create.1").exists());
    }

    fn assert_page(command: &Command, name: &str, folder: &Path) {
        let page = std::fs::read_to_string(folder.join(format!("{name}.1"))).unwrap().replace(r"\-", "-");
        assert!(page.contains(&format!("\n{name} - ")), "{name} says what it is for:\n{page}");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let (flag, help) = (argument.get_long(), argument.get_help());
            assert!(flag.is_none_or(|flag| page.contains(&format!("--{flag}"))), "{name}: {flag:?}");
            assert!(help.is_some() || flag.is_none(), "{name}: what is {flag:?}?");
        }
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            assert_page(command, &format!("{name}-{}", command.get_name()), folder);
        }
    }
}
