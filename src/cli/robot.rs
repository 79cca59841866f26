//! `overside robot`

use serde_json::{Value, json};

use super::admin::{AdminArgs, Api, moment, text};
use crate::domain::access::{Actions, ProjectName};
use crate::domain::account::RobotName;

#[derive(Debug, clap::Subcommand)]
pub(super) enum RobotCommand {
    /// Make a robot and show its secret once
    Create(CreateArgs),
    /// List robots
    List(ListArgs),
    /// Delete a robot: its secret is worthless at once
    Revoke(NameArgs),
    /// Give a robot another secret, shown once; the old one is worthless at once
    Rotate(NameArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    project: ProjectName,
    /// Within the project; the robot signs in as `robot$PROJECT+NAME`
    name: String,
    /// Of pull, push and delete, with commas
    #[arg(long, default_value = "pull")]
    actions: Actions,
    /// Days until it expires; -1 for never
    #[arg(long, default_value_t = 30, allow_negative_numbers = true)]
    days: i64,
    /// What it is for, for whoever reads the list
    #[arg(long, default_value = "")]
    description: String,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only those of this project
    project: Option<ProjectName>,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct NameArgs {
    /// `robot$PROJECT+NAME`; the shell leaves it alone within single quotes
    robot: RobotName,
    #[command(flatten)]
    admin_args: AdminArgs,
}

pub(super) async fn run(command: RobotCommand) -> anyhow::Result<()> {
    match command {
        RobotCommand::Create(args) => create(args).await,
        RobotCommand::List(args) => list(args).await,
        RobotCommand::Revoke(args) => revoke(args).await,
        RobotCommand::Rotate(args) => rotate(args).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let CreateArgs { project, name, actions, days, description, admin_args } = args;
    let access: Vec<_> =
        actions.iter().map(|action| json!({ "resource": "repository", "action": action })).collect();
    let robot = json!({
        "name": name, "description": description, "duration": days, "level": "project",
        "permissions": [{ "kind": "project", "namespace": project, "access": access }],
    });
    let made = admin_args.api().await?.post("robots", &robot).await?.json;
    let [name, secret] = ["name", "secret"].map(|field| text(&made, field));
    admin_args.say(&made, &format!("made {name}, secret {secret} (not shown again)"))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let project = args.project.map_or_else(String::new, |project| format!("?project={project}"));
    let robots = args.admin_args.api().await?.list(&format!("robots{project}")).await?;
    args.admin_args.table(["NAME", "MAY", "EXPIRES", "DISABLED", "DESCRIPTION"], &robots, |robot| {
        let access = robot.pointer("/permissions/0/access").and_then(Value::as_array).into_iter().flatten();
        let may = access.map(|access| text(access, "action")).collect::<Vec<_>>().join(",");
        let [name, disabled, description] =
            ["name", "disable", "description"].map(|field| text(robot, field));
        [name, may, moment(robot, "expires_at"), disabled, description]
    })
}

async fn revoke(args: NameArgs) -> anyhow::Result<()> {
    let api = args.admin_args.api().await?;
    let id = id(&api, &args.robot).await?;
    api.delete(&format!("robots/{id}")).await?;
    let name = args.robot.to_string();
    args.admin_args.say(&json!({ "id": id, "name": name }), &format!("revoked {name}"))
}

async fn rotate(args: NameArgs) -> anyhow::Result<()> {
    let api = args.admin_args.api().await?;
    let id = id(&api, &args.robot).await?;
    let secret = text(&api.patch(&format!("robots/{id}"), &json!({})).await?, "secret");
    let name = args.robot.to_string();
    let json = json!({ "id": id, "name": name, "secret": secret });
    args.admin_args.say(&json, &format!("{name}'s secret is {secret} (not shown again)"))
}

async fn id(api: &Api, robot: &RobotName) -> anyhow::Result<Value> {
    let robots = api.list(&format!("robots?project={}", robot.project)).await?;
    Ok(super::admin::find(robots, "name", &robot.to_string(), "robot")?["id"].clone())
}
