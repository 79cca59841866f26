//! `overside get`: a blob out of a repository, verified.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use serde::Serialize;
use url::Url;

use super::progress::{Display, OutputArgs};
use crate::client::Client;
use crate::domain::digest::{Digest, DigestError};
use crate::domain::name::{NameError, RepositoryName};

/// Download a blob, verify its SHA-256 and only then give the file its name
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// What to download, such as team/model@sha256:…
    #[arg(value_name = "NAME@DIGEST")]
    reference: BlobReference,
    /// File to write; an existing one is replaced once the download is verified
    #[arg(long = "output", short = 'o', value_name = "FILE")]
    file: PathBuf,
    /// Address of the server
    #[arg(long, value_name = "URL", env = "OVERSIDE_SERVER", default_value = "http://127.0.0.1:5000")]
    server: Url,
    #[command(flatten)]
    output: OutputArgs,
}

/// A blob of a repository, written `NAME@DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BlobReference {
    name: RepositoryName,
    digest: Digest,
}

/// Why a text is no blob reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum BlobReferenceError {
    #[error("a blob is written NAME@DIGEST, such as team/model@sha256:…; `overside put` prints it")]
    Malformed,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl fmt::Display for BlobReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

impl FromStr for BlobReference {
    type Err = BlobReferenceError;

    fn from_str(text: &str) -> Result<Self, BlobReferenceError> {
        let (name, digest) = text.split_once('@').ok_or(BlobReferenceError::Malformed)?;
        Ok(Self { name: name.parse()?, digest: digest.parse()? })
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct GetReport {
    digest: Digest,
    size: u64,
    repository: RepositoryName,
    reference: String,
    file: PathBuf,
}

pub async fn run(args: GetArgs) -> anyhow::Result<()> {
    let client = Client::new(args.server)?;
    let display = Display::new(args.output);
    let progress = display.progress();
    let BlobReference { name, digest } = &args.reference;
    let size = tokio::select! {
        size = client.download(name, digest, &args.file, &progress) => size,
        _ = tokio::signal::ctrl_c() => {
            display.finish();
            bail!("interrupted; the same command goes on from what has arrived");
        }
    };
    display.finish();
    let size = size.with_context(|| format!("cannot download {}", args.reference))?;
    if args.output.json {
        let reference = args.reference.to_string();
        let BlobReference { name: repository, digest } = args.reference;
        let report = GetReport { digest, size, repository, reference, file: args.file };
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{digest} {size} {}", args.file.display());
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        get: GetArgs,
    }

    #[test]
    fn a_reference_and_a_file_are_what_it_needs() {
        let reference = format!("team/model@{}", Digest::EMPTY);
        let command = Command::try_parse_from(["get", &reference, "-o", "file"]).unwrap();
        assert_eq!(command.get.file, PathBuf::from("file"));
        for bad in [&["get", "team/model", "-o", "file"][..], &["get", &reference]] {
            assert_eq!(Command::try_parse_from(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn a_reference_has_a_name_and_a_digest() {
        let text = format!("team/model@{}", Digest::EMPTY);
        let reference: BlobReference = text.parse().unwrap();
        assert_eq!((reference.name.as_str(), reference.digest), ("team/model", Digest::EMPTY));
        assert_eq!(reference.to_string(), text);
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_reason() {
        let parse = |text: &str| text.parse::<BlobReference>().unwrap_err();
        assert_eq!(parse("team/model:latest"), BlobReferenceError::Malformed);
        assert_eq!(
            parse(&format!("../up@{}", Digest::EMPTY)),
            BlobReferenceError::Name(NameError::Malformed)
        );
        assert_eq!(parse("team/model@sha256:abc"), BlobReferenceError::Digest(DigestError::Malformed));
    }
}
