//! `overside user token`

use serde_json::json;
use uuid::Uuid;

use crate::cli::BadUsage;
use crate::cli::admin::{AdminArgs, Api, moment, text};
use crate::domain::account::UserName;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Make a token and show its secret once
    Create(CreateArgs),
    /// List a user's tokens
    List(ListArgs),
    /// Make a token worthless at once
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    /// What the user calls it
    name: String,
    /// Days until it expires; -1 for never
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    days: i64,
    #[command(flatten)]
    whose: WhoseArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    whose: WhoseArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RevokeArgs {
    /// As `overside user token list` shows it
    id: Uuid,
    #[command(flatten)]
    whose: WhoseArgs,
}

#[derive(Debug, clap::Args)]
struct WhoseArgs {
    /// Whose tokens, for administrators [default: your own]
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    #[command(flatten)]
    admin_args: AdminArgs,
}

impl WhoseArgs {
    /// Who answers, and where the user's tokens are.
    async fn tokens(&self) -> anyhow::Result<(Api, String)> {
        let api = self.admin_args.api().await?;
        let user = match (&self.user, &api) {
            (Some(name), _) => super::find(&api, name).await?["user_id"].to_string(),
            (None, Api::Server(_)) => "current".to_owned(),
            (None, Api::Database(_)) => return Err(BadUsage::new("say whose tokens, with --user").into()),
        };
        Ok((api, format!("users/{user}/tokens")))
    }

    /// ` of NAME`, where they are not the caller's own.
    fn of(&self) -> String {
        self.user.as_ref().map_or_else(String::new, |user| format!(" of {user}"))
    }
}

pub(super) async fn run(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let CreateArgs { name, days, whose } = args;
    let (api, tokens) = whose.tokens().await?;
    let made = api.post(&tokens, &json!({ "name": name, "duration": days })).await?.json;
    let secret = text(&made, "secret");
    whose.admin_args.say(&made, &format!("made token {name}{}: {secret} (not shown again)", whose.of()))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let (api, tokens) = args.whose.tokens().await?;
    let tokens = api.list(&tokens).await?;
    args.whose.admin_args.table(["ID", "NAME", "SINCE", "EXPIRES"], &tokens, |token| {
        let [since, until] = ["creation_time", "expires_at"].map(|field| moment(token, field));
        [text(token, "id"), text(token, "name"), since, until]
    })
}

async fn revoke(args: RevokeArgs) -> anyhow::Result<()> {
    let RevokeArgs { id, whose } = args;
    let (api, tokens) = whose.tokens().await?;
    api.delete(&format!("{tokens}/{id}")).await?;
    whose.admin_args.say(&json!({ "id": id }), &format!("revoked token {id}{}", whose.of()))
}
