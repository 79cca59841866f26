//! `overside project usage`

use bytesize::ByteSize;
use serde_json::{Value, json};

use crate::cli::BadUsage;
use crate::cli::admin::AdminArgs;
use crate::db::Db;
use crate::domain::access::ProjectName;
use crate::domain::quota::Usage;
use crate::open;

/// One after the other they are read.
const CONNECTIONS: u32 = 2;

/// Say what projects have, what is reserved for uploads that are open, and what they may have.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UsageArgs {
    /// One project; without it, all
    name: Option<ProjectName>,
    /// Count anew on the --database and compare; exit code 1 if what was kept was not right
    #[arg(long)]
    recount: bool,
    /// Have the usage kept as it is counted
    #[arg(long, requires = "recount")]
    correct: bool,
    #[command(flatten)]
    admin_args: AdminArgs,
}

pub(super) async fn run(args: UsageArgs) -> anyhow::Result<()> {
    let Some(url) = args.admin_args.database() else {
        if args.recount {
            let why = "--recount reads the database itself: say which with --database";
            return Err(BadUsage::new(why).into());
        }
        return show_quotas(&args).await;
    };
    let db = open::existing_database(&url, CONNECTIONS).await?;
    let shown = show_all(&db, &args).await;
    db.close().await;
    let wrong = shown?;
    if wrong.is_empty() {
        return Ok(());
    }
    let names = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let advice = if args.correct { "it has been corrected" } else { "--correct mends it" };
    anyhow::bail!("the usage kept of {names} was not right; {advice}")
}

/// Of the projects that the caller is in.
async fn show_quotas(args: &UsageArgs) -> anyhow::Result<()> {
    let api = args.admin_args.api().await?;
    let quotas = match &args.name {
        None => api.list("quotas").await?,
        Some(name) => {
            let id = api.get(&format!("projects/{name}")).await?["project_id"].clone();
            vec![api.get(&format!("quotas/{id}")).await?]
        }
    };
    for quota in quotas {
        let number = |pointer: &str| quota.pointer(pointer).and_then(Value::as_u64);
        let usage = Usage {
            bytes: number("/used/storage").unwrap_or_default(),
            reserved: number("/reserved/storage").unwrap_or_default(),
            tags: number("/used/count").unwrap_or_default(),
            storage_limit: number("/hard/storage"),
            count_limit: number("/hard/count"),
        };
        say_usage(args, quota["ref"]["name"].as_str().unwrap_or_default(), &usage)?;
    }
    Ok(())
}

fn say_usage(args: &UsageArgs, name: &str, usage: &Usage) -> anyhow::Result<()> {
    args.admin_args.say(&json!({ "project": name, "usage": usage }), &format!("{name}: {}", text(usage)))
}

/// The projects of which what was kept was not right.
async fn show_all(db: &Db, args: &UsageArgs) -> anyhow::Result<Vec<ProjectName>> {
    let mut wrong = Vec::new();
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => db.projects_with_usage().await?,
    };
    for name in names {
        if !show(db, args, &name).await? {
            wrong.push(name);
        }
    }
    Ok(wrong)
}

/// False when what was kept was not right.
async fn show(db: &Db, args: &UsageArgs, name: &ProjectName) -> anyhow::Result<bool> {
    if !args.recount {
        say_usage(args, name.as_str(), &db.project_usage(name).await?)?;
        return Ok(true);
    }
    let mut recount = db.recount(name).await?;
    // Whoever pushes to the project waits meanwhile: not for what is right.
    if args.correct && !recount.agrees {
        recount = db.correct_usage(name).await?;
    }
    args.admin_args.format.say(&json!({ "project": name, "recount": recount }), || {
        if recount.agrees {
            say!("{name}: {}; the recount agrees", text(&recount.kept));
            return;
        }
        say!("{name}: {}; the recount has {}", text(&recount.kept), text(&recount.counted));
        if recount.miscounted_blobs > 0 {
            say!("{name}: {} blobs were counted wrongly", recount.miscounted_blobs);
        }
    })?;
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
