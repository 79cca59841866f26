//! `overside project create`, `update` and `delete`

use serde_json::json;

use crate::cli::accounts::Common;
use crate::domain::access::{Caller, ProjectName, ProjectReference};
use crate::domain::audit::{Operation, ResourceType};
use crate::domain::project::{ProjectChanges, QuotaLimit};
use crate::service::Service;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    name: ProjectName,
    /// Whoever asks may pull
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpdateArgs {
    name: ProjectName,
    /// Whether whoever asks may pull
    #[arg(long, value_name = "BOOL")]
    public: Option<bool>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct LimitArgs {
    /// Most bytes, like 10GiB; -1 for no limit
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    storage_limit: Option<QuotaLimit>,
    /// Most tags; -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    count_limit: Option<QuotaLimit>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeleteArgs {
    name: ProjectName,
    #[command(flatten)]
    common: Common,
}

impl LimitArgs {
    const fn with(self, is_public: Option<bool>) -> ProjectChanges {
        ProjectChanges { is_public, storage_limit: self.storage_limit, count_limit: self.count_limit }
    }
}

pub(super) async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let settings = args.limits.with(Some(args.public));
    let id = service.create_project(&Caller::UNCHECKED, args.name.clone(), &settings).await?;
    record(&service, Operation::Create, &args.name).await;
    let json = json!({ "project_id": id, "name": args.name });
    args.common.say(&json, &format!("made project {}", args.name));
    Ok(())
}

pub(super) async fn update(args: UpdateArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let project = ProjectReference::Name(args.name.clone());
    service.update_project(&Caller::UNCHECKED, &project, &args.limits.with(args.public)).await?;
    record(&service, Operation::Update, &args.name).await;
    args.common.say(&json!({ "name": args.name }), &format!("updated project {}", args.name));
    Ok(())
}

pub(super) async fn delete(args: DeleteArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    service.delete_project(&ProjectReference::Name(args.name.clone())).await?;
    record(&service, Operation::Delete, &args.name).await;
    args.common.say(&json!({ "name": args.name }), &format!("deleted project {}", args.name));
    Ok(())
}

async fn record(service: &Service, operation: Operation, project: &ProjectName) {
    let kind = ResourceType::Project;
    service.record(&Caller::UNCHECKED, operation, kind, project.to_string(), Some(project.clone())).await;
}
