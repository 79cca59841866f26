//! `overside lfs`: what git-lfs is told of this program, and what it runs of it.

pub(super) mod agent;
pub(super) mod authenticate;
mod install;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum LfsCommand {
    Install(install::InstallArgs),
}

pub fn run(command: LfsCommand) -> anyhow::Result<()> {
    match command {
        LfsCommand::Install(args) => install::run(&args),
    }
}
