//! What a project has, what it may have, and why something does not fit.

use serde::Serialize;

use super::access::ProjectName;
use super::words::words;

/// What a project has and may have. A limit that is none is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Of blobs, each counted once however many of the project's repositories have it, and of manifests.
    pub bytes: u64,
    /// Bytes held for uploads that are open.
    pub reserved: u64,
    pub tags: u64,
    /// In bytes.
    pub storage_limit: Option<u64>,
    /// In tags.
    pub count_limit: Option<u64>,
}

/// What was kept of a project's usage, and what its tables come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recount {
    pub kept: Usage,
    pub counted: Usage,
    /// Blobs of which it was kept wrongly how many of the project's repositories have them.
    pub miscounted_blobs: u64,
    /// Whether all of it was right.
    pub agrees: bool,
}

words! {
    /// What a quota is of.
    QuotaKind {
        Bytes: "bytes",
        Tags: "tags",
    }
}

/// Something that a project has no room for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the push needs {needed} {kind} and project {project} has {} of {limit} left; delete something or ask for more",
    self.left()
)]
pub struct QuotaExceeded {
    pub project: ProjectName,
    pub kind: QuotaKind,
    pub limit: u64,
    /// What is reserved included.
    pub used: u64,
    /// On top of what the push holds already.
    pub needed: u64,
}

impl QuotaExceeded {
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_what_is_needed_and_what_is_left() {
        let exceeded = |kind, used| QuotaExceeded {
            project: "library/nginx"
                .parse::<crate::domain::name::RepositoryName>()
                .map(|name| name.project())
                .expect("a name"),
            kind,
            limit: 10,
            used,
            needed: 5,
        };
        assert_eq!(
            exceeded(QuotaKind::Bytes, 7).to_string(),
            "the push needs 5 bytes and project library has 3 of 10 left; delete something or ask for more"
        );
        // A limit may be set below what is there.
        assert_eq!(
            exceeded(QuotaKind::Tags, 11).to_string(),
            "the push needs 5 tags and project library has 0 of 10 left; delete something or ask for more"
        );
    }
}
