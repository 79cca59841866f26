//! `overside project usage`

use anyhow::Context;
use bytesize::ByteSize;
use serde_json::json;

use crate::config::StoreConfig;
use crate::db::Db;
use crate::domain::access::ProjectName;
use crate::domain::quota::Usage;
use crate::open;

/// Projects read at once.
const PAGE: u32 = 100;

/// Say what projects have, what is reserved for uploads that are open, and what they may have.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UsageArgs {
    /// One project; without it, all
    name: Option<ProjectName>,
    /// Count anew and compare; exit code 1 if what was kept was not right
    #[arg(long)]
    recount: bool,
    /// Have the usage kept as it is counted
    #[arg(long, requires = "recount")]
    correct: bool,
    /// Say it in JSON, a line for each project
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreConfig,
}

pub(super) async fn run(args: UsageArgs) -> anyhow::Result<()> {
    let db = open::database(&args.store).await?;
    let shown = show_all(&db, &args).await;
    db.close().await;
    let wrong = shown.context("cannot read the usage; `overside doctor` says what is wrong")?;
    if wrong.is_empty() {
        return Ok(());
    }
    let names = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let advice = if args.correct { "it has been corrected" } else { "--correct mends it" };
    anyhow::bail!("the usage kept of {names} was not right; {advice}")
}

/// The projects of which what was kept was not right.
async fn show_all(db: &Db, args: &UsageArgs) -> anyhow::Result<Vec<ProjectName>> {
    let mut wrong = Vec::new();
    if let Some(name) = &args.name {
        if !show(db, args, name).await? {
            wrong.push(name.clone());
        }
        return Ok(wrong);
    }
    let mut last = String::new();
    loop {
        let names = db.projects_with_usage(&last, PAGE).await?;
        for name in &names {
            if !show(db, args, name).await? {
                wrong.push(name.clone());
            }
        }
        match names.last() {
            Some(name) => last = name.to_string(),
            None => return Ok(wrong),
        }
    }
}

/// False when what was kept was not right.
async fn show(db: &Db, args: &UsageArgs, name: &ProjectName) -> anyhow::Result<bool> {
    if !args.recount {
        let usage = db.project_usage(name).await?;
        if args.json {
            say!("{}", json!({ "project": name, "usage": usage }));
        } else {
            say!("{name}: {}", text(&usage));
        }
        return Ok(true);
    }
    let recount = if args.correct { db.correct_usage(name).await? } else { db.recount(name).await? };
    if args.json {
        say!("{}", json!({ "project": name, "recount": recount }));
    } else if recount.agrees {
        say!("{name}: {}; the recount agrees", text(&recount.kept));
    } else {
        say!("{name}: {}; the recount has {}", text(&recount.kept), text(&recount.counted));
        if recount.miscounted_blobs > 0 {
            say!("{name}: {} blobs were counted wrongly", recount.miscounted_blobs);
        }
    }
    Ok(recount.agrees)
}

fn text(usage: &Usage) -> String {
    let bytes = |bytes| format!("{} ({bytes} bytes)", ByteSize(bytes));
    let of = |limit: Option<String>| limit.map_or(String::new(), |limit| format!(" of {limit}"));
    format!(
        "{}{}, {} reserved, {} tags{}",
        bytes(usage.bytes),
        of(usage.storage_limit.map(bytes)),
        bytes(usage.reserved),
        usage.tags,
        of(usage.count_limit.map(|limit| limit.to_string())),
    )
}
