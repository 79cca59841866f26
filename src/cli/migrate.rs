//! `overside migrate`

use crate::config::StoreConfig;
use crate::open;

/// Bring the database's schema up to date.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    store: StoreConfig,
}

pub(super) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    open::database(&args.store).await?.close().await;
    say!("the database is up to date");
    Ok(())
}
