//! `overside lfs-agent`: a custom transfer agent of git-lfs (`docs/custom-transfers.md` there). It sends each object as its
//! upload session has it: what has not arrived yet, in parts side by side. git-lfs then says to the server that the object
//! is there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, bail};
use overside_client::{Blob, ConcurrencyLimit, Event, Progress, Registry};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;
use url::Url;

use crate::cli::remote::{TlsArgs, TransferArgs};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;

/// Longest line that git-lfs sends, in bytes: a signed URL and a path, and room.
const MAX_LINE: u64 = 1 << 20;
/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// What stands between a repository's name and the rest of a path of Git LFS.
const UPLOADS: &str = "/info/lfs/uploads/";
/// What git-lfs is told of an object that was not sent; it shows the number and makes nothing of it.
const FAILED: u16 = 1;

/// Send objects for git-lfs, in parts and several at a time
///
/// git-lfs runs this after `overside lfs install`. It reads what to send from standard input, one JSON object a line.
#[derive(Debug, clap::Args)]
pub struct LfsAgentArgs {
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    transfer: TransferArgs,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Request {
    Init { operation: String },
    Upload(Upload),
    Terminate,
}

#[derive(Debug, Deserialize)]
struct Upload {
    oid: String,
    path: PathBuf,
    action: Action,
}

#[derive(Debug, Deserialize)]
struct Action {
    href: Url,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
enum Report<'a> {
    #[serde(rename_all = "camelCase")]
    Progress { oid: &'a str, bytes_so_far: u64, bytes_since_last: u64 },
    Complete {
        oid: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
}

#[derive(Debug, Default, Serialize)]
struct Ready {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct Failure {
    code: u16,
    message: String,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }
}

pub async fn run(args: LfsAgentArgs) -> anyhow::Result<()> {
    let limit = args.transfer.limit();
    // By where it is: one object after the other goes to the same server.
    let mut servers = HashMap::new();
    // git-lfs closes the pipe where it is interrupted.
    while let Some(request) = next().await? {
        match request {
            Request::Init { operation } if operation == "upload" => answer(&Ready::default())?,
            Request::Init { .. } => {
                let message = "this agent sends objects, and fetches none; set its direction to upload";
                answer(&Ready { error: Some(Failure::new(message)) })?;
            }
            Request::Upload(upload) => {
                let sent = send(&upload, &args, &mut servers, &limit).await;
                let error = sent.err().map(|error| Failure::new(format!("{error:#}")));
                answer(&Report::Complete { oid: &upload.oid, error })?;
            }
            Request::Terminate => break,
        }
    }
    Ok(())
}

impl Upload {
    /// Says how far it is, if that is farther than was `told`: what is sent again is not counted twice.
    fn report(&self, told: u64, now: u64) -> anyhow::Result<u64> {
        if now <= told {
            return Ok(told);
        }
        let bytes_since_last = now - told;
        answer(&Report::Progress { oid: &self.oid, bytes_so_far: now, bytes_since_last })?;
        Ok(now)
    }
}

async fn send(
    upload: &Upload,
    args: &LfsAgentArgs,
    servers: &mut HashMap<String, Registry>,
    limit: &ConcurrencyLimit,
) -> anyhow::Result<()> {
    let digest: Digest = format!("sha256:{}", upload.oid).parse().context("the object's id is no SHA-256")?;
    let (name, id) = place(&upload.action.href).context("the server gives a URL that leads to no upload")?;
    let server = match servers.entry(upload.action.href.origin().ascii_serialization()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let builder = args.tls.builder(&new.key().parse()?)?.rate_limit(args.transfer.bwlimit);
            new.insert(builder.build()?)
        }
    };
    let session = server.repository(name).session_at(id, upload.action.href.clone());
    let blob = Blob::from_hashed_file(&upload.path, digest).await?;

    let moved = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&moved);
    let progress = Progress::new(move |_, event| match event {
        Event::Started { done, .. } => counted.store(done, Relaxed),
        Event::Advanced(bytes) => drop(counted.fetch_add(bytes, Relaxed)),
        Event::Lost(bytes) => drop(counted.fetch_sub(bytes, Relaxed)),
        _ => {}
    });
    // The other agents wait until the first one has begun.
    let mut told = upload.report(0, 1)?;
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sending = std::pin::pin!(session.send(&blob, limit, &progress));
    loop {
        tokio::select! {
            sent = &mut sending => break sent?,
            _ = ticks.tick() => told = upload.report(told, moved.load(Relaxed))?,
        }
    }
    upload.report(told, blob.size())?;
    Ok(())
}

/// The upload that a URL of a batch is about.
fn place(url: &Url) -> Option<(RepositoryName, UploadId)> {
    let (name, id) = url.path().rsplit_once(UPLOADS)?;
    Some((name.trim_start_matches('/').parse().ok()?, id.parse().ok()?))
}

async fn next() -> anyhow::Result<Option<Request>> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().take(MAX_LINE).read_line(&mut line).map(|_| line)
    });
    let line = reading.await?.context("cannot read what git-lfs says")?;
    if line.is_empty() {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        bail!("git-lfs sends a line of more than {MAX_LINE} bytes");
    }
    serde_json::from_str(&line).map(Some).context("git-lfs sends what is none of its events")
}

/// One line of JSON. What is printed elsewhere is made safe for terminals; this is for a program.
fn answer(report: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&line).and_then(|()| output.flush()).context("git-lfs does not listen any more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batchs_url_names_its_upload() {
        let id = UploadId::generate();
        let url = |path: &str| format!("https://example.org{path}?expires=1&signature=2").parse().ok();
        let found = url(&format!("/team/model/info/lfs/uploads/{id}")).as_ref().and_then(place);
        assert_eq!(found.map(|(name, id)| (name.to_string(), id)), Some(("team/model".to_owned(), id)));
        for path in ["/team/model", "/info/lfs/uploads/", "/team/info/lfs/uploads/x/verify"] {
            assert!(url(path).as_ref().and_then(place).is_none(), "{path}");
        }
    }

    #[test]
    fn events_are_read_and_written_as_git_lfs_has_them() {
        let read = |text: &str| serde_json::from_str::<Request>(text).ok();
        let init = r#"{"event":"init","operation":"upload","remote":"origin","concurrent":true,"concurrenttransfers":8}"#;
        assert!(matches!(read(init), Some(Request::Init { operation }) if operation == "upload"));
        assert!(matches!(read(r#"{"event":"terminate"}"#), Some(Request::Terminate)));
        let upload = r#"{"event":"upload","oid":"ab","size":3,"path":"/a","action":{"href":"https://a/b","header":{}}}"#;
        assert!(matches!(read(upload), Some(Request::Upload(upload)) if upload.oid == "ab"));
        let written = |report: &Report<'_>| serde_json::to_string(report).unwrap_or_default();
        let progress = Report::Progress { oid: "ab", bytes_so_far: 3, bytes_since_last: 2 };
        assert_eq!(
            written(&progress),
            r#"{"event":"progress","oid":"ab","bytesSoFar":3,"bytesSinceLast":2}"#
        );
        assert_eq!(
            written(&Report::Complete { oid: "ab", error: None }),
            r#"{"event":"complete","oid":"ab"}"#
        );
    }
}
