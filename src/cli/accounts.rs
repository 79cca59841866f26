//! What the commands that keep accounts have in common: they work on the database, beside running servers.

use std::io::BufRead;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use crate::auth::password::Password;
use crate::config::StoreConfig;
use crate::open;
use crate::service::Service;

/// Rows read at a time.
pub(super) const BATCH: u32 = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Say it in JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    store: StoreConfig,
}

/// Where a new password comes from.
#[derive(Debug, clap::Args)]
pub(super) struct PasswordSource {
    /// Read the password from the first line of standard input [default: make one and show it once]
    #[arg(long)]
    pub password_stdin: bool,
}

impl Common {
    pub async fn open(&self) -> anyhow::Result<Arc<Service>> {
        open::accounts(&self.store).await
    }

    /// One object, or a sentence about it.
    pub fn say(&self, json: &Value, text: &str) {
        if self.json { say!("{json}") } else { say!("{text}") }
    }

    /// One array, or a table with a heading.
    pub fn table<const N: usize>(&self, heading: [&str; N], rows: &[([String; N], Value)]) {
        if self.json {
            say!("{}", rows.iter().map(|(_, json)| json.clone()).collect::<Value>());
            return;
        }
        let heading = heading.map(str::to_owned);
        let lines = || std::iter::once(&heading).chain(rows.iter().map(|(cells, _)| cells));
        let widths: [usize; N] =
            std::array::from_fn(|column| lines().map(|cells| cells[column].len()).max().unwrap_or_default());
        for cells in lines() {
            let padded: Vec<_> =
                cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            say!("{}", padded.join("  ").trim_end());
        }
    }
}

impl PasswordSource {
    /// The password, and whether it is to be shown.
    pub fn read(&self) -> anyhow::Result<(Password, bool)> {
        if !self.password_stdin {
            return Ok((Password::generate(), true));
        }
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .context("cannot read the password from standard input")?;
        Ok((Password::new(line.trim_end_matches(['\r', '\n']).to_owned()), false))
    }
}

pub(super) fn moment(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

pub(super) fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
