//! `overside config`

use clap::Subcommand;
use serde_json::{Map, json};

use super::BadUsage;
use super::admin::{AdminArgs, text};
use crate::domain::settings::{InvalidSetting, Setting};

/// Read and change what running servers take over within a second.
///
/// What nobody has set is as the flags of `serve` say, or without a limit (-1).
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show one setting, or all
    Get {
        #[arg(value_parser = setting)]
        name: Option<Setting>,
        #[command(flatten)]
        admin_args: AdminArgs,
    },
    /// Set one
    Set {
        #[arg(value_parser = setting)]
        name: Setting,
        #[arg(allow_negative_numbers = true)]
        value: String,
        #[command(flatten)]
        admin_args: AdminArgs,
    },
    /// Go back to what holds by default
    Unset {
        #[arg(value_parser = setting)]
        name: Setting,
        #[command(flatten)]
        admin_args: AdminArgs,
    },
}

fn setting(text: &str) -> Result<Setting, InvalidSetting> {
    text.parse()
}

pub(super) async fn run(args: ConfigArgs) -> anyhow::Result<()> {
    let (admin_args, shown, change) = match args.action {
        Action::Get { name, admin_args } => (admin_args, name, None),
        Action::Set { name, value, admin_args } => {
            name.parse(&value).map_err(|error| BadUsage::new(error.to_string()))?;
            (admin_args, Some(name), Some(json!({ name.name(): value })))
        }
        Action::Unset { name, admin_args } => (admin_args, Some(name), Some(json!({ name.name(): null }))),
    };
    let api = admin_args.api().await?;
    if let Some(change) = change {
        api.put("configurations", &change).await?;
    }
    let settings = api.get("configurations").await?;
    let all = Setting::ALL.iter().filter(|setting| shown.is_none_or(|shown| shown == **setting));
    let values: Map<_, _> = all
        .clone()
        .map(|setting| (setting.name().to_owned(), settings[setting.name()]["value"].clone()))
        .collect();
    admin_args.format.say(&values, || {
        for setting in all {
            say!("{setting} = {}", text(&settings[setting.name()], "value"));
            if shown.is_none() {
                say!("    {}", setting.doc().trim());
            }
        }
    })
}
