//! `overside project list` and `show`

use serde_json::{Value, json};

use crate::cli::accounts::{BATCH, Common, moment, yes_or_no};
use crate::domain::access::{Caller, ProjectName, ProjectReference};
use crate::domain::project::QuotaLimit;
use crate::service::ProjectDescription;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    /// Only those with this in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShowArgs {
    name: ProjectName,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn list(args: ListArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let mut rows: Vec<([String; 6], Value)> = Vec::new();
    loop {
        let window = (BATCH, rows.len() as u64);
        let (projects, total) = service.projects(&Caller::UNCHECKED, (&args.name, None), window).await?;
        let is_end = projects.is_empty();
        rows.extend(projects.into_iter().map(|project| {
            let json = as_json(&project);
            let ProjectDescription { project, repositories, .. } = project;
            let cells = [
                project.name.to_string(),
                yes_or_no(project.is_public),
                repositories.to_string(),
                limit(project.storage_limit),
                limit(project.count_limit),
                moment(Some(project.created_at)),
            ];
            (cells, json)
        }));
        if is_end || rows.len() as u64 >= total {
            break;
        }
    }
    args.common.table(["NAME", "PUBLIC", "REPOSITORIES", "STORAGE LIMIT", "TAG LIMIT", "SINCE"], &rows);
    Ok(())
}

pub(super) async fn show(args: ShowArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let described = service.project(&Caller::UNCHECKED, &ProjectReference::Name(args.name)).await?;
    let json = as_json(&described);
    let ProjectDescription { project, repositories, .. } = described;
    let text = format!(
        "{}: {}, {repositories} repositories, storage limit {}, tag limit {}, made {} by {}",
        project.name,
        if project.is_public { "public" } else { "private" },
        limit(project.storage_limit),
        limit(project.count_limit),
        moment(Some(project.created_at)),
        if project.owner_name.is_empty() { "the command line" } else { &project.owner_name },
    );
    args.common.say(&json, &text);
    Ok(())
}

fn as_json(described: &ProjectDescription) -> Value {
    let project = &described.project;
    json!({
        "project_id": project.id, "name": project.name, "owner_name": project.owner_name, "public": project.is_public,
        "repo_count": described.repositories, "storage_limit": project.storage_limit.get(),
        "count_limit": project.count_limit.get(), "creation_time": project.created_at,
        "update_time": project.updated_at,
    })
}

fn limit(limit: QuotaLimit) -> String {
    if limit == QuotaLimit::NONE { "none".to_owned() } else { limit.to_string() }
}
