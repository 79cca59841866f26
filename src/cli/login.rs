//! `overside login` and `overside logout`

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use overside_client::credentials::{CredentialStore, Credentials};
use overside_client::{Credential, RegistryAddress};

use super::BadUsage;
use super::remote::TlsArgs;

/// Sign in to a registry, and keep name and password where Docker does
///
/// The registry is asked first whether it takes them. Whoever is signed in with docker, podman, skopeo or oras is
/// signed in here too.
#[derive(Debug, clap::Args)]
pub(super) struct LoginArgs {
    #[command(flatten)]
    registry: RegistryArg,
    /// Who signs in; asked for on a terminal if it is not given
    #[arg(long, short)]
    username: Option<String>,
    /// Read the password, or a token, from the first line of standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Forget what `login` kept for a registry
#[derive(Debug, clap::Args)]
pub(super) struct LogoutArgs {
    #[command(flatten)]
    registry: RegistryArg,
}

#[derive(Debug, clap::Args)]
struct RegistryArg {
    /// The registry: HOST, HOST:PORT or a URL
    #[arg(
        value_name = "REGISTRY",
        env = "OVERSIDE_SERVER",
        // It may have a password in it.
        hide_env_values = true,
        default_value = "http://127.0.0.1:5000"
    )]
    registry: RegistryAddress,
}

pub(super) async fn login(args: LoginArgs) -> anyhow::Result<()> {
    let registry = args.registry.registry;
    // First: nobody should type a password before hearing that it cannot be kept.
    let credentials = Credentials::load()?;
    let stranger = args.tls.builder(registry.url())?.build()?;
    // Also first: a password may go elsewhere, and nobody should type one that goes nowhere.
    if let Some(service) = stranger.token_service_elsewhere().await? {
        let service = service.origin().ascii_serialization();
        complain!("{registry} has passwords checked by {service}: yours goes there, whenever it is needed");
    }
    let username = args.username.map_or_else(ask_for_name, Ok)?;
    let password = if args.password_stdin { read_line()? } else { ask_for_password()? };
    if username.is_empty() || password.is_empty() {
        return Err(BadUsage::new("neither name nor password can be empty").into());
    }
    let credential = Credential::basic(&username, password);
    args.tls.builder(registry.url())?.credentials(credential.clone()).build()?.ping().await?;
    let store = credentials.store(registry.name(), &credential).await?;
    say!("signed in to {registry} as {username}");
    match store {
        CredentialStore::Helper(program) => complain!("{program} keeps the password"),
        CredentialStore::File(path) => complain!(
            "the password is in {}, not encrypted; a credential helper would keep it safer (credsStore in that file)",
            path.display()
        ),
        _ => {}
    }
    Ok(())
}

pub(super) async fn logout(args: LogoutArgs) -> anyhow::Result<()> {
    let registry = args.registry.registry;
    if Credentials::load()?.erase(registry.name()).await? {
        say!("signed out of {registry}");
    } else {
        say!("was not signed in to {registry}");
    }
    Ok(())
}

fn ask_for_name() -> anyhow::Result<String> {
    expect_terminal(
        "standard input is no terminal to ask on; give a name with --username and the password with --password-stdin",
    )?;
    eprint!("User name: ");
    read_line()
}

fn ask_for_password() -> anyhow::Result<String> {
    expect_terminal("standard input is no terminal to ask on; give the password with --password-stdin")?;
    rpassword::prompt_password("Password: ").context("cannot read a password from the terminal")
}

fn expect_terminal(instead: &'static str) -> Result<(), BadUsage> {
    if std::io::stdin().is_terminal() { Ok(()) } else { Err(BadUsage::new(instead)) }
}

/// The first line of standard input.
pub(super) fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
