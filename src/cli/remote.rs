//! What every command that speaks to a registry takes: the name of something there, and how to get there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use overside_client::credentials::{Credentials, CredentialsError};
use overside_client::{AddressError, Client, ConnectOptions, Credential, Lanes, RegistryAddress, authority};
use url::Url;

use crate::domain::digest::DigestError;
use crate::domain::name::{NameError, RepositoryName};
use crate::domain::reference::{InvalidReference, Reference};

/// How to reach the registry.
#[derive(Debug, Clone, clap::Args)]
pub struct RemoteArgs {
    /// Registry of names that have no host before them
    #[arg(
        long,
        value_name = "HOST:PORT|URL",
        env = "OVERSIDE_SERVER",
        // It may have a password in it.
        hide_env_values = true,
        default_value = "http://127.0.0.1:5000",
        value_parser = server
    )]
    pub server: Url,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Whom to believe that they are the registry, or belong to it.
#[derive(Debug, Clone, clap::Args)]
pub struct TlsArgs {
    /// Certificate authorities to trust besides the system's, in PEM
    #[arg(long, value_name = "FILE", env = "OVERSIDE_CA")]
    ca: Option<PathBuf>,
    /// Take any certificate, and with it whoever is in between
    #[arg(long)]
    insecure: bool,
    /// Where a registry may have passwords checked besides its own domain; may be given again
    #[arg(long, value_name = "URL", env = "OVERSIDE_TRUSTED_TOKEN_SERVICE", value_delimiter = ',')]
    token_service: Vec<Url>,
}

/// How much at a time.
#[derive(Debug, Clone, clap::Args)]
pub struct TransferArgs {
    /// Bodies to send or fetch at a time
    #[arg(long, short, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Most bytes in a second, of all bodies together, like 10MiB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    bwlimit: Option<u64>,
}

/// Below this the pauses between two reads of a body would look like a connection that has died.
const MIN_RATE: u64 = 64 * 1024;

fn rate(text: &str) -> Result<u64, String> {
    match text.parse::<bytesize::ByteSize>() {
        Ok(rate) if rate.as_u64() >= MIN_RATE => Ok(rate.as_u64()),
        _ => Err("write bytes in a second like 10MiB; at least 64KiB".to_owned()),
    }
}

/// `[http[s]://][HOST[:PORT]/]NAME[:TAG][@DIGEST]`: what begins with a host has a dot, a colon or `localhost` before
/// its first slash, as Docker has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteName {
    /// As it was written, and what it means.
    host: Option<(String, RegistryAddress)>,
    pub repository: RepositoryName,
    pub reference: Option<Reference>,
}

/// Why a text names nothing on a registry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RemoteNameError {
    #[error(
        "a manifest is written NAME:TAG or NAME@DIGEST, a blob NAME@DIGEST; `overside put` and `push` print them"
    )]
    NoReference,
    #[error(transparent)]
    Address(#[from] AddressError),
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
        let scheme = text.find("://").map_or(0, |end| end + "://".len());
        let first = text[scheme..].find('/').map(|end| scheme + end);
        let is_host = |end: usize| {
            let first = &text[scheme..end];
            // No host begins with a dot, and a path that climbs is better called a bad name.
            scheme > 0 || (!first.starts_with('.') && first.contains(['.', ':'])) || first == "localhost"
        };
        let (host, rest) = match first.filter(|end| is_host(*end)) {
            Some(end) => (Some((text[..end].to_owned(), text[..end].parse()?)), &text[end + 1..]),
            None => (None, text),
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

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((host, _)) = &self.host {
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

/// A server as a URL, or as it is written before names: `localhost:5000`.
pub fn server(text: &str) -> Result<Url, String> {
    if text.contains("://") {
        return text.parse().map_err(|error: url::ParseError| error.to_string());
    }
    // A word alone is more likely a mistake than a host.
    let is_host = text.contains(['.', ':']) || text == "localhost";
    let address = text.parse::<RegistryAddress>().ok().filter(|_| is_host);
    address
        .map(|address| address.url().clone())
        .ok_or_else(|| "write it as host:port, or as a URL".to_owned())
}

/// For arguments that cannot do without a tag or a digest.
pub fn with_reference(text: &str) -> Result<RemoteName, RemoteNameError> {
    let name: RemoteName = text.parse()?;
    if name.reference.is_some() { Ok(name) } else { Err(RemoteNameError::NoReference) }
}

impl RemoteName {
    /// The same repository, with another tag or digest.
    pub fn with(&self, reference: Option<Reference>) -> Self {
        Self { reference, ..self.clone() }
    }

    /// The tag or digest, or else the tag that all tools take where none is given.
    pub fn reference_or_latest(&self) -> anyhow::Result<Reference> {
        self.reference.clone().map_or_else(|| Ok("latest".parse()?), Ok)
    }
}

impl RemoteArgs {
    /// A client of the registry that a name is on, as whoever is signed in to it.
    pub async fn client(&self, name: &RemoteName) -> anyhow::Result<Client> {
        let url = name.host.as_ref().map_or(&self.server, |(_, address)| address.url());
        self.client_at(url.clone(), Some(&name.repository)).await
    }

    /// The same of a registry by itself.
    pub async fn client_at(&self, url: Url, repository: Option<&RepositoryName>) -> anyhow::Result<Client> {
        let credentials = Credentials::load().context("cannot read who you are to registries")?;
        let repository = repository.map(RepositoryName::as_str);
        let credential = match credentials.find(&authority(&url).unwrap_or_default(), repository).await {
            // Much can be done by nobody in particular; what cannot, the registry says.
            Err(error @ (CredentialsError::HelperMissing { .. } | CredentialsError::HelperBroken { .. })) => {
                complain!("warning: {error}");
                None
            }
            found => found.context("cannot tell who you are to the registry")?,
        };
        Ok(Client::connect(url, self.tls.options(credential)?)?)
    }
}

impl TlsArgs {
    /// With who the caller is.
    pub fn options(&self, credential: Option<Credential>) -> anyhow::Result<ConnectOptions> {
        let authorities = match &self.ca {
            Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            None => Vec::new(),
        };
        Ok(ConnectOptions {
            credential,
            token_services: self.token_service.clone(),
            authorities,
            accept_invalid_certificates: self.insecure,
            retrying: Some(super::output::say_retry),
        })
    }
}

impl TransferArgs {
    pub fn lanes(&self) -> Lanes {
        // No more than get their turn within seconds.
        let most = self.bwlimit.map_or(u64::MAX, |rate| rate / (MIN_RATE / 4));
        Lanes::new(usize::try_from(most).unwrap_or(usize::MAX).min(self.jobs.into()))
    }

    /// The client, as fast as it may be.
    pub fn limit(&self, client: Client) -> Client {
        client.with_rate_limit(self.bwlimit)
    }
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
            ("http://registry:80/a", Some("http://registry:80"), "a", None),
        ] {
            let parsed: RemoteName = text.parse().unwrap();
            assert_eq!(parsed.host.as_ref().map(|(written, _)| written.as_str()), host, "{text}");
            assert_eq!(parsed.repository.as_str(), name, "{text}");
            assert_eq!(parsed.reference.as_ref().map(ToString::to_string).as_deref(), reference, "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        let both: RemoteName = format!("a/b:v1@{digest}").parse().unwrap();
        assert_eq!(both.to_string(), format!("a/b@{digest}"));
    }

    #[test]
    fn a_server_needs_no_scheme() {
        for (text, url) in [
            ("localhost:5000", "http://localhost:5000/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("registry.example", "https://registry.example/"),
            ("https://user:secret@registry.example/path", "https://user:secret@registry.example/path"),
        ] {
            assert_eq!(server(text).unwrap().as_str(), url);
        }
        for bad in ["nowhere", "", "u:p@h.x", "host:port"] {
            assert!(server(bad).is_err(), "{bad}");
        }
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
}
