//! `overside user token`

use serde_json::json;
use uuid::Uuid;

use super::WhoseArgs;
use crate::cli::admin::{moment, text};

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

pub(super) async fn run(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let CreateArgs { name, days, whose } = args;
    let (api, tokens) = whose.place("tokens").await?;
    let made = api.post(&tokens, &json!({ "name": name, "duration": days })).await?.json;
    let secret = text(&made, "secret");
    whose.admin_args.say(&made, &format!("made token {name}{}: {secret} (not shown again)", whose.of()))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let (api, tokens) = args.whose.place("tokens").await?;
    let tokens = api.list(&tokens).await?;
    args.whose.admin_args.table(["ID", "NAME", "SINCE", "EXPIRES"], &tokens, |token| {
        let [since, until] = ["creation_time", "expires_at"].map(|field| moment(token, field));
        [text(token, "id"), text(token, "name"), since, until]
    })
}

async fn revoke(args: RevokeArgs) -> anyhow::Result<()> {
    let RevokeArgs { id, whose } = args;
    let (api, tokens) = whose.place("tokens").await?;
    api.delete(&format!("{tokens}/{id}")).await?;
    whose.admin_args.say(&json!({ "id": id }), &format!("revoked token {id}{}", whose.of()))
}
