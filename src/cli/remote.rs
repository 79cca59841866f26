//! What every command that speaks to a registry takes: the name of something there, and how to get there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use url::Url;

use crate::client::credentials::Credentials;
use crate::client::{Client, ConnectOptions, Credential, Lanes, UploadStates, is_loopback};
use crate::domain::digest::DigestError;
use crate::domain::name::{NameError, RepositoryName};
use crate::domain::reference::{InvalidReference, Reference};

/// Where uploads under way are remembered, below the user's folder for state.
const STATE_FOLDER: &str = "overside/uploads";

/// How to reach the registry.
#[derive(Debug, Clone, clap::Args)]
pub struct RemoteArgs {
    /// Registry of names that have no host before them
    #[arg(long, value_name = "URL", env = "OVERSIDE_SERVER", default_value = "http://127.0.0.1:5000")]
    pub server: Url,
    /// Certificate authorities to trust besides the system's, in PEM
    #[arg(long, value_name = "FILE", env = "OVERSIDE_CA")]
    ca: Option<PathBuf>,
    /// Take any certificate, and with it whoever is in between
    #[arg(long)]
    insecure: bool,
    /// Speak HTTP to hosts in names; without it only to this machine
    #[arg(long)]
    plain_http: bool,
}

/// How many, and where it is remembered.
#[derive(Debug, Clone, clap::Args)]
pub struct TransferArgs {
    /// Bodies to send or fetch at a time
    #[arg(long, short, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Folder that remembers uploads under way, so that the same command goes on with them
    /// [default: overside/uploads in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "OVERSIDE_STATE")]
    state: Option<PathBuf>,
}

/// `[http[s]://][HOST[:PORT]/]NAME[:TAG][@DIGEST]`: what begins with a host has a dot, a colon or `localhost` before
/// its first slash, as Docker has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteName {
    pub host: Option<HostPart>,
    pub repository: RepositoryName,
    pub reference: Option<Reference>,
}

/// What stands before the first slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPart {
    scheme: Option<String>,
    host: String,
}

/// Why a text names nothing on a registry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RemoteNameError {
    #[error("{0:?} is not a registry's host")]
    Host(String),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl FromStr for RemoteName {
    type Err = RemoteNameError;

    fn from_str(text: &str) -> Result<Self, RemoteNameError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme.to_owned()), rest),
            Some((other, _)) => return Err(RemoteNameError::Host(other.to_owned())),
            None => (None, text),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((first, path)) if scheme.is_some() || first.contains(['.', ':']) || first == "localhost" => {
                (Some(HostPart { scheme, host: parse_host(first)? }), path)
            }
            _ if scheme.is_some() => return Err(RemoteNameError::Host(rest.to_owned())),
            _ => (None, rest),
        };
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => (name, Some(Reference::Tag(tag.parse().map_err(InvalidReference::Tag)?))),
            None => (rest, None),
        };
        // With both the digest decides, as it does for Docker.
        let reference = digest.map(Reference::Digest).or(tag);
        Ok(Self { host, repository: name.parse()?, reference })
    }
}

/// `host` or `host:port`, and nothing that a URL would take for something else.
fn parse_host(text: &str) -> Result<String, RemoteNameError> {
    let url: Option<Url> = format!("https://{text}/").parse().ok();
    let is_host = url.is_some_and(|url| {
        url.path() == "/" && url.username().is_empty() && url.password().is_none() && url.query().is_none()
    });
    if is_host { Ok(text.to_owned()) } else { Err(RemoteNameError::Host(text.to_owned())) }
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(HostPart { scheme, host }) = &self.host {
            if let Some(scheme) = scheme {
                write!(f, "{scheme}://")?;
            }
            write!(f, "{host}/")?;
        }
        write!(f, "{}", self.repository)?;
        match &self.reference {
            Some(Reference::Tag(tag)) => write!(f, ":{tag}"),
            Some(Reference::Digest(digest)) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl RemoteName {
    /// The tag or digest, or else the tag that all tools take where none is given.
    pub fn reference_or_latest(&self) -> anyhow::Result<Reference> {
        self.reference.clone().map_or_else(|| Ok("latest".parse()?), Ok)
    }
}

impl RemoteArgs {
    /// A client of the registry that a name is on.
    pub async fn client(&self, name: &RemoteName) -> anyhow::Result<Client> {
        let url = match &name.host {
            Some(host) => self.url(host)?,
            None => self.server.clone(),
        };
        self.client_at(url, Some(&name.repository)).await
    }

    /// A client of a registry, as whoever is signed in to it.
    pub async fn client_at(&self, url: Url, repository: Option<&RepositoryName>) -> anyhow::Result<Client> {
        let host = authority(&url);
        let credentials = Credentials::load().context("cannot read who you are to registries")?;
        let repository = repository.map(RepositoryName::as_str);
        let credential = credentials.find(&host, repository).await;
        let credential = credential.context("cannot tell who you are to the registry")?;
        Ok(Client::connect(url, self.options(credential)?)?)
    }

    /// Everything but who the caller is.
    pub fn options(&self, credential: Option<Credential>) -> anyhow::Result<ConnectOptions> {
        let authorities = match &self.ca {
            Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            None => Vec::new(),
        };
        Ok(ConnectOptions { credential, authorities, accept_invalid_certificates: self.insecure })
    }

    /// Of a registry that is named alone: a URL, or a host as it stands in names.
    pub fn address(&self, text: &str) -> anyhow::Result<Url> {
        match text.split_once("://") {
            Some(_) => text.parse().with_context(|| format!("{text} is no address")),
            None => self.url(&HostPart { scheme: None, host: parse_host(text.trim_end_matches('/'))? }),
        }
    }

    fn url(&self, HostPart { scheme, host }: &HostPart) -> anyhow::Result<Url> {
        let https: Url = format!("https://{host}/").parse()?;
        let scheme = match scheme {
            Some(scheme) => scheme,
            None if self.plain_http || is_loopback(&https) => "http",
            None => "https",
        };
        Ok(format!("{scheme}://{host}/").parse()?)
    }
}

impl TransferArgs {
    pub fn lanes(&self) -> Lanes {
        Lanes::new(self.jobs.into())
    }

    /// None where there is no folder to remember anything in.
    pub fn states(&self) -> Option<UploadStates> {
        let base = || {
            let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
            let given =
                std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            Some(given.or_else(home)?.join(STATE_FOLDER))
        };
        self.state.clone().or_else(base).map(UploadStates::at)
    }
}

/// `host` or `host:port`, as credentials are kept by.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (text, host, name, reference) in [
            ("team/app", None, "team/app", None),
            ("team/app:v1", None, "team/app", Some("v1")),
            ("localhost/team/app:v1", Some("localhost"), "team/app", Some("v1")),
            ("127.0.0.1:5000/app", Some("127.0.0.1:5000"), "app", None),
            ("[::1]:5000/app:a", Some("[::1]:5000"), "app", Some("a")),
            ("registry.example/a/b/c:1.0", Some("registry.example"), "a/b/c", Some("1.0")),
            ("http://registry:80/a", Some("registry:80"), "a", None),
        ] {
            let parsed: RemoteName = text.parse().unwrap();
            assert_eq!(parsed.host.as_ref().map(|host| host.host.as_str()), host, "{text}");
            assert_eq!(parsed.repository.as_str(), name, "{text}");
            assert_eq!(parsed.reference.as_ref().map(ToString::to_string).as_deref(), reference, "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        let both: RemoteName = format!("a/b:v1@{digest}").parse().unwrap();
        assert_eq!(both.to_string(), format!("a/b@{digest}"));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for bad in [
            "",
            "/",
            "a/",
            "A/b",
            "a:b:c",
            "a@b",
            "a@sha256:1",
            "ftp://x/y",
            "https://x",
            "http:///a",
            "u:p@h.x/a",
            "h.x?q/a",
            "a b",
            "../up",
            "x.y/../z",
        ] {
            assert!(bad.parse::<RemoteName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_https() {
        let args = |plain_http| RemoteArgs {
            server: "http://127.0.0.1:5000".parse().unwrap(),
            ca: None,
            insecure: false,
            plain_http,
        };
        let url = |text: &str, plain_http| {
            let name: RemoteName = text.parse().unwrap();
            args(plain_http).url(name.host.as_ref().unwrap()).unwrap().to_string()
        };
        assert_eq!(url("localhost:5000/a", false), "http://localhost:5000/");
        assert_eq!(url("127.9.9.9/a", false), "http://127.9.9.9/");
        assert_eq!(url("localhost.example/a", false), "https://localhost.example/");
        assert_eq!(url("registry.example/a", true), "http://registry.example/");
        assert_eq!(url("https://localhost:5000/a", true), "https://localhost:5000/");
    }
}
