//! `overside doctor`

mod service;
mod tables;
mod urls;

use std::time::Duration;

use axum::http::HeaderValue;
use serde::Serialize;
use url::Url;

use tables::{Asked, Proven};

use super::output::ResultFormat;
use super::remote::{TlsArgs, server};
use crate::config::{StorageLocation, StoreConfig};
use crate::db::{Db, DbError};
use crate::domain::clock::Clock;
use crate::log_text::chain;
use crate::open;
use crate::probing::keep_probe;
use crate::storage::{Filesystem, Finding, S3, Storage};

/// Check the database and the store, and say what is wrong and how to mend it.
///
/// Writes and removes a few tiny objects. Exits with 1 if anything is broken.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    format: ResultFormat,
    /// Where clients find the running service, to look at what they meet there
    #[arg(long, value_name = "HOST:PORT|URL", env = "OVERSIDE_SERVER", hide_env_values = true, value_parser = server)]
    server: Option<Url>,
    /// A page's origin (`https://ui.example`), from which browsers are to upload
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<HeaderValue>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    store: StoreConfig,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    healthy: bool,
    findings: Vec<Finding>,
    /// What the bucket was asked, and what it answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probe: Vec<Asked>,
    /// How the digest of each kind of upload is proven here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    proofs: Vec<Proven>,
    /// What the key that clients' PUTs are signed with must be allowed, and no more, where one is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_policy: Option<serde_json::Value>,
}

pub(super) async fn run(args: DoctorArgs) -> anyhow::Result<()> {
    let mut report = Report::default();
    let service = args.server.as_ref().map(|url| anyhow::Ok(args.tls.builder(url)?.build()?)).transpose()?;
    report.findings.extend(service::findings(service.as_ref(), args.origin.as_ref()).await);
    let db = examine_database(&args.store, &mut report.findings).await;
    // The service signs by the database's clock, so that is what the store's is compared with.
    let clock = match &db {
        Some(db) => db.clock().await?,
        None => Clock::System,
    };
    match &args.store.storage {
        StorageLocation::S3 { bucket, prefix } => {
            let store = open::s3(&args.store, bucket, prefix, &clock).await?;
            // Boxed: it holds dozens of requests, one after the other.
            report.findings.extend(Box::pin(store.examine(&clock)).await);
            if !report.findings.iter().any(Finding::is_broken) {
                let place = args.store.public_url.as_ref().or(args.server.as_ref());
                report.findings.extend(urls::downloads(&store, place).await);
                if let (Some(registry), Some(origin)) = (&service, &args.origin) {
                    report.findings.extend(service::bucket_cors(registry, &store, origin).await);
                }
                probe(store, db.as_ref(), &clock, args.store.copy_timeout, &mut report).await?;
            }
        }
        StorageLocation::File(path) if !Filesystem::is_at(path) => {
            let mend = "name the one that `overside serve` uses, with --storage; `serve` makes it where there is none yet";
            let detail = format!("there is no store at {}", path.display());
            report.findings.push(Finding::broken("store", detail, mend));
        }
        StorageLocation::File(path) => {
            let mend =
                "make the folder writable for the user Overside runs as, or choose another with --storage";
            let opened = match &db {
                Some(db) => open::filesystem(&args.store, path, db, &clock).await,
                None => Err(anyhow::anyhow!("the URL-signing key is in the database")),
            };
            report.findings.push(match opened {
                Ok(files) => {
                    let store = Storage::Filesystem(files);
                    report.proofs = tables::proofs(&store);
                    match store.check().await {
                        Ok(()) => Finding::good("store", format!("{} can be written", path.display())),
                        Err(error) => Finding::broken("store", chain(&error), mend),
                    }
                }
                Err(error) => Finding::broken("store", format!("{error:#}"), mend),
            });
        }
    }
    report.healthy = !report.findings.iter().any(Finding::is_broken);
    args.format.say(&report, || print(&report))?;
    if report.healthy { Ok(()) } else { Err(anyhow::anyhow!("something is broken; see above")) }
}

/// Asks the bucket anew, and keeps the answers for whoever starts next.
async fn probe(
    store: S3,
    db: Option<&Db>,
    clock: &Clock,
    copy_timeout: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let seen = match store.probe_everything().await {
        Ok(seen) => seen,
        Err(error) => {
            let mend = "allow s3:PutObject, s3:GetObject and s3:DeleteObject, on a store that knows multipart uploads";
            report.findings.push(Finding::broken("probe", chain(&error), mend));
            return Ok(());
        }
    };
    report.probe = tables::asked(&seen);
    report.findings.extend(tables::findings(&seen));
    report.findings.extend(urls::findings(&store, &seen));
    report.upload_policy = urls::policy(&store, &seen);
    if let Some(db) = db {
        keep_probe(&store, &seen, db, clock).await?;
        let pace = db.find_pace(&store.identity()).await?.unwrap_or_default();
        report.findings.push(tables::pace(&pace, clock.now(), copy_timeout));
        store.set_pace(pace);
    }
    store.set_capabilities(seen);
    report.proofs = tables::proofs(&Storage::S3(store));
    Ok(())
}

async fn examine_database(config: &StoreConfig, findings: &mut Vec<Finding>) -> Option<Db> {
    let db = match Db::connect_existing(&config.database, config.database_connections).await {
        Ok(db) => db,
        Err(missing @ DbError::Missing(_)) => {
            let mend = "name the one that `overside serve` uses, with --database; `serve` makes it where there is none yet";
            findings.push(Finding::broken("database", missing.to_string(), mend));
            return None;
        }
        Err(error) => {
            let mend = "check --database: host, port, user, password and that the server is up";
            findings.push(Finding::broken("database", chain(&error), mend));
            return None;
        }
    };
    findings.push(Finding::good("database", "reachable".to_owned()));
    match db.is_migrated().await {
        Ok(true) => findings.push(Finding::good("schema", "up to date".to_owned())),
        Ok(false) => {
            findings.push(Finding::broken("schema", "not up to date".to_owned(), "run `overside migrate`"));
            return None;
        }
        Err(error) => {
            let mend = "give the database user the right to read and write the tables";
            findings.push(Finding::broken("schema", chain(&error), mend));
            return None;
        }
    }
    Some(db)
}

fn print(report: &Report) {
    for finding in &report.findings {
        say!("{:<8} {:<16} {}", finding.verdict.to_string(), finding.subject, finding.detail);
        if let Some(mend) = finding.mend {
            say!("{:<25} -> {mend}", "");
        }
    }
    tables::print(&report.probe, &report.proofs);
    if let Some(policy) = &report.upload_policy {
        say!("\nPolicy of a key for --s3-upload-access-key\n{policy:#}");
    }
}
