//! What every command that speaks to a registry takes: the name of something there, and how to get there.

use std::path::PathBuf;

use anyhow::Context;
use overside_client::credentials::{Credentials, CredentialsError};
use overside_client::{
    ConcurrencyLimit, ImageRef, ImageRefError, Registry, RegistryAddress, RegistryBuilder, Repository,
    authority,
};
use url::Url;

use crate::domain::name::RepositoryName;

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
    pub bwlimit: Option<u64>,
}

/// Below this the pauses between two reads of a body would look like a connection that has died.
const MIN_RATE: u64 = 64 * 1024;

fn rate(text: &str) -> Result<u64, String> {
    match text.parse::<bytesize::ByteSize>() {
        Ok(rate) if rate.as_u64() >= MIN_RATE => Ok(rate.as_u64()),
        _ => Err("write bytes in a second like 10MiB; at least 64KiB".to_owned()),
    }
}

/// Why an argument names no manifest and no blob.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    #[error(
        "a manifest is written NAME:TAG or NAME@DIGEST, a blob NAME@DIGEST; `overside put` and `push` print them"
    )]
    Missing,
    #[error(transparent)]
    Invalid(#[from] ImageRefError),
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
pub fn with_reference(text: &str) -> Result<ImageRef, ReferenceError> {
    let name: ImageRef = text.parse()?;
    if name.reference().is_some() { Ok(name) } else { Err(ReferenceError::Missing) }
}

impl RemoteArgs {
    /// The repository that a name means, with the credentials of whoever is signed in to its registry.
    pub async fn repository(&self, name: &ImageRef) -> anyhow::Result<Repository> {
        self.repository_with_rate(name, None).await
    }

    /// As [`Self::repository`], for transfers.
    pub async fn transfers(&self, name: &ImageRef, transfer: &TransferArgs) -> anyhow::Result<Repository> {
        self.repository_with_rate(name, transfer.bwlimit).await
    }

    async fn repository_with_rate(&self, name: &ImageRef, rate: Option<u64>) -> anyhow::Result<Repository> {
        let url = name.registry().map_or(&self.server, RegistryAddress::url);
        let builder = self.builder(url, Some(name.repository())).await?;
        Ok(builder.rate_limit(rate).build()?.repository(name.repository().clone()))
    }

    /// A registry by itself, with the credentials of whoever is signed in to it.
    pub async fn registry(&self, url: &Url) -> anyhow::Result<Registry> {
        Ok(self.builder(url, None).await?.build()?)
    }

    async fn builder(
        &self,
        url: &Url,
        repository: Option<&RepositoryName>,
    ) -> anyhow::Result<RegistryBuilder> {
        let credentials = Credentials::load().context("cannot read who you are to registries")?;
        let repository = repository.map(RepositoryName::as_str);
        let credential = match credentials.find(&authority(url).unwrap_or_default(), repository).await {
            // Much can be done by nobody in particular; what cannot, the registry says.
            Err(error @ (CredentialsError::HelperMissing { .. } | CredentialsError::HelperBroken { .. })) => {
                complain!("warning: {error}");
                None
            }
            found => found.context("cannot tell who you are to the registry")?,
        };
        Ok(self.tls.builder(url)?.credentials(credential))
    }
}

impl TlsArgs {
    /// A registry whose certificate and token service are trusted as these arguments say.
    pub fn builder(&self, url: &Url) -> anyhow::Result<RegistryBuilder> {
        let authorities = match &self.ca {
            Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            None => Vec::new(),
        };
        Ok(Registry::builder(url)
            .token_services(self.token_service.iter().cloned())
            .root_certificates(authorities)
            .accept_invalid_certificates(self.insecure)
            .on_retry(super::output::say_retry))
    }
}

impl TransferArgs {
    /// How many bodies are transferred at a time.
    pub fn limit(&self) -> ConcurrencyLimit {
        // No more than get their turn within seconds.
        let most = self.bwlimit.map_or(u64::MAX, |rate| rate / (MIN_RATE / 4));
        ConcurrencyLimit::new(usize::try_from(most).unwrap_or(usize::MAX).min(self.jobs.into()))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

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
}
