//! `overside lfs-authenticate`: what git-lfs runs at the Git host of an ssh remote (git-lfs,
//! `docs/api/server-discovery.md`), to be told where the objects go and with which credentials.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use url::Url;

use crate::config::{service_name, token_lifetime};
use crate::domain::access::Action;
use crate::domain::name::RepositoryName;
use crate::open;

/// Name of the program that git-lfs asks for.
const PROGRAM: &str = "git-lfs-authenticate";
/// Sent by sshd to a forced command.
const ORIGINAL_COMMAND: &str = "SSH_ORIGINAL_COMMAND";

/// Tell git-lfs on an ssh remote where objects go, and give it a token for that
///
/// For the Git host, whose ssh server has found out who the user is: as `git-lfs-authenticate` in the path of whoever signs in
/// there, or as the command that a key is bound to (then it takes path and operation from `SSH_ORIGINAL_COMMAND`). The
/// token is for what the user of this name may do in the repository. It reads the database, so keep that from those who
/// sign in.
#[derive(Debug, clap::Args)]
pub struct LfsAuthenticateArgs {
    /// The repository's path, as the remote's URL has it, such as /srv/git/team/game.git
    #[arg(requires = "operation")]
    path: Option<String>,
    /// `upload` or `download`
    operation: Option<String>,
    /// Who it is: the name of a user or a robot
    #[arg(long, value_name = "NAME", env = "OVERSIDE_LFS_USER")]
    user: String,
    /// Where Overside is reached
    #[arg(long, value_name = "URL", env = "OVERSIDE_PUBLIC_URL")]
    public_url: Url,
    /// What stands before the repository's name in paths, such as /srv/git
    #[arg(long, value_name = "PATH", default_value = "", env = "OVERSIDE_LFS_PATH_PREFIX")]
    path_prefix: String,
    /// The servers' database
    #[arg(long, value_name = "URL", env = "OVERSIDE_DATABASE", hide_env_values = true)]
    database: String,
    /// As the servers have it
    #[arg(long, env = "OVERSIDE_TOKEN_SERVICE", default_value = "overside", value_parser = service_name)]
    token_service: String,
    /// How long the token lives; git-lfs gets another by itself
    #[arg(long, env = "OVERSIDE_TOKEN_LIFETIME", default_value = "5m", value_parser = token_lifetime)]
    token_lifetime: Duration,
}

pub async fn run(args: LfsAuthenticateArgs) -> anyhow::Result<()> {
    let original = std::env::var(ORIGINAL_COMMAND).ok();
    let (path, operation) = match (&args.path, &args.operation, &original) {
        (Some(path), Some(operation), _) => (path.as_str(), operation.as_str()),
        (_, _, Some(command)) => {
            split(command).with_context(|| format!("{ORIGINAL_COMMAND} is no {PROGRAM} PATH OPERATION"))?
        }
        _ => bail!("give the repository's path and upload or download, or {ORIGINAL_COMMAND}"),
    };
    let action = match operation {
        "upload" => Action::Push,
        "download" => Action::Pull,
        _ => bail!("the operation is upload or download"),
    };
    let name = repository(path, &args.path_prefix)?;
    let issuer = open::token_issuer(&args.database, args.token_service, args.token_lifetime);
    let service = Box::pin(issuer).await?;
    let (token, expires_in) = service.token_of(&args.user, &name, action).await?;
    let base = args.public_url.as_str().trim_end_matches('/');
    // No line of text for people: git-lfs reads it.
    say!(
        "{}",
        json!({
            "href": format!("{base}/{name}.git/info/lfs"),
            "header": { "Authorization": format!("Bearer {token}") },
            "expires_in": expires_in,
        })
    );
    Ok(())
}

/// Path and operation of a command as git-lfs sends it: no shell reads it here, and no part of it has blanks.
fn split(command: &str) -> Option<(&str, &str)> {
    let mut words = command.split_ascii_whitespace();
    let (Some(PROGRAM), Some(path), Some(operation), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    Some((path.trim_matches('\''), operation))
}

fn repository(path: &str, prefix: &str) -> anyhow::Result<RepositoryName> {
    let below = path.strip_prefix(prefix.trim_end_matches('/'));
    let below = below.filter(|below| prefix.is_empty() || below.starts_with('/'));
    let name = below.with_context(|| format!("the path is not below {prefix}"))?.trim_matches('/');
    let name = name.strip_suffix(".git").unwrap_or(name);
    name.parse().with_context(|| format!("{name:?} is no repository of Overside's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_command_is_taken_apart_without_a_shell() {
        assert_eq!(split("git-lfs-authenticate team/game.git upload"), Some(("team/game.git", "upload")));
        assert_eq!(
            split("git-lfs-authenticate '/team/game.git' download"),
            Some(("/team/game.git", "download"))
        );
        for other in
            ["", "git-receive-pack 'team/game.git'", "git-lfs-authenticate a", "git-lfs-authenticate a b c"]
        {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_names_a_repository() {
        let named = |path, prefix| repository(path, prefix).ok().map(|name| name.to_string());
        assert_eq!(named("/team/game.git", ""), Some("team/game".to_owned()));
        assert_eq!(named("/srv/git/team/game", "/srv/git"), Some("team/game".to_owned()));
        for (path, prefix) in [
            ("/home/x", "/srv"),
            ("/srv/git2/team/game", "/srv/git"),
            ("/srv/git/../../etc", "/srv/git"),
            ("", ""),
            ("Team/Game", ""),
        ] {
            assert_eq!(named(path, prefix), None, "{path}");
        }
    }
}
