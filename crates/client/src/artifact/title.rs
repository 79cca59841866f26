//! What a file is called in an artifact.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use crate::error::InvalidTitle;

/// The annotation of a layer that has the file's title, by the convention of all tools for artifacts (OCI image-spec,
/// annotations.md).
pub const TITLE: &str = "org.opencontainers.image.title";

/// A file's title: a relative path of plain names with slashes, on this system and on others.
///
/// A registry's title is a stranger's text. One that is parsed leads out of no folder, unless a link in it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Title(String);

impl Title {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Title {
    type Err = InvalidTitle;

    fn from_str(text: &str) -> Result<Self, InvalidTitle> {
        let is_plain = !text.is_empty()
            && !text.contains(['\\', '\0', ':'])
            && !text.ends_with('/')
            && Path::new(text).components().all(|component| matches!(component, Component::Normal(_)));
        if is_plain { Ok(Self(text.to_owned())) } else { Err(InvalidTitle(text.to_owned())) }
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_titles() {
        for good in ["a", "a/b.parquet", "a b/ü", ".hidden"] {
            assert!(good.parse::<Title>().is_ok(), "{good}");
        }
        for bad in ["", "/etc/passwd", "../up", "a/../../b", "a\\b", "c:a", "a/", "a\0b", ".", "./a/.."] {
            assert!(bad.parse::<Title>().is_err(), "{bad}");
        }
    }
}
