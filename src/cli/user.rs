//! `overside user`

mod token;

use anyhow::bail;
use serde_json::{Value, json};

use super::accounts::{BATCH, Common, PasswordSource, moment, yes_or_no};
use crate::auth::password::Password;
use crate::domain::access::Caller;
use crate::domain::account::{FederatedIdentity, User, UserName};
use crate::domain::audit::{Operation, ResourceType};
use crate::service::{NewUser, Service};

#[derive(Debug, clap::Subcommand)]
pub(super) enum UserCommand {
    /// Make a user
    Create(CreateArgs),
    /// List users
    List(ListArgs),
    /// Give a user another password
    Passwd(PasswdArgs),
    /// Delete a user with their memberships and tokens; their blobs and images stay
    Delete(NameArgs),
    /// Let a user run the service, or no longer
    Admin(AdminArgs),
    /// What a user's programs sign in with
    #[command(subcommand)]
    Token(token::TokenCommand),
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    name: UserName,
    /// Lets the user run the service
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    password: PasswordSource,
    /// Whose OIDC tokens are this user's; then there is no password unless --password-stdin gives one
    #[arg(long, value_name = "URL", requires = "oidc_subject")]
    oidc_issuer: Option<String>,
    /// `sub` of those tokens
    #[arg(long, value_name = "SUBJECT", requires = "oidc_issuer")]
    oidc_subject: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswdArgs {
    name: UserName,
    #[command(flatten)]
    password: PasswordSource,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct NameArgs {
    name: UserName,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    name: UserName,
    /// No longer
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Create(args) => create(args).await,
        UserCommand::List(args) => list(args).await,
        UserCommand::Passwd(args) => passwd(args).await,
        UserCommand::Delete(args) => delete(args).await,
        UserCommand::Admin(args) => admin(args).await,
        UserCommand::Token(command) => token::run(command).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let identity = match args.oidc_issuer.zip(args.oidc_subject) {
        Some((issuer, subject)) => Some(FederatedIdentity::new(issuer, subject)?),
        None => None,
    };
    let has_password = identity.is_none() || args.password.password_stdin;
    let password = if has_password { Some(args.password.read()?) } else { None };
    let shown = password.as_ref().filter(|(_, is_shown)| *is_shown).map(|(password, _)| password.clone());
    let (name, is_admin) = (args.name.clone(), args.admin);
    let password = password.map(|(password, _)| password);
    let service = args.common.open().await?;
    let id = service.create_user(NewUser { name, password, is_admin, identity }).await?;
    record(&service, Operation::Create, &args.name).await;
    let shown = shown.as_ref().map(Password::reveal);
    let text = match shown {
        Some(password) => format!("made user {}, password {password} (not shown again)", args.name),
        None => format!("made user {}", args.name),
    };
    args.common.say(&json!({ "user_id": id, "username": args.name, "password": shown }), &text);
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let mut rows: Vec<([String; 4], Value)> = Vec::new();
    loop {
        let (users, total) = service.users(BATCH, rows.len() as u64).await?;
        let is_end = users.is_empty();
        rows.extend(users.into_iter().map(row));
        if is_end || rows.len() as u64 >= total {
            break;
        }
    }
    args.common.table(["NAME", "ADMINISTRATOR", "PASSWORD", "SINCE"], &rows);
    Ok(())
}

fn row(user: User) -> ([String; 4], Value) {
    let (issuer, subject) = user.identity.map(|identity| (identity.issuer, identity.subject)).unzip();
    let json = json!({
        "user_id": user.id, "username": user.name, "sysadmin_flag": user.is_admin,
        "has_password": user.has_password, "oidc_issuer": issuer, "oidc_subject": subject,
        "creation_time": user.created_at,
    });
    let since = moment(Some(user.created_at));
    ([user.name, yes_or_no(user.is_admin), yes_or_no(user.has_password), since], json)
}

async fn passwd(args: PasswdArgs) -> anyhow::Result<()> {
    let (password, is_shown) = args.password.read()?;
    let service = args.common.open().await?;
    let user = service.user_by_name(&args.name).await?;
    service.change_password(&Caller::UNCHECKED, user.id, None, password.clone()).await?;
    record(&service, Operation::Update, &args.name).await;
    let shown = is_shown.then(|| password.reveal());
    let text = match shown {
        Some(password) => format!("{}'s password is {password} (not shown again)", args.name),
        None => format!("{} has a new password", args.name),
    };
    args.common.say(&json!({ "user_id": user.id, "username": args.name, "password": shown }), &text);
    Ok(())
}

async fn delete(args: NameArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let user = service.user_by_name(&args.name).await?;
    service.delete_user(&Caller::UNCHECKED, user.id).await?;
    record(&service, Operation::Delete, &args.name).await;
    args.common
        .say(&json!({ "user_id": user.id, "username": args.name }), &format!("deleted user {}", args.name));
    Ok(())
}

async fn admin(args: AdminArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let user = service.user_by_name(&args.name).await?;
    if user.is_admin != args.revoke {
        bail!(
            "{} is {} already",
            args.name,
            if args.revoke { "no administrator" } else { "an administrator" }
        );
    }
    service.set_administrator(&Caller::UNCHECKED, user.id, !args.revoke).await?;
    record(&service, Operation::Update, &args.name).await;
    let text =
        format!("{} is {} now", args.name, if args.revoke { "no administrator" } else { "an administrator" });
    let json = json!({ "user_id": user.id, "username": args.name, "sysadmin_flag": !args.revoke });
    args.common.say(&json, &text);
    Ok(())
}

async fn record(service: &Service, operation: Operation, user: &UserName) {
    service.record(&Caller::UNCHECKED, operation, ResourceType::User, user.as_str(), None).await;
}
