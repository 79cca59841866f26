//! `overside serve`

use std::env;
use std::io::Write;

use anyhow::Context;
use url::Url;

use super::BadUsage;
use crate::auth::password::Password;
use crate::config::{AuthMode, ServeConfig};
use crate::server::{Server, shutdown_signal};
use crate::service::FirstAdministrator;

/// The first administrator's. No flag: a command line is everybody's to read.
const ADMIN_PASSWORD: &str = "OVERSIDE_ADMIN_PASSWORD";

/// Run the service until SIGTERM or Ctrl-C.
///
/// Where people have to sign in and there is no user yet, it makes one, `admin`, with the password in
/// `OVERSIDE_ADMIN_PASSWORD`, or with one that it prints once.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ServeConfig,
}

/// A URL without its user and password, and without a query, which may have them as well.
fn without_secrets(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return "(not a URL)".to_owned() };
    // Neither fails where there is a host; where there is none, there is no password.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.into()
}

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let config = &args.config;
    config.check().map_err(BadUsage::new)?;
    let server = Server::bind(config).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database = without_secrets(&config.store.database),
        store = %config.store.storage,
        endpoint = config.store.s3_endpoint.as_ref().map(Url::as_str).map(without_secrets),
        sign_in = match config.auth {
            AuthMode::None => "nobody has to: whoever reaches this port may do everything",
            AuthMode::Token => "everybody but for pulls from public projects",
        },
        "serving"
    );
    if config.auth == AuthMode::Token
        && !config.listen.ip().is_loopback()
        && config.store.public_url.is_none()
    {
        tracing::warn!(
            "clients are sent for tokens to wherever they found this server: behind a proxy that ends TLS say --public-url, or \
             have it set X-Forwarded-Proto, or passwords go without TLS"
        );
    }
    let given = match env::var(ADMIN_PASSWORD) {
        Ok(password) => Some(Password::new(password)),
        Err(env::VarError::NotPresent) => None,
        Err(error) => return Err(error).context(ADMIN_PASSWORD),
    };
    let mut out = std::io::stdout();
    // A closed standard output is no reason not to serve; `overside user passwd admin` gives another password.
    let _ = match server.create_first_administrator(given).await? {
        None => Ok(()),
        Some(FirstAdministrator::Given) => {
            writeln!(out, "made the first administrator: admin, with the password in {ADMIN_PASSWORD}")
        }
        Some(FirstAdministrator::Generated(password)) => {
            let password = password.reveal();
            writeln!(out, "made the first administrator: admin, password {password} (not shown again)")
        }
    };
    // For scripts that asked for a free port.
    let _ = writeln!(out, "listening on {}", server.url()?.as_str().trim_end_matches('/'));
    server.run(shutdown_signal()).await;
    Ok(())
}
