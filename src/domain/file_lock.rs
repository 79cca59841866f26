//! A lock on a file: its owner keeps others from changing it meanwhile (Git LFS, "File Locking API"). Nothing is enforced
//! here: clients look before they push.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Longest path in bytes: an index entry of a database holds it whole.
pub const MAX_LOCKED_PATH: usize = 1024;

/// Somebody's lock on a path of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLock {
    pub id: Uuid,
    /// As the client wrote it; it names nothing here.
    pub path: String,
    /// None where nobody signs in.
    pub owner: Option<String>,
    pub locked_at: DateTime<Utc>,
}

/// Why a text is no path that can be locked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a path to lock has 1 to {MAX_LOCKED_PATH} bytes and no control characters")]
pub struct InvalidPath;

impl FileLock {
    /// # Errors
    ///
    /// [`InvalidPath`]: the path is empty, too long, or has control characters, some of which databases refuse and
    /// terminals act on.
    pub fn new(path: &str, owner: Option<&str>, now: DateTime<Utc>) -> Result<Self, InvalidPath> {
        if path.is_empty() || path.len() > MAX_LOCKED_PATH || path.contains(char::is_control) {
            return Err(InvalidPath);
        }
        let owner = owner.map(str::to_owned);
        Ok(Self { id: Uuid::now_v7(), path: path.to_owned(), owner, locked_at: now })
    }
}
