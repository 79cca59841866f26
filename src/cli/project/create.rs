//! `overside project create`, `update` and `delete`

use serde_json::{Value, json};

use crate::cli::admin::{AdminArgs, new_id};
use crate::domain::access::ProjectName;
use crate::domain::project::QuotaLimit;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    name: ProjectName,
    /// Whoever asks may pull
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    admin_args: AdminArgs,
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
    admin_args: AdminArgs,
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
    admin_args: AdminArgs,
}

impl LimitArgs {
    /// What is not said stays as it is, or as it is by default.
    fn with(self, public: Option<bool>) -> Value {
        let limit = |limit: Option<QuotaLimit>| limit.map(QuotaLimit::get);
        json!({
            "public": public, "storage_limit": limit(self.storage_limit), "count_limit": limit(self.count_limit),
        })
    }
}

pub(super) async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let CreateArgs { name, public, limits, admin_args } = args;
    let mut project = limits.with(Some(public));
    project["project_name"] = name.as_str().into();
    let id = new_id(&admin_args.api().await?.post("projects", &project).await?);
    admin_args.say(&json!({ "project_id": id, "name": name }), &format!("made project {name}"))
}

pub(super) async fn update(args: UpdateArgs) -> anyhow::Result<()> {
    let UpdateArgs { name, public, limits, admin_args } = args;
    admin_args.api().await?.put(&format!("projects/{name}"), &limits.with(public)).await?;
    admin_args.say(&json!({ "name": name }), &format!("updated project {name}"))
}

pub(super) async fn delete(args: DeleteArgs) -> anyhow::Result<()> {
    let DeleteArgs { name, admin_args } = args;
    admin_args.api().await?.delete(&format!("projects/{name}")).await?;
    admin_args.say(&json!({ "name": name }), &format!("deleted project {name}"))
}
