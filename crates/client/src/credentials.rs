//! Credentials as Docker and podman keep them, so that who has signed in with one of them has signed in here.
//!
//! Looked for in this order: the helper program that Docker's `config.json` names for the registry (`credHelpers`),
//! or for all (`credsStore`), then what stands in that file itself (`auths`), then podman's files in the same way.
//! Only Docker's is ever written.

mod config;
mod entry;
mod error;
mod helper;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use config::Config;
use helper::Helper;

pub use error::CredentialsError;

/// What Docker calls Docker Hub in its file and towards helpers; of no other registry does it keep a URL.
const HUB_KEY: &str = "https://index.docker.io/v1/";
pub(super) const HUB: &str = "docker.io";

type Result<T, E = CredentialsError> = std::result::Result<T, E>;

/// A credential for a registry. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    Basic {
        username: String,
        password: String,
    },
    /// An OAuth 2 refresh token: it is exchanged at the registry's token service, and is no password.
    IdentityToken(String),
}

/// The place where a credential was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialStore {
    /// A credential helper, by its program's name.
    Helper(String),
    /// Docker's file, where it is as good as in the clear for whoever can read the file.
    File(PathBuf),
}

/// The files that hold credentials, as they were when they were read.
#[derive(Debug)]
pub struct Credentials {
    docker: Option<Config>,
    podman: Vec<Config>,
    /// Where `store` and `erase` write; none without a home folder.
    path: Option<PathBuf>,
    /// Where helper programs are looked for: `PATH`.
    programs: Option<OsString>,
}

impl Credentials {
    /// Reads `$DOCKER_CONFIG/config.json` (`~/.docker/config.json`) and what podman, skopeo and buildah read:
    /// `$REGISTRY_AUTH_FILE` or, without it, `$XDG_RUNTIME_DIR/containers/auth.json` (`/run/containers/<uid>/auth.json`)
    /// and `$XDG_CONFIG_HOME/containers/auth.json` (containers-auth.json(5)). None of them has to exist.
    ///
    /// # Errors
    /// [`CredentialsError::File`] if one of them cannot be read, [`CredentialsError::Malformed`] if it is no configuration.
    pub fn load() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker = set("DOCKER_CONFIG").or_else(|| Some(env::home_dir()?.join(".docker")));
        let podman = set("REGISTRY_AUTH_FILE").map_or_else(
            || {
                let user = rustix::process::getuid().as_raw().to_string();
                let run = set("XDG_RUNTIME_DIR").map(|folder| folder.join("containers"));
                let run = run.unwrap_or_else(|| Path::new("/run/containers").join(user));
                let home = set("XDG_CONFIG_HOME").or_else(|| Some(env::home_dir()?.join(".config")));
                let folders = std::iter::once(run).chain(home.map(|home| home.join("containers")));
                folders.map(|folder| folder.join("auth.json")).collect()
            },
            |file| vec![file],
        );
        let docker = docker.map(|folder| folder.join("config.json"));
        Self::read(docker, &podman, env::var_os("PATH"))
    }

    fn read(docker: Option<PathBuf>, podman: &[PathBuf], programs: Option<OsString>) -> Result<Self> {
        let podman =
            podman.iter().filter_map(|path| Config::read(path).transpose()).collect::<Result<_>>()?;
        let docker_config = docker.as_deref().map_or(Ok(None), Config::read)?;
        Ok(Self { docker: docker_config, podman, path: docker, programs })
    }

    /// The credential for a registry (`HOST` or `HOST:PORT`) and a repository: podman may keep one for each namespace, and the
    /// closest is taken. Without a repository only those count that are for the whole registry.
    ///
    /// # Errors
    /// [`CredentialsError::Entry`] if an entry cannot be read; if a credential helper is configured,
    /// [`CredentialsError::HelperMissing`] and its neighbours if it cannot be run, fails, or takes longer than two minutes.
    pub async fn find(&self, registry: &str, repository: Option<&str>) -> Result<Option<Credential>> {
        for config in self.docker.iter().chain(&self.podman) {
            if let Some(helper) = self.helper(config, registry)?
                && let Some(credential) = helper.get(server_name(registry)).await?
            {
                return Ok(Some(credential));
            }
            if let Some(credential) = config.find(registry, repository)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// Stores a credential where Docker would: with the helper that is configured for the registry, else in Docker's file.
    /// This value still finds only what there was when it was loaded.
    ///
    /// # Errors
    /// [`CredentialsError::UserName`] if the name has a colon, [`CredentialsError::NoHome`] if there is no folder for Docker's
    /// file, [`CredentialsError::File`] if it cannot be written, [`CredentialsError::HelperMissing`] and its neighbours as for
    /// [`Self::find`].
    pub async fn store(&self, registry: &str, credential: &Credential) -> Result<CredentialStore> {
        // In Basic authentication the first colon ends the name.
        if matches!(credential, Credential::Basic { username, .. } if username.contains(':')) {
            return Err(CredentialsError::UserName);
        }
        if let Some(helper) = self.configured_helper(registry)? {
            helper.store(server_name(registry), credential).await?;
            return Ok(CredentialStore::Helper(helper.into_program()));
        }
        let path = self.path.clone().ok_or(CredentialsError::NoHome)?;
        let (key, entry) = (server_name(registry).to_owned(), entry::to_json(credential));
        self.change(move |auths| {
            auths.insert(key, entry);
            true
        })
        .await?;
        Ok(CredentialStore::File(path))
    }

    /// Erases the credential for a whole registry, with the helper and in Docker's file. True if there was one in the file, or
    /// a helper that may have had one.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub async fn erase(&self, registry: &str) -> Result<bool> {
        let helper = self.configured_helper(registry)?;
        if let Some(helper) = &helper {
            helper.erase(server_name(registry)).await?;
        }
        let host = canonical(registry);
        let is_erased = self.path.as_ref().is_some_and(|path| path.exists())
            && self
                .change(move |auths| {
                    let before = auths.len();
                    auths.retain(|key, _| entry::rank(key, &host, None).is_none());
                    auths.len() != before
                })
                .await?;
        Ok(is_erased || helper.is_some())
    }

    fn configured_helper(&self, registry: &str) -> Result<Option<Helper>> {
        self.docker.as_ref().map_or(Ok(None), |config| self.helper(config, registry))
    }

    fn helper(&self, config: &Config, registry: &str) -> Result<Option<Helper>> {
        let name = config.helper(registry);
        name.map(|name| Helper::new(name, config.path(), self.programs.clone())).transpose()
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut config::Object) -> bool + Send + 'static,
    ) -> Result<bool> {
        let path = self.path.clone().ok_or(CredentialsError::NoHome)?;
        let changed = tokio::task::spawn_blocking(move || config::change(&path, change)).await;
        changed.map_err(|_| CredentialsError::Interrupted)?
    }
}

impl Credential {
    /// A user's name with a password, a personal token, or a robot's secret.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic { username: username.into(), password: password.into() }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => {
                f.debug_struct("Basic").field("username", username).finish_non_exhaustive()
            }
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
        }
    }
}

/// What the registry is called in files and by helpers.
fn server_name(registry: &str) -> &str {
    if canonical(registry) == HUB { HUB_KEY } else { registry }
}

/// One spelling for a host: Docker Hub has three.
pub(super) fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if matches!(host.as_str(), "index.docker.io" | "registry-1.docker.io") { HUB.to_owned() } else { host }
}
