//! Public keys as OpenSSH writes them (RFC 4253 §6.6, RFC 8709 §4): `ssh-ed25519 AAAA… comment`.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

const KIND: &str = "ssh-ed25519";
const LENGTH: usize = 32;
/// Longest comment, in bytes.
const MAX_COMMENT: usize = 255;

/// A public key of Ed25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SshKey([u8; LENGTH]);

/// A line of a `.pub` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKeyLine {
    pub key: SshKey,
    pub comment: String,
}

/// A key that a user signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    pub id: i64,
    pub key: SshKey,
    pub comment: String,
    pub created_at: DateTime<Utc>,
}

/// Why a text is no such key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidSshKey {
    #[error("a key is the line of a file such as id_ed25519.pub: ssh-ed25519 AAAA… and perhaps a comment")]
    Line,
    #[error("a key is of the kind ssh-ed25519; make one with ssh-keygen -t ed25519")]
    Kind,
    #[error("the comment behind the key has at most {MAX_COMMENT} bytes on one line")]
    Comment,
}

impl SshKey {
    /// From its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From the second word of its line: Base64 of the kind and the key, each behind its length.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        Self::from_bytes(bytes.strip_prefix(prefix().as_slice())?)
    }

    /// `SHA256:` and the hash, as `ssh-keygen -l` shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = Sha256::new_with_prefix(prefix()).chain_update(self.0).finalize();
        format!("SHA256:{}", STANDARD_NO_PAD.encode(hash))
    }
}

/// What stands before every key of this kind.
fn prefix() -> Vec<u8> {
    let length = |of: usize| u32::try_from(of).unwrap_or_default().to_be_bytes();
    [&length(KIND.len())[..], KIND.as_bytes(), &length(LENGTH)[..]].concat()
}

impl fmt::Display for SshKey {
    /// Without a comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND} {}", STANDARD.encode([prefix().as_slice(), &self.0].concat()))
    }
}

impl FromStr for SshKeyLine {
    type Err = InvalidSshKey;

    fn from_str(line: &str) -> Result<Self, InvalidSshKey> {
        let (kind, rest) = line.trim().split_once(' ').ok_or(InvalidSshKey::Line)?;
        if kind != KIND {
            return Err(InvalidSshKey::Kind);
        }
        let (key, comment) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        let comment = comment.trim();
        if comment.len() > MAX_COMMENT || comment.chars().any(char::is_control) {
            return Err(InvalidSshKey::Comment);
        }
        let key = SshKey::from_base64(key).ok_or(InvalidSshKey::Line)?;
        Ok(Self { key, comment: comment.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by ssh-keygen, with the fingerprint that it shows.
    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5iJ+vG4r6SC5AYZIPGblqos2efRQHH4b/J9guRsXRP me@here";
    const FINGERPRINT: &str = "SHA256:CkAeGPhEh3TwpvUMbJ2yC63apCO0qBu2ly/cYiisoQ4";

    proptest! {
        #[test]
        fn reading_a_key_never_panics(line in ".{0,80}", bytes: [u8; 32]) {
            let _ = line.parse::<SshKeyLine>();
            let _ = SshKey::from_base64(&line);
            let key = SshKey(bytes);
            prop_assert_eq!(key.to_string().parse(), Ok(SshKeyLine { key, comment: String::new() }));
        }
    }

    #[test]
    fn a_key_is_read_and_shown_as_openssh_does() {
        let read: SshKeyLine = LINE.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((read.comment.as_str(), read.key.fingerprint().as_str()), ("me@here", FINGERPRINT));
        assert_eq!(format!("{} me@here", read.key), LINE);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (bad, reason) in [
            ("", InvalidSshKey::Line),
            ("ssh-ed25519", InvalidSshKey::Line),
            ("ssh-ed25519 AAAA", InvalidSshKey::Line),
            ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ", InvalidSshKey::Kind),
            (&LINE.replace("me@here", "a\nb"), InvalidSshKey::Comment),
            (&LINE.replace("me@here", &"a".repeat(256)), InvalidSshKey::Comment),
        ] {
            assert_eq!(bad.parse::<SshKeyLine>(), Err(reason), "{bad}");
        }
    }
}
