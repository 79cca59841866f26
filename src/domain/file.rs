//! Files that a repository has by their paths.

use chrono::{DateTime, Utc};

use super::digest::Digest;
use super::media_type::MediaType;
use super::path::{Directory, FilePath};

/// Less than whatever a path has: what comes right after a path begins with the path and this.
pub const LEAST: &str = "\u{1}";

/// A file as a repository has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub path: FilePath,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub media_type: MediaType,
    pub updated_by: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// What a path is to name.
#[derive(Debug, Clone)]
pub struct NewFile {
    pub path: FilePath,
    pub digest: Digest,
    pub media_type: MediaType,
    pub updated_by: Option<String>,
}

/// One of the things that lie in a directory at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryEntry {
    File(StoredFile),
    Directory(FilePath),
}

impl DirectoryEntry {
    #[must_use]
    pub const fn path(&self) -> &FilePath {
        match self {
            Self::File(file) => &file.path,
            Self::Directory(path) => path,
        }
    }

    /// Where a page begins that follows on this entry.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            Self::File(file) => after(file.path.as_str()),
            Self::Directory(path) => Directory::from(path.clone()).end(),
        }
    }
}

impl StoredFile {
    /// Where a page begins that follows on this file.
    #[must_use]
    pub fn next(&self) -> String {
        after(self.path.as_str())
    }
}

/// Where a page begins that follows on the file of this path.
#[must_use]
pub fn after(path: &str) -> String {
    format!("{path}{LEAST}")
}
