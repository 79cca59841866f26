//! `overside serve`

use std::io::Write;

use crate::config::ServeConfig;
use crate::server::{Server, shutdown_signal};

/// Run the service until SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub config: ServeConfig,
}

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let server = Server::bind(&args.config).await?;
    // For scripts that asked for a free port. A closed standard output is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "listening on {}", server.url()?.as_str().trim_end_matches('/'));
    server.run(shutdown_signal()).await;
    Ok(())
}
