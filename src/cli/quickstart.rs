//! `overside quickstart`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, FromArgMatches};
use overside_client::Registry;

use crate::config::ServeConfig;
use crate::domain::name::RepositoryName;
use crate::server::{Server, shutdown_signal};

/// The repository of the first push.
const REPOSITORY: &str = "quickstart/first";

/// Serve on the embedded default, this machine only, and push one real file through it.
#[derive(Debug, Args)]
pub(super) struct QuickstartArgs {
    /// Folder for the database and the store
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 5000)]
    port: u16,
    /// The file to push [default: this program itself]
    #[arg(long)]
    file: Option<PathBuf>,
    /// Stop after the push
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(args: QuickstartArgs) -> anyhow::Result<()> {
    // Before a build replaces it, after which Linux calls it deleted.
    let program = std::env::current_exe()?;
    let server = Server::bind(&config(&args)?).await?;
    let url = server.url()?;
    let stop = tokio_util::sync::CancellationToken::new();
    let stopping = stop.clone();
    let serving = tokio::spawn(server.run(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = shutdown_signal() => {}
        }
    }));
    let base = url.as_str().trim_end_matches('/');
    say!("Overside serves on {base}, with everything it keeps in {}", args.data.display());
    let file = args.file.clone().unwrap_or_else(|| program.clone());
    let name: RepositoryName = REPOSITORY.parse()?;
    let repository = Registry::builder(&url).build()?.repository(name.clone());
    let put = repository.put(&file).send().await?;
    say!("pushed {} as {name}@{} ({} bytes)", file.display(), put.digest, put.size);
    let back = tempfile_beside(&args.data);
    repository.download(&put.digest).save(&back).await?;
    tokio::fs::remove_file(&back).await.context("cannot remove the downloaded copy")?;
    say!("pulled it back: the digest holds");
    if args.once {
        stop.cancel();
    } else {
        say_what_is_next(&program, base);
    }
    serving.await?;
    Ok(())
}

/// The embedded default of every setting, whatever the environment says about a production database.
fn config(args: &QuickstartArgs) -> anyhow::Result<ServeConfig> {
    let root = args.data.display();
    let command = ServeConfig::augment_args(Command::new("serve"));
    let matches = command.try_get_matches_from([
        "serve".to_owned(),
        format!("--database=sqlite://{root}/overside.db"),
        format!("--storage=file://{root}/store"),
        format!("--listen=127.0.0.1:{}", args.port),
    ])?;
    Ok(ServeConfig::from_arg_matches(&matches)?)
}

/// Commands to paste into another terminal. They bring their own file.
fn say_what_is_next(program: &Path, base: &str) {
    let folder = program.parent().unwrap_or(Path::new("/"));
    say!("");
    say!("The program is {}", program.display());
    say!("In another terminal:");
    let searched = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&searched).any(|path| path == folder) {
        say!("  export PATH={}:\"$PATH\"", quoted(&folder.display().to_string()));
    }
    say!("  export OVERSIDE_SERVER={base}");
    say!("  echo 'a first file' > hello.txt");
    say!("  overside put hello.txt quickstart/hello:v1");
    say!("  overside ls quickstart/hello");
    say!("  overside get quickstart/hello:v1 --output hello");
    say!("  curl -sS {base}/v2/quickstart/hello/tags/list");
    say!("Ctrl-C stops the server.");
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn tempfile_beside(data: &Path) -> PathBuf {
    data.join(format!("quickstart-{}", uuid::Uuid::new_v4().as_simple()))
}
