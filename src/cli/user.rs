//! `overside user`

mod key;
mod token;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::BadUsage;
use super::admin::{AdminArgs, Api, PasswordSource, moment, new_id, query, text};
use crate::auth::password::Password;
use crate::domain::account::UserName;

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
    Admin(AdministratorArgs),
    /// What a user's programs sign in with
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Keys that a user signs in with, as Ollama does
    #[command(subcommand)]
    Key(key::KeyCommand),
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
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswdArgs {
    /// Whose; without it your own
    name: Option<UserName>,
    #[command(flatten)]
    password: PasswordSource,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct NameArgs {
    name: UserName,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct AdministratorArgs {
    name: UserName,
    /// No longer
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    admin_args: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct WhoseArgs {
    /// Whose, for administrators [default: your own]
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    #[command(flatten)]
    admin_args: AdminArgs,
}

impl WhoseArgs {
    /// Who answers, and where what the user has of this kind is.
    async fn place(&self, kind: &str) -> anyhow::Result<(Api, String)> {
        let api = self.admin_args.api().await?;
        let user = match (&self.user, &api) {
            (Some(name), _) => find(&api, name).await?["user_id"].to_string(),
            (None, Api::Server(_)) => "current".to_owned(),
            (None, Api::Database(_)) => return Err(BadUsage::new("say whose, with --user").into()),
        };
        Ok((api, format!("users/{user}/{kind}")))
    }

    /// ` of NAME`, where they are not the caller's own.
    fn of(&self) -> String {
        self.user.as_ref().map_or_else(String::new, |user| format!(" of {user}"))
    }
}

pub(super) async fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Create(args) => create(args).await,
        UserCommand::List(args) => list(args).await,
        UserCommand::Passwd(args) => passwd(args).await,
        UserCommand::Delete(args) => delete(args).await,
        UserCommand::Admin(args) => set_administrator(args).await,
        UserCommand::Token(command) => token::run(command).await,
        UserCommand::Key(command) => key::run(command).await,
    }
}

/// As an administrator sees them.
async fn find(api: &Api, name: &UserName) -> anyhow::Result<Value> {
    let found = api.list(&format!("users?q=username%3D{}", query(name.as_str()))).await?;
    super::admin::find(found, "username", name.as_str(), "user")
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let CreateArgs { name, admin, password, oidc_issuer, oidc_subject, admin_args } = args;
    let has_password = oidc_issuer.is_none() || password.password_stdin;
    let (password, is_shown) = if has_password { Some(password.read()?) } else { None }.unzip();
    let mut user = json!({ "username": name, "sysadmin_flag": admin });
    if let Some(password) = &password {
        user["password"] = password.reveal().into();
    }
    if oidc_issuer.is_some() {
        (user["oidc_issuer"], user["oidc_subject"]) = (oidc_issuer.into(), oidc_subject.into());
    }
    let id = new_id(&admin_args.api().await?.post("users", &user).await?);
    let shown = password.as_ref().filter(|_| is_shown == Some(true)).map(Password::reveal);
    let text = match shown {
        Some(password) => format!("made user {name}, password {password} (not shown again)"),
        None => format!("made user {name}"),
    };
    admin_args.say(&json!({ "user_id": id, "username": name, "password": shown }), &text)
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let users = args.admin_args.api().await?.list("users").await?;
    args.admin_args.table(["NAME", "ADMINISTRATOR", "PASSWORD", "SINCE"], &users, |user| {
        let [name, runs, password] =
            ["username", "sysadmin_flag", "has_password"].map(|field| text(user, field));
        [name, runs, password, moment(user, "creation_time")]
    })
}

/// Whoever changes their own says the old one as well: the one that they are signed in with.
async fn passwd(args: PasswdArgs) -> anyhow::Result<()> {
    let PasswdArgs { name, password, admin_args } = args;
    let (password, is_shown) = password.read()?;
    let api = admin_args.api().await?;
    // Where nobody has to sign in, nobody is anybody.
    let own = match &api {
        Api::Server(client) => {
            let name = text(&api.get("users/current").await?, "username");
            Some((name, client.password())).filter(|(name, _)| !name.is_empty())
        }
        Api::Database(_) => None,
    };
    let own = own.filter(|(own, _)| name.as_ref().is_none_or(|name| name.as_str() == own));
    let is_own = own.is_some();
    let mut change = json!({ "new_password": password.reveal() });
    let (id, name) = if let Some((own, old)) = own {
        change["old_password"] = old.context("sign in with the old password first: overside login")?.into();
        (None, own)
    } else {
        let nobody = || BadUsage::new("say whose password: nobody is signed in here");
        let name = name.ok_or_else(nobody)?;
        (find(&api, &name).await?["user_id"].as_i64(), name.to_string())
    };
    let user = id.map_or_else(|| "current".to_owned(), |id| id.to_string());
    api.put(&format!("users/{user}/password"), &change).await?;
    let shown = is_shown.then(|| password.reveal());
    let mut text = match shown {
        Some(password) => format!("{name}'s password is {password} (not shown again)"),
        None => format!("{name} has a new password"),
    };
    if is_own {
        text.push_str("; sign in with it: overside login");
    }
    admin_args.say(&json!({ "user_id": id, "username": name, "password": shown }), &text)
}

async fn delete(args: NameArgs) -> anyhow::Result<()> {
    let NameArgs { name, admin_args } = args;
    let api = admin_args.api().await?;
    let id = find(&api, &name).await?["user_id"].clone();
    api.delete(&format!("users/{id}")).await?;
    admin_args.say(&json!({ "user_id": id, "username": name }), &format!("deleted user {name}"))
}

async fn set_administrator(args: AdministratorArgs) -> anyhow::Result<()> {
    let AdministratorArgs { name, revoke, admin_args } = args;
    let api = admin_args.api().await?;
    let user = find(&api, &name).await?;
    let kind = if revoke { "no administrator" } else { "an administrator" };
    if user["sysadmin_flag"] != revoke {
        bail!("{name} is {kind} already");
    }
    let id = &user["user_id"];
    api.put(&format!("users/{id}/sysadmin"), &json!({ "sysadmin_flag": !revoke })).await?;
    let json = json!({ "user_id": id, "username": name, "sysadmin_flag": !revoke });
    admin_args.say(&json, &format!("{name} is {kind} now"))
}
