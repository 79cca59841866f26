//! `overside project list` and `show`

use serde_json::Value;

use crate::cli::admin::{AdminArgs, moment, query, text, yes_or_no};
use crate::domain::access::ProjectName;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    /// Only those with this in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShowArgs {
    name: ProjectName,
    #[command(flatten)]
    admin_args: AdminArgs,
}

pub(super) async fn list(args: ListArgs) -> anyhow::Result<()> {
    let projects = format!("projects?name={}", query(&args.name));
    let projects = args.admin_args.api().await?.list(&projects).await?;
    let heading = ["NAME", "PUBLIC", "REPOSITORIES", "STORAGE LIMIT", "TAG LIMIT", "SINCE"];
    args.admin_args.table(heading, &projects, |project| {
        [
            text(project, "name"),
            yes_or_no(is_public(project)),
            text(project, "repo_count"),
            limit(project, "storage_limit"),
            limit(project, "count_limit"),
            moment(project, "creation_time"),
        ]
    })
}

pub(super) async fn show(args: ShowArgs) -> anyhow::Result<()> {
    let project = args.admin_args.api().await?.get(&format!("projects/{}", args.name)).await?;
    let owner = text(&project, "owner_name");
    let sentence = format!(
        "{}: {}, {} repositories, storage limit {}, tag limit {}, made {} by {}",
        args.name,
        if is_public(&project) { "public" } else { "private" },
        text(&project, "repo_count"),
        limit(&project, "storage_limit"),
        limit(&project, "count_limit"),
        moment(&project, "creation_time"),
        if owner.is_empty() { "the command line" } else { &owner },
    );
    args.admin_args.say(&project, &sentence)
}

fn is_public(project: &Value) -> bool {
    project.pointer("/metadata/public").is_some_and(|public| public == "true")
}

/// A number, or `none` for -1.
fn limit(project: &Value, field: &str) -> String {
    if project[field] == -1 { "none".to_owned() } else { text(project, field) }
}
