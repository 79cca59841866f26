//! What to do about a failure of the client library, in this program's words: the library knows none of its commands.

use std::error::Error as StdError;
use std::fmt;

use overside_client::archive::ArchiveError;
use overside_client::credentials::CredentialsError;
use overside_client::{Error, FolderError};

use crate::log_text::chain;

/// What a command failed by, with all its causes, and what to do about it.
pub(super) struct Advised<'a>(pub &'a anyhow::Error);

impl fmt::Display for Advised<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)?;
        self.0.chain().find_map(of).map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// An error with all its causes, and what to do about it, on one line.
pub(super) fn advised(error: &(dyn StdError + 'static)) -> String {
    let told = chain(error);
    match of(error) {
        Some(advice) => format!("{told}; {advice}"),
        None => told,
    }
}

/// What to do about a failure by itself, whatever caused it.
fn of(failure: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(CredentialsError::Entry { key, .. }) = failure.downcast_ref() {
        return Some(format!("by: overside login {key}"));
    }
    let archive = match failure.downcast_ref() {
        Some(Error::Archive(error)) => Some(error),
        _ => failure.downcast_ref::<ArchiveError>(),
    };
    if let Some(ArchiveError::NoRoomToPack { .. }) = archive {
        return Some("or leave them as they are with --compress none".to_owned());
    }
    let folder = match failure.downcast_ref() {
        Some(Error::Folder(error)) => Some(error),
        _ => failure.downcast_ref::<FolderError>(),
    };
    match folder {
        Some(FolderError::NoTitles) => return Some("an image is pulled with: overside pull".to_owned()),
        Some(FolderError::IsIndex) => return Some("or pull it with: overside pull".to_owned()),
        _ => {}
    }
    Some(match failure.downcast_ref::<Error>()? {
        Error::Untrusted { .. } => {
            "if it is signed by an authority of your own, name that with --ca FILE".to_owned()
        }
        Error::TokenService { registry, service } => {
            format!("if you know that it belongs to {registry}, name it: --token-service {service}")
        }
        Error::Unauthorized { peer, signed_in, .. } => {
            let host = peer.split_once("://").map_or(peer.as_str(), |(_, host)| host);
            let again = if *signed_in { "again " } else { "" };
            format!("sign in {again}with: overside login {host}")
        }
        Error::ManifestUnknown(_) => "its tags are listed by: overside tags".to_owned(),
        Error::TagTaken { .. } => "take another tag, or replace it with --force".to_owned(),
        Error::NotAFile(_) => "a folder goes up as one artifact with --recursive".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_of_the_library_is_followed_by_what_helps_here() {
        let service = || Error::TokenService {
            registry: "registry.example".to_owned(),
            service: "https://auth.example".to_owned(),
        };
        let failure = Err::<(), _>(service()).context("cannot sign in").unwrap_err();
        let told = Advised(&failure).to_string();
        assert!(told.starts_with("cannot sign in: registry.example wants your password"), "{told}");
        assert!(told.ends_with("name it: --token-service https://auth.example"), "{told}");
        assert!(advised(&service()).ends_with("--token-service https://auth.example"));

        let taken =
            Error::TagTaken { tag: "v1".parse().unwrap(), digest: overside_protocol::digest::Digest::EMPTY };
        assert!(
            Advised(&taken.into()).to_string().ends_with("; take another tag, or replace it with --force")
        );
        assert_eq!(Advised(&anyhow::anyhow!("another failure")).to_string(), "another failure");
    }
}
