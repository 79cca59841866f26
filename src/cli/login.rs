//! `overside login` and `logout`: who you are to a registry, kept where Docker keeps it.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use url::Url;

use super::remote::{RemoteArgs, authority};
use crate::client::credentials::Credentials;
use crate::client::{Client, Credential};

/// Sign in to a registry
///
/// Name and secret are tried, and then kept in Docker's configuration, or by the credential helper that it names: what
/// `docker login` has kept is used by these commands, and the other way round.
#[derive(Debug, clap::Args)]
pub struct LoginArgs {
    /// The registry's address, such as registry.example or http://127.0.0.1:5000 [default: --server]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
    /// Name of the user or robot
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// Read the password or token from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Forget who you are to a registry
#[derive(Debug, clap::Args)]
pub struct LogoutArgs {
    /// The registry's address [default: --server]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub async fn login(args: LoginArgs) -> anyhow::Result<()> {
    let url = address(args.registry.as_deref(), &args.remote)?;
    let host = authority(&url);
    let username = match args.username {
        Some(username) => username,
        None if std::io::stdin().is_terminal() => ask("Username: ")?,
        None => bail!("name the user with --username"),
    };
    let password = if args.password_stdin {
        first_line()?
    } else if std::io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ").context("cannot read the password")?
    } else {
        bail!("without a terminal the password comes by --password-stdin")
    };
    if password.is_empty() {
        bail!("the password is empty");
    }
    let credential = Credential::Basic { username: username.clone(), password };
    let client = Client::connect(url, args.remote.options(Some(credential.clone()))?)?;
    client.ping().await.with_context(|| format!("{username} is not signed in to {host}"))?;
    let credentials = Credentials::load()?;
    credentials.store(&host, &credential).await.context("cannot keep the credentials")?;
    println!("{username} is signed in to {host}");
    Ok(())
}

pub async fn logout(args: LogoutArgs) -> anyhow::Result<()> {
    let host = authority(&address(args.registry.as_deref(), &args.remote)?);
    if Credentials::load()?.erase(&host).await? {
        println!("signed out of {host}");
    } else {
        println!("nobody was signed in to {host}");
    }
    Ok(())
}

/// A URL, or a host as it stands in names.
fn address(text: Option<&str>, remote: &RemoteArgs) -> anyhow::Result<Url> {
    match text {
        None => Ok(remote.server.clone()),
        Some(text) => remote.address(text),
    }
}

fn ask(question: &str) -> anyhow::Result<String> {
    eprint!("{question}");
    std::io::stderr().flush()?;
    first_line()
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
