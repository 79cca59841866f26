//! `overside put`: a file into a repository.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use url::Url;

use super::progress::{Display, OutputArgs};
use crate::client::{Client, Error, Lanes, PutOptions};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{TransferMode, UploadId};

/// Upload a file straight to the bucket and have it verified and published
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    /// The file to upload
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Repository it goes to, such as team/model
    #[arg(value_name = "NAME")]
    name: RepositoryName,
    /// Address of the server
    #[arg(long, value_name = "URL", env = "OVERSIDE_SERVER", default_value = "http://127.0.0.1:5000")]
    server: Url,
    /// Parts to send at a time
    #[arg(long, short, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Send the file in one PUT or in parts; the server decides by its size if this is not given
    #[arg(long, value_parser = transfer_mode())]
    mode: Option<TransferMode>,
    /// Go on with an upload that was begun before, on this or another machine
    #[arg(long, value_name = "UUID")]
    resume: Option<UploadId>,
    #[command(flatten)]
    output: OutputArgs,
}

/// `proxied` is a mode too, but not one to choose: it is what clients get that know no presigned URLs.
fn transfer_mode() -> impl TypedValueParser<Value = TransferMode> {
    PossibleValuesParser::new(["put", "multipart"]).try_map(|mode| mode.parse::<TransferMode>())
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct PutReport {
    digest: Digest,
    size: u64,
    repository: RepositoryName,
    /// NAME@DIGEST, as `overside get` takes it.
    reference: String,
    /// The server had it, and nothing was sent.
    existed: bool,
    mode: Option<TransferMode>,
    upload_uuid: Option<UploadId>,
}

pub async fn run(args: PutArgs) -> anyhow::Result<()> {
    let client = Client::new(args.server.clone())?;
    let display = Display::new(args.output);
    let options = PutOptions {
        lanes: Lanes::new(args.jobs.into()),
        mode: args.mode,
        resume: args.resume,
        ..PutOptions::default()
    };
    let progress = display.progress();
    let outcome = tokio::select! {
        outcome = client.put_file(&args.name, &args.file, &options, &progress) => outcome.map_err(|error| {
            let hint = if is_resumable(&error) { resume_hint(&args, display.session()) } else { String::new() };
            (anyhow::Error::new(error), hint)
        }),
        _ = tokio::signal::ctrl_c() => Err((anyhow!("interrupted"), resume_hint(&args, display.session()))),
    };
    display.finish();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err((error, hint)) => {
            if !hint.is_empty() {
                eprintln!("{hint}");
            }
            return Err(error);
        }
    };
    let reference = format!("{}@{}", args.name, outcome.digest);
    if args.output.json {
        let report = PutReport {
            digest: outcome.digest,
            size: outcome.size,
            repository: args.name,
            reference,
            existed: outcome.existed(),
            mode: outcome.mode,
            upload_uuid: display.session(),
        };
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{} {} {reference}", outcome.digest, outcome.size);
    }
    Ok(())
}

/// Whether the session still takes bytes: not where it, or the file, was found to be wrong.
fn is_resumable(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. }
        | Error::Broken { .. }
        | Error::Stalled { .. }
        | Error::Incomplete(_)
        | Error::File { .. } => true,
        error => error.refusal().is_some_and(|refusal| {
            refusal.status.is_server_error() || matches!(refusal.status.as_u16(), 401 | 403 | 408 | 429)
        }),
    }
}

/// The command that goes on from here.
fn resume_hint(args: &PutArgs, session: Option<UploadId>) -> String {
    session.map_or_else(String::new, |id| {
        let (file, name, server) =
            (args.file.display(), &args.name, args.server.as_str().trim_end_matches('/'));
        format!("to go on with this upload: overside put '{file}' {name} --server {server} --resume {id}")
    })
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
    fn a_file_and_a_name_are_enough() {
        let args = parse(&["model.bin", "team/model"]).unwrap();
        assert_eq!((args.jobs, args.mode, args.resume), (4, None, None));
    }

    #[test]
    fn bad_usage_is_found_before_anything_is_sent() {
        for bad in [
            &["model.bin"][..],
            &["model.bin", "../etc"],
            &["model.bin", "team/model", "--jobs", "0"],
            &["model.bin", "team/model", "--mode", "proxied"],
            &["model.bin", "team/model", "--resume", "1"],
            &["model.bin", "team/model", "--server", "nowhere"],
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn the_hint_is_a_command_that_parses() {
        let id = UploadId::generate();
        let hint = resume_hint(&parse(&["my model.bin", "team/model"]).unwrap(), Some(id));
        assert!(
            hint.ends_with(&format!(
                "'my model.bin' team/model --server http://127.0.0.1:5000 --resume {id}"
            ))
        );
    }
}
