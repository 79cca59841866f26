//! `overside project member`

use serde_json::{Value, json};

use crate::cli::admin::{AdminArgs, Api, find, text};
use crate::domain::access::{ProjectName, Role};
use crate::domain::account::UserName;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum MemberCommand {
    /// Make a user a member, or a member something else
    Set(SetArgs),
    /// Take a user out of a project
    Remove(RemoveArgs),
    /// List a project's members
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SetArgs {
    project: ProjectName,
    user: UserName,
    /// guest (pulls), developer (pushes), maintainer (deletes) or admin (members, robots); each may what the one
    /// before may
    role: Role,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    project: ProjectName,
    user: UserName,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    project: ProjectName,
    #[command(flatten)]
    admin_args: AdminArgs,
}

pub(super) async fn run(command: MemberCommand) -> anyhow::Result<()> {
    match command {
        MemberCommand::Set(args) => set(args).await,
        MemberCommand::Remove(args) => remove(args).await,
        MemberCommand::List(args) => list(args).await,
    }
}

async fn members(api: &Api, project: &ProjectName) -> anyhow::Result<Vec<Value>> {
    api.list(&format!("projects/{project}/members")).await
}

async fn set(args: SetArgs) -> anyhow::Result<()> {
    let SetArgs { project, user, role, admin_args } = args;
    let api = admin_args.api().await?;
    let members = members(&api, &project).await?;
    let change = json!({ "role_id": role.id(), "member_user": { "username": user } });
    match members.iter().find(|member| member["entity_name"] == user.as_str()) {
        Some(member) => api.put(&format!("projects/{project}/members/{}", member["id"]), &change).await?,
        None => drop(api.post(&format!("projects/{project}/members"), &change).await?),
    }
    let json = json!({ "project": project, "username": user, "role": role });
    admin_args.say(&json, &format!("{user} is {role} of {project} now"))
}

async fn remove(args: RemoveArgs) -> anyhow::Result<()> {
    let RemoveArgs { project, user, admin_args } = args;
    let api = admin_args.api().await?;
    let member = find(members(&api, &project).await?, "entity_name", user.as_str(), "member")?;
    api.delete(&format!("projects/{project}/members/{}", member["id"])).await?;
    let json = json!({ "project": project, "username": user });
    admin_args.say(&json, &format!("took {user} out of {project}"))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let members = members(&args.admin_args.api().await?, &args.project).await?;
    args.admin_args.table(["USER", "ROLE"], &members, |member| {
        [text(member, "entity_name"), text(member, "role_name").replace("projectAdmin", "admin")]
    })
}
