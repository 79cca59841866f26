//! `overside project member`

use serde_json::{Value, json};

use crate::cli::accounts::{BATCH, Common};
use crate::domain::access::{Caller, ProjectName, ProjectReference, Role};
use crate::domain::account::UserName;
use crate::domain::audit::{Operation, ResourceType};
use crate::service::Service;

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
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    project: ProjectName,
    user: UserName,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    project: ProjectName,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: MemberCommand) -> anyhow::Result<()> {
    match command {
        MemberCommand::Set(args) => set(args).await,
        MemberCommand::Remove(args) => remove(args).await,
        MemberCommand::List(args) => list(args).await,
    }
}

async fn set(args: SetArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    service.set_member(&ProjectReference::Name(args.project.clone()), &args.user, args.role).await?;
    record(&service, Operation::Update, &args.user, &args.project).await;
    let json = json!({ "project": args.project, "username": args.user, "role": args.role });
    args.common.say(&json, &format!("{} is {} of {} now", args.user, args.role, args.project));
    Ok(())
}

async fn remove(args: RemoveArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    service.remove_user_from(&ProjectReference::Name(args.project.clone()), &args.user).await?;
    record(&service, Operation::Delete, &args.user, &args.project).await;
    let json = json!({ "project": args.project, "username": args.user });
    args.common.say(&json, &format!("took {} out of {}", args.user, args.project));
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let project = ProjectReference::Name(args.project);
    let mut rows: Vec<([String; 2], Value)> = Vec::new();
    loop {
        let (members, total) = service.members(&project, BATCH, rows.len() as u64).await?;
        let is_end = members.is_empty();
        rows.extend(members.into_iter().map(|member| {
            let json = json!({
                "id": member.id, "user_id": member.user_id, "username": member.user_name, "role": member.role,
            });
            ([member.user_name, member.role.to_string()], json)
        }));
        if is_end || rows.len() as u64 >= total {
            break;
        }
    }
    args.common.table(["USER", "ROLE"], &rows);
    Ok(())
}

async fn record(service: &Service, operation: Operation, user: &UserName, project: &ProjectName) {
    let kind = ResourceType::Member;
    service.record(&Caller::UNCHECKED, operation, kind, user.as_str(), Some(project.clone())).await;
}
