//! `overside config`

use anyhow::Context;
use clap::Subcommand;

use crate::config::{LimitConfig, StoreConfig};
use crate::domain::access::Caller;
use crate::domain::settings::{InvalidSetting, Setting, Value};
use crate::open;
use crate::service::Service;

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
        common: Common,
    },
    /// Set one
    Set {
        #[arg(value_parser = setting)]
        name: Setting,
        #[arg(allow_negative_numbers = true)]
        value: String,
        #[command(flatten)]
        common: Common,
    },
    /// Go back to what holds by default
    Unset {
        #[arg(value_parser = setting)]
        name: Setting,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Say it in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreConfig,
    #[command(flatten)]
    limits: LimitConfig,
}

fn setting(text: &str) -> Result<Setting, InvalidSetting> {
    text.parse()
}

impl ConfigArgs {
    /// Whether the value is one that the setting takes.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        match &self.action {
            Action::Set { name, value, .. } => name.parse(value).map(drop),
            Action::Get { .. } | Action::Unset { .. } => Ok(()),
        }
    }
}

pub(super) async fn run(args: ConfigArgs) -> anyhow::Result<()> {
    let (common, shown, change) = match args.action {
        Action::Get { name, common } => (common, name, None),
        Action::Set { name, value, common } => (common, Some(name), Some((name, Some(name.parse(&value)?)))),
        Action::Unset { name, common } => (common, Some(name), Some((name, None))),
    };
    let service = open::service(&common.store, common.limits.limits()).await?;
    if let Some(change) = change {
        let changed = service.change_settings(&Caller::UNCHECKED, &[change]).await;
        changed.context("cannot change the setting; `overside doctor` says what is wrong")?;
    }
    show(&service, shown, common.json)
}

fn show(service: &Service, shown: Option<Setting>, in_json: bool) -> anyhow::Result<()> {
    let settings = service.settings();
    let all = Setting::ALL.iter().copied().filter(|setting| shown.is_none_or(|shown| shown == *setting));
    if in_json {
        let json = |setting: Setting| match settings.get(setting) {
            Value::Number(number) => serde_json::Value::from(number),
            value => serde_json::Value::from(value.to_string()),
        };
        let object: serde_json::Map<_, _> =
            all.map(|setting| (setting.name().to_owned(), json(setting))).collect();
        say!("{}", serde_json::to_string(&object)?);
        return Ok(());
    }
    for setting in all {
        say!("{setting} = {}", settings.get(setting));
        if shown.is_none() {
            say!("    {}", setting.doc().trim());
        }
    }
    Ok(())
}
