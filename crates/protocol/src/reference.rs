//! What a manifest is asked for by: a tag or a digest (OCI distribution 1.1.1, "Pulling manifests").

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// Longest tag.
pub const MAX_TAG_LENGTH: usize = 128;

/// `latest`, `v1.2.3`: a name for a manifest that may come to mean another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// A text that is no tag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a tag has 1 to {MAX_TAG_LENGTH} of A-Z a-z 0-9 _ . - and begins with none of . -")]
pub struct InvalidTag;

/// Either of them. Only digests have a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

/// A text that is neither a tag nor a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidReference {
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Tag {
    /// The tag that all tools take where none is given.
    #[must_use]
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let is_valid = (1..=MAX_TAG_LENGTH).contains(&text.len())
            && !text.starts_with(['.', '-'])
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c));
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidTag) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        Ok(if text.contains(':') { Self::Digest(text.parse()?) } else { Self::Tag(text.parse()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tags_of_the_specified_form_are_taken(tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}") {
            prop_assert_eq!(tag.parse::<Reference>().map(|reference| reference.to_string()), Ok(tag));
        }

        #[test]
        fn parsing_any_text_never_panics_and_keeps_what_it_takes(text in ".{0,140}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", ".a", "-a", "a/b", "a b", "ä", "a\0", "a@b", &"a".repeat(129)] {
            assert_eq!(bad.parse::<Reference>(), Err(InvalidReference::Tag(InvalidTag)), "{bad:?}");
        }
        assert_eq!("sha256:abc".parse::<Reference>(), Err(InvalidReference::Digest(DigestError::Malformed)));
        assert_eq!(Digest::EMPTY.to_string().parse(), Ok(Reference::Digest(Digest::EMPTY)));
    }
}
