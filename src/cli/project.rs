//! `overside project`

mod create;
mod list;
mod member;
mod usage;
mod webhook;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ProjectCommand {
    /// Make a project
    Create(create::CreateArgs),
    /// List projects
    List(list::ListArgs),
    /// Show a project
    Show(list::ShowArgs),
    /// Change whether a project is public, or its limits
    Update(create::UpdateArgs),
    /// Delete a project that has no repository, with its members and robots
    Delete(create::DeleteArgs),
    Usage(usage::UsageArgs),
    /// Who is in a project
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Whom a project tells of what happens in it
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
}

pub(super) async fn run(command: ProjectCommand) -> anyhow::Result<()> {
    match command {
        ProjectCommand::Create(args) => create::create(args).await,
        ProjectCommand::List(args) => list::list(args).await,
        ProjectCommand::Show(args) => list::show(args).await,
        ProjectCommand::Update(args) => create::update(args).await,
        ProjectCommand::Delete(args) => create::delete(args).await,
        ProjectCommand::Usage(args) => usage::run(args).await,
        ProjectCommand::Member(command) => member::run(command).await,
        ProjectCommand::Webhook(command) => webhook::run(command).await,
    }
}
