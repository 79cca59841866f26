//! `overside project`: what belongs to the first segment of repositories' names.

mod usage;

use clap::Subcommand;

/// Look after projects: all repositories whose names begin alike, up to the first '/'.
#[derive(Debug, clap::Args)]
pub(super) struct ProjectArgs {
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectCommand {
    Usage(usage::UsageArgs),
}

pub(super) async fn run(args: ProjectArgs) -> anyhow::Result<()> {
    match args.command {
        ProjectCommand::Usage(args) => usage::run(args).await,
    }
}
