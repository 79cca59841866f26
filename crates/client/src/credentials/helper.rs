//! Docker's credential helpers: programs called `docker-credential-NAME` that keep secrets in a keychain.
//!
//! The protocol: <https://github.com/docker/docker-credential-helpers#development>. A server's name or JSON goes in
//! on standard input; JSON, or the reason why not, comes back on standard output.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Credential, CredentialsError, Result};

/// Time for a person to find the window that asks for the keychain's password.
const HELPER_LIMIT: Duration = Duration::from_mins(2);
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// How helpers say that they have nothing: a sentence, in every implementation the same.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// Characters of a helper's complaint that are shown.
const MESSAGE_LENGTH: usize = 300;

#[derive(Debug)]
pub(super) struct Helper {
    program: String,
    /// The file that names it.
    named_in: PathBuf,
    search_path: Option<OsString>,
    limit: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperCredential {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper {
    pub fn new(name: &str, named_in: &Path, search_path: Option<OsString>) -> Result<Self> {
        let named_in = named_in.to_owned();
        // A name with a slash in it would run any program; the file may come from somebody else's repository.
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(CredentialsError::HelperName { path: named_in, name: name.to_owned() });
        }
        Ok(Self { program: format!("docker-credential-{name}"), named_in, search_path, limit: HELPER_LIMIT })
    }

    pub fn into_program(self) -> String {
        self.program
    }

    #[cfg(test)]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    pub async fn get(&self, server: &str) -> Result<Option<Credential>> {
        let output = self.run("get", server.as_bytes()).await?;
        if !output.status.success() && is_not_found(&output) {
            return Ok(None);
        }
        let output = self.expect_success("get", output)?;
        let kept: HelperCredential = serde_json::from_slice(&output.stdout)
            .map_err(|_| CredentialsError::HelperAnswer { program: self.program.clone() })?;
        Ok(match kept {
            HelperCredential { secret, .. } if secret.is_empty() => None,
            HelperCredential { username, secret, .. } if username == TOKEN_USER => {
                Some(Credential::IdentityToken(secret))
            }
            HelperCredential { username, secret, .. } => {
                Some(Credential::Basic { username, password: secret })
            }
        })
    }

    pub async fn store(&self, server: &str, credential: &Credential) -> Result<()> {
        let (username, secret) = match credential.clone() {
            Credential::Basic { username, password } => (username, password),
            Credential::IdentityToken(token) => (TOKEN_USER.to_owned(), token),
        };
        let kept = serde_json::to_vec(&HelperCredential { server_url: server.to_owned(), username, secret });
        let kept = kept.map_err(|_| CredentialsError::HelperAnswer { program: self.program.clone() })?;
        let output = self.run("store", &kept).await?;
        self.expect_success("store", output).map(drop)
    }

    /// Having nothing to erase is as good.
    pub async fn erase(&self, server: &str) -> Result<()> {
        let output = self.run("erase", server.as_bytes()).await?;
        if is_not_found(&output) { Ok(()) } else { self.expect_success("erase", output).map(drop) }
    }

    async fn run(&self, action: &'static str, input: &[u8]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.arg(action).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Standard error stays the terminal's: there a helper asks for a finger on the key.
        command.stderr(Stdio::inherit()).kill_on_drop(true);
        if let Some(search_path) = &self.search_path {
            command.env("PATH", search_path);
        }
        let broken = |source| CredentialsError::HelperBroken { program: self.program.clone(), source };
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                CredentialsError::HelperMissing { path: self.named_in.clone(), program: self.program.clone() }
            }
            _ => broken(error),
        })?;
        let stdin = child.stdin.take();
        let talk = async {
            if let Some(mut stdin) = stdin {
                match stdin.write_all(input).await {
                    // It did not want to hear it; how it ends says more.
                    Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
                    _ => {}
                }
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(self.limit, talk).await;
        let (program, after) = (self.program.clone(), self.limit);
        output.map_err(|_| CredentialsError::HelperStalled { program, action, after })?.map_err(broken)
    }

    fn expect_success(&self, action: &'static str, output: Output) -> Result<Output> {
        if output.status.success() {
            return Ok(output);
        }
        let message = String::from_utf8_lossy(&output.stdout);
        let message: String =
            message.trim().chars().filter(|c| !c.is_control()).take(MESSAGE_LENGTH).collect();
        let message = (!message.is_empty()).then_some(message);
        Err(CredentialsError::HelperFailed {
            program: self.program.clone(),
            action,
            status: output.status,
            message,
        })
    }
}

fn is_not_found(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).trim() == NOT_FOUND
}
