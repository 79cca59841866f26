//! `overside lfs install`

use std::process::Command;

use anyhow::{Context, bail};

/// What git-lfs calls this agent, to servers too.
const SECTION: &str = "lfs.customtransfer.overside";

/// Have git-lfs send large objects in parts, several at a time
///
/// Writes to git's configuration that `overside lfs-agent` sends what goes to Overside, whenever a push has an object of
/// 100 MiB or more. Other servers do not know this way, and get what they always got. To undo it:
/// `git config --global --remove-section lfs.customtransfer.overside`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// For the repository in this folder alone
    #[arg(long)]
    local: bool,
}

pub fn run(args: &InstallArgs) -> anyhow::Result<()> {
    let scope = if args.local { "--local" } else { "--global" };
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let program =
        program.to_str().context("the path of this program is not UTF-8, which git needs it to be")?;
    for (name, value) in [("path", program), ("args", "lfs-agent"), ("direction", "upload")] {
        let status =
            Command::new("git").args(["config", scope, &format!("{SECTION}.{name}"), value]).status();
        let status = status.context("cannot run git; install it, and git-lfs with it")?;
        if !status.success() {
            bail!("git config ended with {status}");
        }
    }
    say!("git-lfs sends large objects with {program}");
    Ok(())
}
