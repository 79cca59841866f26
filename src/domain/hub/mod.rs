//! Repositories of the Hugging Face Hub: their names, their references, and the Git objects that they consist of.

// A change of trees, in memory.
pub mod draft;
// Trees and commits, and their SHA-1s.
pub mod git;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::name::RepositoryName;
use super::words::words;
use git::GitOid;

/// Longest name of a branch or a tag, in bytes.
pub const MAX_REF: usize = 200;
/// Branches and tags of one repository: they are listed without pages.
pub const MAX_REFS: i64 = 1_000;
/// What a namespace cannot be called: paths of the Hub begin with these words.
const RESERVED: [&str; 5] = ["api", "v2", "models", "datasets", "spaces"];

words! {
    /// What a repository is for, as paths name it.
    RepositoryKind {
        Models: "models",
        Datasets: "datasets",
        Spaces: "spaces",
    }
}

impl RepositoryKind {
    /// As requests name one repository of this kind.
    #[must_use]
    pub fn singular(self) -> &'static str {
        self.as_str().trim_end_matches('s')
    }

    /// What stands before a repository's name outside the API.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Models => "",
            Self::Datasets => "datasets/",
            Self::Spaces => "spaces/",
        }
    }
}

/// A repository's name as the Hub writes it, `namespace/Name`. The namespace is the project. Case is kept, and does not
/// tell two repositories apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    pub kind: RepositoryKind,
    full_name: String,
    repository: RepositoryName,
}

/// Why a text is no name of a Hub repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHubName {
    #[error("a repository is named NAMESPACE/NAME, where the namespace is a project")]
    Segments,
    #[error("{0} cannot be a namespace: paths of the Hub begin with it")]
    Reserved(&'static str),
    #[error(
        "a name is made of letters and digits joined by '.', '_', '__' or dashes, and has at most 255 characters with its \
         namespace; in lower case it names a repository of the registry"
    )]
    Characters,
}

impl HubName {
    /// # Errors
    ///
    /// Where the text is no `namespace/name`, or has no form that is a repository's name.
    pub fn new(kind: RepositoryKind, full_name: &str) -> Result<Self, InvalidHubName> {
        let lower = full_name.to_ascii_lowercase();
        let (project, name) = lower.split_once('/').ok_or(InvalidHubName::Segments)?;
        if name.contains('/') {
            return Err(InvalidHubName::Segments);
        }
        if let Some(reserved) = RESERVED.into_iter().find(|reserved| *reserved == project) {
            return Err(InvalidHubName::Reserved(reserved));
        }
        let repository =
            format!("{project}/{kind}/{name}").parse().map_err(|_| InvalidHubName::Characters)?;
        Ok(Self { kind, full_name: full_name.to_owned(), repository })
    }

    /// Of a path before `/info/lfs/`, as Git's clients have it: of a model without its kind, and always with `.git`.
    #[must_use]
    pub fn of_git_path(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?.strip_suffix(".git")?;
        let mut kinds = [RepositoryKind::Datasets, RepositoryKind::Spaces].into_iter();
        let of_kind = kinds.find_map(|kind| Some((kind, path.strip_prefix(kind.prefix())?)));
        let (kind, full_name) = of_kind.unwrap_or((RepositoryKind::Models, path));
        Self::new(kind, full_name).ok()
    }

    /// The repository of the registry that has its blobs: `project/models/name`.
    #[must_use]
    pub const fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    #[must_use]
    pub fn full_name(&self) -> &str {
        &self.full_name
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name)
    }
}

/// A Hub repository that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRepository {
    pub name: HubName,
    pub created_at: DateTime<Utc>,
}

words! {
    /// What a reference is.
    RefKind {
        Branch: "refs/heads/",
        Tag: "refs/tags/",
    }
}

/// The name of a branch or a tag, by the rules of `git check-ref-format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefName(String);

/// Why a text is no name of a branch or a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a branch or a tag has a name of at most {MAX_REF} bytes by the rules of Git, that is no commit and does not begin with refs/"
)]
pub struct InvalidRef;

impl RefName {
    /// The branch that every repository has.
    #[must_use]
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefName {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && std::path::Path::new(segment).extension().is_none_or(|end| end != "lock")
        };
        let is_taken = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
        let is_name = text.len() <= MAX_REF
            && text.split('/').all(is_segment)
            && !text.contains(is_taken)
            && !text.contains("..")
            && !text.contains("@{")
            && !text.ends_with('.')
            && !text.starts_with(['-', '@'])
            && !text.starts_with("refs/")
            && text.parse::<GitOid>().is_err();
        if is_name { Ok(Self(text.to_owned())) } else { Err(InvalidRef) }
    }
}

/// What somebody asks for the state of a repository by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    Commit(GitOid),
    /// A branch, or else a tag.
    Named(RefName),
    /// `refs/heads/…` or `refs/tags/…`
    Ref(RefKind, RefName),
}

impl FromStr for Revision {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        if let Ok(oid) = text.parse() {
            return Ok(Self::Commit(oid));
        }
        for kind in RefKind::ALL {
            if let Some(name) = text.strip_prefix(kind.as_str()) {
                return Ok(Self::Ref(kind, name.parse()?));
            }
        }
        text.parse().map(Self::Named)
    }
}

/// A branch or a tag, and what it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    pub kind: RefKind,
    pub name: String,
    pub commit: GitOid,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reading_any_text_never_panics(text in ".{0,60}") {
            let _ = text.parse::<Revision>();
            if let Ok(name) = HubName::new(RepositoryKind::Models, &text) {
                prop_assert_eq!(name.repository().as_str().matches('/').count(), 2);
            }
        }
    }

    #[test]
    fn case_is_kept_and_tells_nothing_apart() {
        let [upper, lower] = ["Team/Llama-3.1_8B", "team/llama-3.1_8b"]
            .map(|name| HubName::new(RepositoryKind::Datasets, name).expect("a name"));
        assert_eq!(upper.full_name(), "Team/Llama-3.1_8B");
        assert_eq!(upper.repository(), lower.repository());
        assert_eq!(upper.repository().as_str(), "team/datasets/llama-3.1_8b");
    }

    #[test]
    fn what_climbs_or_means_something_else_is_no_name() {
        for bad in
            ["a", "a/b/c", "../a", "a/..", "a/b..c", "api/a", "Datasets/a", "a/-b", "a/\u{e4}", "a/", "/a"]
        {
            assert!(HubName::new(RepositoryKind::Models, bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "a b",
            "a..b",
            "/a",
            "a/",
            ".a",
            "a.lock",
            "a~1",
            "@",
            "-a",
            "refs/pr/1",
            "a\0",
            &"a".repeat(201),
        ] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
        assert_eq!("refs/heads/a/b".parse(), Ok(Revision::Ref(RefKind::Branch, RefName("a/b".to_owned()))));
        assert!(matches!("a".repeat(40).parse(), Ok(Revision::Commit(_))));
        assert!("a".repeat(40).parse::<RefName>().is_err());
    }
}
