//! `-` where a command takes a file: standard input, or standard output.
//!
//! What goes out is kept in a temporary file until it is proven, as any download is: no program behind a pipe should work
//! with bytes that were not meant.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use tempfile::{NamedTempFile, TempDir};
use tokio::task::spawn_blocking;

use super::BadUsage;
use super::progress::OutputArgs;

/// What names standard input and standard output.
pub(super) const STDIO: &str = "-";

/// Where a command's output goes, until it is finished.
#[derive(Debug)]
pub(super) struct Outgoing(TempDir);

pub(super) fn is_stdio(path: &Path) -> bool {
    path == Path::new(STDIO)
}

impl Outgoing {
    /// Makes a place for what goes to standard output, which can have nothing else then.
    pub fn new(output: OutputArgs) -> anyhow::Result<Self> {
        if output.json {
            let why =
                "--json and the bytes would both go to standard output; name a file, or leave --json out";
            return Err(BadUsage::new(why).into());
        }
        Ok(Self(tempfile::tempdir().context("cannot make a temporary folder")?))
    }

    /// The folder in which it is made.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Sends a finished file of the folder.
    pub async fn send(self, file: &Path) -> anyhow::Result<()> {
        let file = self.folder().join(file);
        let sent = spawn_blocking(move || {
            let mut stdout = io::stdout().lock();
            io::copy(&mut File::open(file)?, &mut stdout)?;
            stdout.flush()
        });
        sent.await?.context("cannot write to standard output")
    }
}

/// All of standard input, in a file that lasts as long as the result: what reads archives goes to and fro in them.
pub(super) async fn spooled() -> anyhow::Result<NamedTempFile> {
    let spooled = spawn_blocking(|| {
        let mut file = NamedTempFile::new()?;
        io::copy(&mut io::stdin().lock(), &mut file)?;
        Ok::<_, io::Error>(file)
    });
    spooled.await?.context("cannot keep standard input in a temporary file")
}
