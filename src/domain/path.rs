//! Paths of files in a repository, as clients name them. They are looked up and listed, and never become part of a key in
//! the store.

use std::fmt;
use std::str::FromStr;

/// Longest path in bytes, as of an object in S3. Databases index the whole of it.
pub const MAX_PATH: usize = 1024;
/// Comes after every path: more than the longest one has of the last character there is.
const AFTER_ALL: char = '\u{10ffff}';

/// A path of segments that are not empty and lead nowhere else: `runs/7/model.bin`. Case counts, and paths are in the
/// order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("a path has at most {MAX_PATH} bytes")]
    TooLong,
    #[error("a path has no empty segment, and none that is . or ..")]
    Segment,
    #[error("a path has no control characters")]
    Control,
}

impl FilePath {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// A path below this one.
    ///
    /// # Errors
    ///
    /// As of any text that is none.
    pub fn join(&self, below: &Self) -> Result<Self, InvalidPath> {
        format!("{self}/{below}").parse()
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FilePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if text.len() > MAX_PATH {
            return Err(InvalidPath::TooLong);
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(InvalidPath::Segment);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPath::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A directory: whatever has files below it. It has no row of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory(Option<FilePath>);

impl Directory {
    /// All of a repository.
    pub const ROOT: Self = Self(None);

    /// The path, but for the root.
    #[must_use]
    pub const fn path(&self) -> Option<&FilePath> {
        self.0.as_ref()
    }

    /// A path in it.
    ///
    /// # Errors
    ///
    /// As of any text that is none.
    pub fn join(&self, below: &FilePath) -> Result<FilePath, InvalidPath> {
        self.0.as_ref().map_or_else(|| Ok(below.clone()), |path| path.join(below))
    }

    /// What the paths of its files begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |path| format!("{path}/"))
    }

    /// Comes after the paths of all its files, and before all that follow: `0` comes after `/`.
    #[must_use]
    pub fn end(&self) -> String {
        let all = || std::iter::repeat_n(AFTER_ALL, MAX_PATH).collect();
        self.0.as_ref().map_or_else(all, |path| format!("{path}0"))
    }
}

impl From<FilePath> for Directory {
    fn from(path: FilePath) -> Self {
        Self(Some(path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_directory_has_what_begins_with_its_path_and_a_slash(
            directory in "[a-z./-]{1,8}", path in "[a-z./-]{1,12}",
        ) {
            if let (Ok(directory), Ok(path)) = (directory.parse::<FilePath>(), path.parse::<FilePath>()) {
                let is_below = path.as_str().starts_with(&format!("{directory}/"));
                let directory = Directory::from(directory);
                let (prefix, end) = (directory.prefix(), directory.end());
                prop_assert_eq!(*prefix < *path.as_str() && *path.as_str() < *end, is_below);
                prop_assert!(*path.as_str() < *Directory::ROOT.end());
            }
        }

        #[test]
        fn reading_any_path_never_panics(text in ".{0,80}") {
            if let Ok(path) = text.parse::<FilePath>() {
                prop_assert_eq!(path.as_str(), text);
            }
        }
    }

    #[test]
    fn what_climbs_hides_or_says_nothing_is_no_path() {
        for bad in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0b", "a\nb", "a\u{7f}", "a\u{9b}b"]
        {
            assert!(bad.parse::<FilePath>().is_err(), "{bad:?}");
        }
        assert_eq!("x".repeat(MAX_PATH + 1).parse::<FilePath>(), Err(InvalidPath::TooLong));
        for good in ["a", "A/b.bin", "...", ".a/..b", "ein Ordner/\u{e4}\u{f6}.txt", "a\\b", "%2e%2e/x"] {
            assert!(good.parse::<FilePath>().is_ok(), "{good:?}");
        }
        let last: FilePath = "\u{10ffff}".repeat(MAX_PATH / 4).parse().expect("a path");
        assert!(last.as_str() < &*Directory::ROOT.end());
    }
}
