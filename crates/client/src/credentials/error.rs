//! Why a credential cannot be read or stored.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// A failure, worded for people. None of them shows a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Without serde's own words: they quote what they stumble over, which may be a password.
    #[error("{} is no configuration of Docker's (line {line}, column {column}); mend it, or move it away and sign in again", path.display())]
    Malformed { path: PathBuf, line: usize, column: usize },
    #[error("{} holds something for {key} that is not base64 of NAME:PASSWORD; sign in again", path.display())]
    Entry { path: PathBuf, key: String },
    #[error("{} names a credential helper {name:?}; a helper's name has letters, digits, '-', '_' and '.' only", path.display())]
    HelperName { path: PathBuf, name: String },
    #[error("{} wants the credential helper {program}, which is not in PATH; install it, or take it out of that file and sign in again", path.display())]
    HelperMissing { path: PathBuf, program: String },
    #[error("cannot run the credential helper {program}")]
    HelperBroken {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the credential helper {program} failed to {action} ({status}){}; try it by itself: {program} {action}", .message.as_ref().map_or_else(String::new, |message| format!(": {message}")))]
    HelperFailed { program: String, action: &'static str, status: ExitStatus, message: Option<String> },
    #[error("the credential helper {program} did not {action} within {} seconds; does it wait for somebody to unlock it?", after.as_secs())]
    HelperStalled { program: String, action: &'static str, after: Duration },
    #[error("the credential helper {program} answered with something else than a user name and a secret")]
    HelperAnswer { program: String },
    #[error("a user name cannot have a colon in it")]
    UserName,
    #[error("there is no home folder to keep credentials in; set DOCKER_CONFIG to a folder")]
    NoHome,
    #[error("interrupted while writing credentials")]
    Interrupted,
}

impl CredentialsError {
    /// For `map_err`: `action` on `path` failed.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(super) fn malformed(path: &Path, error: &serde_json::Error) -> Self {
        Self::Malformed { path: path.to_owned(), line: error.line(), column: error.column() }
    }
}
