//! `overside user key`

use serde_json::json;

use super::WhoseArgs;
use crate::cli::admin::{moment, text};

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Let a user sign in with a key
    Add(AddArgs),
    /// List a user's keys
    List(ListArgs),
    /// Let nobody sign in with a key any more
    Rm(RemoveArgs),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    /// The line of its .pub file: "ssh-ed25519 AAAA... laptop"
    key: String,
    #[command(flatten)]
    whose: WhoseArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    whose: WhoseArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    /// As `overside user key list` shows it
    id: u64,
    #[command(flatten)]
    whose: WhoseArgs,
}

pub(super) async fn run(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Add(args) => add(args).await,
        KeyCommand::List(args) => list(args).await,
        KeyCommand::Rm(args) => remove(args).await,
    }
}

async fn add(args: AddArgs) -> anyhow::Result<()> {
    let AddArgs { key, whose } = args;
    let (api, keys) = whose.place("keys").await?;
    let added = api.post(&keys, &json!({ "key": key })).await?.json;
    let fingerprint = text(&added, "fingerprint");
    whose.admin_args.say(&added, &format!("added key {fingerprint}{}", whose.of()))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let (api, keys) = args.whose.place("keys").await?;
    let keys = api.list(&keys).await?;
    args.whose.admin_args.table(["ID", "FINGERPRINT", "COMMENT", "SINCE"], &keys, |key| {
        let [id, fingerprint, comment] = ["id", "fingerprint", "comment"].map(|field| text(key, field));
        [id, fingerprint, comment, moment(key, "creation_time")]
    })
}

async fn remove(args: RemoveArgs) -> anyhow::Result<()> {
    let RemoveArgs { id, whose } = args;
    let (api, keys) = whose.place("keys").await?;
    api.delete(&format!("{keys}/{id}")).await?;
    whose.admin_args.say(&json!({ "id": id }), &format!("removed key {id}{}", whose.of()))
}
