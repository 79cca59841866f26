//! Repository names, as the OCI distribution specification writes them (1.1.1, "Pulling manifests").

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Longest name taken: common clients and registries stop at 255 with the host name included.
pub const MAX_NAME_LENGTH: usize = 255;
/// Longest name of a project, in characters.
pub const MAX_PROJECT_NAME_LENGTH: usize = 128;

/// `team/app/model`: lower-case path segments. Never used to build a storage path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RepositoryName(String);

/// Why a text is not a repository name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    #[error("a repository name has at most {MAX_NAME_LENGTH} characters")]
    TooLong,
    #[error(
        "a repository name is made of segments of a-z, 0-9 joined by '.', '_', '__' or dashes, with '/' between segments"
    )]
    Malformed,
}

impl RepositoryName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The project that the repository belongs to.
    #[must_use]
    pub fn project(&self) -> ProjectName {
        ProjectName(self.as_str().split('/').next().unwrap_or_default().to_owned())
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME_LENGTH {
            return Err(NameError::TooLong);
        }
        if text.split('/').all(is_segment) { Ok(Self(text.to_owned())) } else { Err(NameError::Malformed) }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_segment(segment: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_well = segment.starts_with(alphanumeric) && segment.ends_with(alphanumeric);
    ends_well
        && segment.split(alphanumeric).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|c| c == b'-')
        })
}

/// The first segment of a repository's name: what permissions and quotas are given for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ProjectName(String);

/// Why a text is not the name of a project.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a project's name is one segment of a repository's: at most {MAX_PROJECT_NAME_LENGTH} of a-z and 0-9, joined by '.', '_', '__' or dashes"
)]
pub struct InvalidProjectName;

impl ProjectName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProjectName {
    type Err = InvalidProjectName;

    fn from_str(text: &str) -> Result<Self, InvalidProjectName> {
        let is_one = text.len() <= MAX_PROJECT_NAME_LENGTH && !text.contains('/');
        if is_one && text.parse::<RepositoryName>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidProjectName)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_of_the_specified_form_are_taken(name in "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,3}(/[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}){0,3}") {
            prop_assert!(name.parse::<RepositoryName>().is_ok());
        }

        #[test]
        fn nothing_with_a_foreign_character_is_taken(prefix in "[a-z0-9]{0,4}", c in "[^a-z0-9._/-]", suffix in "[a-z0-9]{0,4}") {
            let name = format!("{prefix}{c}{suffix}");
            prop_assert!(name.parse::<RepositoryName>().is_err());
        }
    }

    #[test]
    fn paths_that_climb_and_other_tricks_are_refused() {
        for bad in [
            "", "/", "a/", "/a", "a//b", "..", "a/../b", "./a", "a/.", "A", "a b", "a...b", "a___b", "-a",
            "a-", "a\0b",
        ] {
            assert_eq!(bad.parse::<RepositoryName>(), Err(NameError::Malformed), "{bad:?}");
        }
        assert_eq!("a".repeat(256).parse::<RepositoryName>(), Err(NameError::TooLong));
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
    }
}
