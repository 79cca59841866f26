//! `overside put`: files into a repository, each as a blob, or together as one artifact.

mod artifact;
mod folder;
mod stream;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use futures_util::stream::StreamExt;
use overside_client::{
    Blob, ConcurrencyLimit, Error, HashCache, ImageRef, Outcome, PutOutcome, Repository, SavedUploads,
    printable,
};
use serde_json::json;

use super::BadUsage;
use super::advice::Advised;
use super::artifact::{SendArgs, say_planned, unless_interrupted, user_folder};
use super::operands::files_and_name;
use super::pipe::is_stdio;
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, TransferArgs};
use crate::domain::digest::Digest;
use crate::domain::media_type::MediaType;
use crate::domain::reference::Reference;
use crate::domain::upload::{TransferMode, UploadId};

const USAGE: &str =
    "overside put [OPTIONS] <FILE>... <NAME>\n       overside put [OPTIONS] --to <NAME> <FILE>...";

/// Upload files straight to the bucket and have them verified and published
///
/// NAME:TAG makes one artifact of the files, or with `--recursive` of a folder; `overside get` restores them under their
/// names. NAME alone makes each file a blob without a name, to be had by its digest; printed are digest, size, reference
/// and file. What the repository has is not sent again; an upload that was interrupted goes on when the same command runs
/// again.
///
/// The last operand is the repository's name. What is a file is not taken for a name.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE)]
pub struct PutArgs {
    /// Files to upload: paths, patterns such as 'data/*.parquet', or - for standard input; behind them the name of
    /// the repository, such as team/model, with a host before it or a tag behind it
    #[arg(value_name = "FILE", required = true)]
    operands: Vec<PathBuf>,
    /// Repository that the files go to; then every operand is a file
    #[arg(long, value_name = "NAME")]
    to: Option<ImageRef>,
    /// Upload a folder as one artifact
    #[arg(long, short)]
    recursive: bool,
    /// What a file is called in the artifact, such as dump.sql; without it as it is called here
    #[arg(long, value_name = "FILE", conflicts_with = "recursive")]
    title: Option<String>,
    /// Type of the artifact [default: application/vnd.unknown.artifact.v1]
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<MediaType>,
    /// Send a file in one PUT or in parts; the server decides by its size if this is not given
    #[arg(long, value_parser = transfer_mode())]
    mode: Option<TransferMode>,
    /// Leave out what is called so in the folder, as shells match names; with a slash, what has this path. May be given again
    #[arg(long, value_name = "PATTERN", requires = "recursive")]
    exclude: Vec<glob::Pattern>,
    /// Go on with an upload that was begun before, on this or another machine
    #[arg(long, value_name = "UUID", conflicts_with = "recursive")]
    resume: Option<UploadId>,
    /// Read every file, also those that have not changed since they were read last
    #[arg(long)]
    rehash: bool,
    #[command(flatten)]
    send: SendArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// `proxied` is a mode too, but not one to choose: it is what clients get that know no presigned URLs.
fn transfer_mode() -> impl TypedValueParser<Value = TransferMode> {
    PossibleValuesParser::new(["put", "multipart"]).try_map(|mode| mode.parse::<TransferMode>())
}

/// One run.
struct Put<'a> {
    args: &'a PutArgs,
    files: Vec<PathBuf>,
    name: ImageRef,
    repository: Repository,
    display: Display,
    limit: ConcurrencyLimit,
    saved: Option<SavedUploads>,
    hashes: Option<HashCache>,
}

/// What came of one file.
enum Done {
    Put(PutOutcome),
    /// What would come of it.
    Planned {
        digest: Digest,
        size: u64,
        outcome: &'static str,
    },
}

pub async fn run(args: PutArgs) -> anyhow::Result<()> {
    let (files, name) = files_and_name(&args.operands, args.to.as_ref())?;
    let repository = args.remote.transfers(&name, &args.transfer).await?;
    let (display, limit) = (Display::new(args.output), args.transfer.limit());
    let (saved, hashes) = (args.send.saved_uploads(), hashes(args.rehash));
    let put = Put { args: &args, files, name, repository, display, limit, saved, hashes };
    let done = unless_interrupted(&put.display, Box::pin(put.run())).await;
    if let (Err(error), Some(hint)) = (&done, put.hint())
        && error.downcast_ref::<Error>().is_none_or(is_resumable)
    {
        complain!("{hint}");
    }
    done
}

impl Put<'_> {
    async fn run(&self) -> anyhow::Result<()> {
        let args = self.args;
        let tag = match self.name.reference() {
            Some(Reference::Digest(_)) => {
                return Err(BadUsage::new(
                    "digests are made of what is in the files; write NAME:TAG or NAME",
                )
                .into());
            }
            Some(Reference::Tag(tag)) => Some(tag),
            None => None,
        };
        if args.recursive {
            let [folder] = &self.files[..] else {
                return Err(BadUsage::new("--recursive takes one folder").into());
            };
            // Not `latest`: without a tag nobody asked for an artifact that replaces another.
            let tag = tag.ok_or_else(|| self.needs_tag("a folder becomes one artifact"))?;
            return folder::put(self, folder, tag).await;
        }
        if args.send.dry_run && self.files.iter().any(|file| is_stdio(file)) {
            let why = "standard input cannot be looked at without being read; leave --dry-run out";
            return Err(BadUsage::new(why).into());
        }
        match tag {
            Some(_) if args.resume.is_some() => {
                let why = "--resume goes on with the upload of a blob, which has no tag; the same command goes on by itself";
                return Err(BadUsage::new(why).into());
            }
            Some(tag) => {
                let files = artifact::titled(expand(&self.files)?, args.title.as_deref())?;
                return artifact::put(self, files, tag).await;
            }
            None if args.title.is_some() || args.artifact_type.is_some() => {
                return Err(self.needs_tag("titles and types are an artifact's").into());
            }
            None => {}
        }
        let files = expand(&self.files)?;
        if args.resume.is_some() && files.len() != 1 {
            return Err(BadUsage::new("--resume goes on with one upload, of one file").into());
        }
        args.send.prepare(&self.repository).await?;
        // Hashing is a core's work and sending the network's: of two files one is hashed while the other travels.
        let putting = files.iter().map(|file| async move { (file, self.file(file).await) });
        let at_once = self.limit.jobs().min(files.len()).max(1);
        let mut putting = futures_util::stream::iter(putting).buffered(at_once);
        let mut failed = Vec::new();
        while let Some((file, done)) = putting.next().await {
            match done {
                // In the order of the files.
                Ok(Done::Put(put)) => self.say(file, put, files.len() == 1),
                Ok(Done::Planned { digest, size, outcome }) => {
                    say_planned(args.output, &digest, size, outcome)?;
                }
                Err(error) if files.len() == 1 => return Err(error),
                Err(error) => {
                    complain!("error: {}: {}", file.display(), Advised(&error));
                    failed.push(file);
                }
            }
        }
        if failed.is_empty() { Ok(()) } else { bail!("{} of {} files failed", failed.len(), files.len()) }
    }

    async fn file(&self, file: &Path) -> anyhow::Result<Done> {
        if is_stdio(file) {
            return Ok(Done::Put(stream::put(self).await?));
        }
        let progress = self.display.progress().of(file.display().to_string());
        if self.args.send.dry_run {
            let blob = Blob::from_file(file, self.hashes.as_ref(), &progress).await?;
            let (digest, size) = (blob.digest(), blob.size());
            let is_there = self.repository.blob_size(&digest).await? == Some(size);
            return Ok(Done::Planned {
                digest,
                size,
                outcome: if is_there { "exists" } else { "would be sent" },
            });
        }
        let put = self.repository.put(file).jobs(self.limit.clone()).mode(self.args.mode);
        let put = put.resume(self.args.resume).saved_uploads(self.saved.clone());
        let put = put.hash_cache(self.hashes.clone()).progress(progress);
        Ok(Done::Put(put.send().await?))
    }

    fn say(&self, file: &Path, put: PutOutcome, is_alone: bool) {
        let reference = self.name.with_reference(Some(Reference::Digest(put.digest)));
        self.display.finish();
        if self.args.output.json {
            let report = json!({
                "event": "result",
                "file": file,
                "digest": put.digest,
                "size": put.size,
                "repository": self.repository.name(),
                "reference": reference.to_string(),
                "existed": put.outcome == Outcome::Exists,
                "outcome": put.outcome,
                "mode": put.mode,
                // Of several nobody knows whose the last session was.
                "upload_uuid": self.display.session().filter(|_| is_alone),
            });
            say!("{report}");
        } else {
            say!("{} {} {reference} {}", put.digest, put.size, printable(&file.display().to_string()));
        }
    }

    fn needs_tag(&self, why: &str) -> BadUsage {
        BadUsage::new(format!("{why}, and that needs a tag: write {}:TAG", self.name))
    }

    /// The command that goes on from here, also elsewhere.
    fn hint(&self) -> Option<String> {
        let [file] = &self.files[..] else { return None };
        if self.args.recursive || self.name.reference().is_some() || is_stdio(file) {
            return None;
        }
        let (file, name) = (file.display(), &self.name);
        let to = if self.args.to.is_some() { "--to " } else { "" };
        // Without the name and password that an address may have.
        let server = self.repository.registry().url().as_str().trim_end_matches('/');
        let id = self.display.session()?;
        Some(format!(
            "to go on on another machine: overside put '{file}' {to}{name} --server {server} --resume {id}"
        ))
    }
}

/// In the user's folder for what may go at any time. None without a home.
fn hashes(reads_all: bool) -> Option<HashCache> {
    let folder = user_folder("XDG_CACHE_HOME", ".cache")?;
    Some(HashCache::at(folder.join("overside/hashes"), reads_all))
}

/// What shells have not made of patterns; a file whose name only looks like one is itself.
fn expand(files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut expanded = Vec::new();
    for file in files {
        let is_pattern = file.to_str().is_some_and(|text| text.contains(['*', '?', '[']));
        if !is_pattern || file.exists() {
            expanded.push(file.clone());
            continue;
        }
        let pattern = file.to_str().unwrap_or_default();
        let paths = glob::glob(pattern).with_context(|| format!("{pattern} is no pattern"))?;
        let before = expanded.len();
        for path in paths {
            let path = path.with_context(|| format!("cannot look for {pattern}"))?;
            if path.is_file() {
                expanded.push(path);
            }
        }
        if expanded.len() == before {
            bail!("no file is like {pattern}");
        }
    }
    Ok(expanded)
}

/// Whether the session still takes bytes: not where it, or the file, was found to be wrong.
fn is_resumable(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. }
        | Error::Broken { .. }
        | Error::Stalled { .. }
        | Error::Incomplete(_)
        | Error::FinalizeStalled { .. }
        | Error::File { .. } => true,
        error => error.refusal().is_some_and(|refusal| {
            refusal.status.is_server_error() || matches!(refusal.status.as_u16(), 401 | 403 | 408 | 429)
        }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        put: PutArgs,
    }

    fn parse(args: &[&str]) -> Result<PutArgs, clap::Error> {
        Command::try_parse_from(std::iter::once(&"put").chain(args)).map(|command| command.put)
    }

    #[test]
    fn files_and_a_name_are_enough() {
        let args = parse(&["model.bin", "team/model"]).unwrap();
        assert_eq!((args.transfer.jobs, args.mode, args.resume), (4, None, None));
        let args = parse(&["a", "b", "c", "localhost:5000/team/model"]).unwrap();
        assert_eq!(args.operands.len(), 4);
    }

    #[test]
    fn bad_usage_is_found_before_anything_is_sent() {
        for bad in [
            &[][..],
            &["model.bin", "--to", "../etc"],
            &["model.bin", "team/model", "--jobs", "0"],
            &["model.bin", "team/model", "--mode", "proxied"],
            &["model.bin", "team/model", "--resume", "1"],
            &["model.bin", "team/model", "--server", "nowhere"],
            &["model.bin", "team/model:v1", "--artifact-type", "nothing"],
            &["folder", "team/model:v1", "--recursive", "--title", "a"],
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn patterns_are_files_and_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.parquet", "b.parquet", "c.txt", "[x].parquet"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let expanded = |pattern: &str| expand(&[folder.path().join(pattern)]);
        assert_eq!(expanded("*.parquet").unwrap().len(), 3);
        assert_eq!(expanded("[x].parquet").unwrap(), [folder.path().join("[x].parquet")]);
        assert_eq!(expanded("missing").unwrap(), [folder.path().join("missing")]);
        assert!(expanded("*.zip").unwrap_err().to_string().contains("no file is like"));
    }
}
