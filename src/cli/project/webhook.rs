//! `overside project webhook`

use serde_json::{Value, json};

use crate::cli::admin::{AdminArgs, Api, find, text};
use crate::cli::login::read_line;
use crate::domain::access::ProjectName;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum WebhookCommand {
    /// Have a URL told of what happens in a project
    Add(AddArgs),
    /// List a project's webhooks
    List(ListArgs),
    /// Remove a webhook, with the events that wait for it
    Rm(RmArgs),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    project: ProjectName,
    /// How it is told from the project's others
    name: String,
    /// Where events go: an http or https URL
    address: String,
    /// What to tell of, with commas between: `PUSH_ARTIFACT`, `PULL_ARTIFACT`, `DELETE_ARTIFACT`, `QUOTA_EXCEED`
    #[arg(long, value_delimiter = ',', default_value = "PUSH_ARTIFACT")]
    events: Vec<String>,
    /// What a body looks like: Harbor's JSON (`Default`), or `CloudEvents`
    #[arg(long, default_value = "Default")]
    format: String,
    /// Read the value of `Authorization` that deliveries carry from the first line of standard input
    #[arg(long)]
    auth_header_stdin: bool,
    /// Take any certificate of the receiver
    #[arg(long)]
    skip_cert_verify: bool,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    project: ProjectName,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RmArgs {
    project: ProjectName,
    name: String,
    #[command(flatten)]
    admin_args: AdminArgs,
}

pub(super) async fn run(command: WebhookCommand) -> anyhow::Result<()> {
    match command {
        WebhookCommand::Add(args) => add(args).await,
        WebhookCommand::List(args) => list(args).await,
        WebhookCommand::Rm(args) => rm(args).await,
    }
}

fn policies(project: &ProjectName) -> String {
    format!("projects/{project}/webhook/policies")
}

async fn webhooks(api: &Api, project: &ProjectName) -> anyhow::Result<Vec<Value>> {
    api.list(&policies(project)).await
}

async fn add(args: AddArgs) -> anyhow::Result<()> {
    let AddArgs { project, name, address, events, format, auth_header_stdin, skip_cert_verify, admin_args } =
        args;
    let auth_header = if auth_header_stdin { read_line()? } else { String::new() };
    let policy = json!({
        "name": name,
        "event_types": events,
        "targets": [{
            "type": "http",
            "address": address,
            "auth_header": auth_header,
            "skip_cert_verify": skip_cert_verify,
            "payload_format": format,
        }],
    });
    admin_args.api().await?.post(&policies(&project), &policy).await?;
    let json = json!({ "project": project, "name": name, "address": address, "event_types": events });
    admin_args.say(&json, &format!("{address} is told of {} in {project}", events.join(", ")))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let webhooks = webhooks(&args.admin_args.api().await?, &args.project).await?;
    args.admin_args.table(["NAME", "ADDRESS", "EVENTS", "ENABLED"], &webhooks, |webhook| {
        let events = webhook["event_types"].as_array().into_iter().flatten().filter_map(Value::as_str);
        [
            text(webhook, "name"),
            text(&webhook["targets"][0], "address"),
            events.collect::<Vec<_>>().join(","),
            text(webhook, "enabled"),
        ]
    })
}

async fn rm(args: RmArgs) -> anyhow::Result<()> {
    let RmArgs { project, name, admin_args } = args;
    let api = admin_args.api().await?;
    let webhook = find(webhooks(&api, &project).await?, "name", &name, "webhook")?;
    api.delete(&format!("{}/{}", policies(&project), webhook["id"])).await?;
    admin_args
        .say(&json!({ "project": project, "name": name }), &format!("removed webhook {name} of {project}"))
}
