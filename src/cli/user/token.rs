//! `overside user token`

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::accounts::{BATCH, Common, moment};
use crate::domain::access::Caller;
use crate::domain::account::UserName;
use crate::domain::audit::{Operation, ResourceType};
use crate::service::Service;

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
    user: UserName,
    /// What the user calls it
    name: String,
    /// Days until it expires; -1 for never
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    days: i64,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    user: UserName,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RevokeArgs {
    user: UserName,
    /// As `overside user token list` shows it
    id: Uuid,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let user = service.user_by_name(&args.user).await?;
    let (row, token) = service.create_access_token(user.id, &args.name, args.days).await?;
    record(&service, Operation::Create, &row.name).await;
    let secret = token.reveal();
    let json = json!({ "id": row.id, "name": row.name, "expires_at": row.expires_at, "secret": secret });
    args.common.say(&json, &format!("made token {} of {}: {secret} (not shown again)", row.name, args.user));
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let user = service.user_by_name(&args.user).await?;
    let mut rows: Vec<([String; 4], Value)> = Vec::new();
    loop {
        let (tokens, total) = service.access_tokens(user.id, BATCH, rows.len() as u64).await?;
        let is_end = tokens.is_empty();
        rows.extend(tokens.into_iter().map(|token| {
            let json = json!({
                "id": token.id, "name": token.name, "creation_time": token.created_at, "expires_at": token.expires_at,
            });
            let (since, until) = (moment(Some(token.created_at)), moment(token.expires_at));
            ([token.id.to_string(), token.name, since, until], json)
        }));
        if is_end || rows.len() as u64 >= total {
            break;
        }
    }
    args.common.table(["ID", "NAME", "SINCE", "EXPIRES"], &rows);
    Ok(())
}

async fn revoke(args: RevokeArgs) -> anyhow::Result<()> {
    let service = args.common.open().await?;
    let user = service.user_by_name(&args.user).await?;
    service.revoke_access_token(user.id, args.id).await?;
    record(&service, Operation::Delete, &args.id.to_string()).await;
    args.common.say(&json!({ "id": args.id }), &format!("revoked token {} of {}", args.id, args.user));
    Ok(())
}

async fn record(service: &Service, operation: Operation, token: &str) {
    service.record(&Caller::UNCHECKED, operation, ResourceType::AccessToken, token, None).await;
}
