//! `overside robot`

use serde_json::{Value, json};

use super::accounts::{BATCH, Common, moment, yes_or_no};
use crate::domain::access::{Actions, Caller, ProjectName};
use crate::domain::account::RobotName;
use crate::domain::audit::{Operation, ResourceType};
use crate::service::{NewRobot, Service};

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
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only those of this project
    project: Option<ProjectName>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct NameArgs {
    /// `robot$PROJECT+NAME`; the shell leaves it alone within single quotes
    robot: RobotName,
    #[command(flatten)]
    common: Common,
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
    let service = args.common.open().await?;
    let robot = NewRobot {
        name: RobotName::new(args.project, &args.name)?,
        description: args.description,
        actions: args.actions,
        days: args.days,
    };
    let (robot, secret) = service.create_robot(robot).await?;
    record(&service, Operation::Create, &robot.name).await;
    let (name, secret) = (robot.name.to_string(), secret.reveal());
    let json = json!({ "id": robot.id, "name": name, "expires_at": robot.expires_at, "secret": secret });
    args.common.say(&json, &format!("made {name}, secret {secret} (not shown again)"));
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let mut rows: Vec<([String; 5], Value)> = Vec::new();
    loop {
        let window = (BATCH, rows.len() as u64);
        let (robots, total) = service.robots(&Caller::UNCHECKED, args.project.clone(), window).await?;
        let is_end = robots.is_empty();
        rows.extend(robots.into_iter().map(|robot| {
            let name = robot.name.to_string();
            let json = json!({
                "id": robot.id, "name": name, "description": robot.description, "disable": robot.is_disabled,
                "actions": robot.actions.iter().collect::<Vec<_>>(), "creation_time": robot.created_at,
                "expires_at": robot.expires_at,
            });
            let (may, until) = (robot.actions.to_string(), moment(robot.expires_at));
            ([name, may, until, yes_or_no(robot.is_disabled), robot.description], json)
        }));
        if is_end || rows.len() as u64 >= total {
            break;
        }
    }
    args.common.table(["NAME", "MAY", "EXPIRES", "DISABLED", "DESCRIPTION"], &rows);
    Ok(())
}

async fn revoke(args: NameArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let robot = service.robot_by_name(&args.robot).await?;
    service.delete_robot(robot.id).await?;
    record(&service, Operation::Delete, &args.robot).await;
    let name = args.robot.to_string();
    args.common.say(&json!({ "id": robot.id, "name": name }), &format!("revoked {name}"));
    Ok(())
}

async fn rotate(args: NameArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let robot = service.robot_by_name(&args.robot).await?;
    let secret = service.rotate_robot(robot.id).await?;
    record(&service, Operation::Update, &args.robot).await;
    let (name, secret) = (args.robot.to_string(), secret.reveal());
    args.common.say(
        &json!({ "id": robot.id, "name": name, "secret": secret }),
        &format!("{name}'s secret is {secret} (not shown again)"),
    );
    Ok(())
}

async fn record(service: &Service, operation: Operation, robot: &RobotName) {
    let (kind, project) = (ResourceType::Robot, robot.project.clone());
    service.record(&Caller::UNCHECKED, operation, kind, robot.to_string(), Some(project)).await;
}
