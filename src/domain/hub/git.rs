//! Trees and commits as Git has them, named by their SHA-1 (Git, "gitformat-objects"; git-lfs, `docs/spec.md`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::domain::digest::{Algorithm, Digest};

/// Stands for whoever commits where nobody signs in.
const NOBODY: &str = "anybody";

/// The SHA-1 of a Git object. A name and no proof: what a file's bytes are is said by their digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitOid([u8; 20]);

/// A text that is no SHA-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a commit is named by 40 hexadecimal digits in lower case")]
pub struct InvalidOid;

impl GitOid {
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn of(kind: &str, content: &[u8]) -> Self {
        let mut hasher = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        hasher.update(format!("{kind} {}\0", content.len()).as_bytes());
        hasher.update(content);
        let mut oid = [0; 20];
        oid.copy_from_slice(hasher.finish().as_ref());
        Self(oid)
    }

    /// Of a file with these bytes.
    #[must_use]
    pub fn of_blob(content: &[u8]) -> Self {
        Self::of("blob", content)
    }

    /// Of the pointer that stands for a file of Git LFS.
    #[must_use]
    pub fn of_pointer(digest: &Digest, size: u64) -> Self {
        Self::of_blob(pointer(digest, size).as_bytes())
    }
}

impl fmt::Display for GitOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for GitOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GitOid {
    type Err = InvalidOid;

    fn from_str(text: &str) -> Result<Self, InvalidOid> {
        let mut oid = [0; 20];
        if text.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(InvalidOid);
        }
        hex::decode_to_slice(text, &mut oid).map_err(|_| InvalidOid)?;
        Ok(Self(oid))
    }
}

/// What Git has in place of a file of Git LFS.
#[must_use]
pub fn pointer(digest: &Digest, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid {digest}\nsize {size}\n")
}

/// The file of Git LFS that these bytes stand for, if they are a pointer as Git LFS writes it.
#[must_use]
pub fn pointed(content: &[u8]) -> Option<(Digest, u64)> {
    let mut lines = std::str::from_utf8(content).ok()?.lines().skip(1);
    let digest: Digest = lines.next()?.strip_prefix("oid ")?.parse().ok()?;
    let size = lines.next()?.strip_prefix("size ")?.parse().ok()?;
    let is_pointer = digest.algorithm() == Algorithm::Sha256 && pointer(&digest, size).as_bytes() == content;
    is_pointer.then_some((digest, size))
}

/// A file in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitFile {
    /// Of its bytes, or of the pointer to them.
    pub oid: GitOid,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub is_lfs: bool,
}

impl GitFile {
    #[must_use]
    pub fn lfs(digest: Digest, size: u64) -> Self {
        Self { oid: GitOid::of_pointer(&digest, size), digest, size, is_lfs: true }
    }
}

/// What a name in a tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeEntry {
    Directory(GitOid),
    File(GitFile),
}

/// Entries of one directory by their names.
pub type Tree = BTreeMap<String, TreeEntry>;

/// Of a tree. Git has directories in order as if a slash ended their names.
#[must_use]
pub fn tree_oid(tree: &Tree) -> GitOid {
    let mut entries: Vec<_> = tree
        .iter()
        .map(|(name, entry)| match entry {
            TreeEntry::Directory(oid) => (format!("{name}/"), name, "40000", oid),
            TreeEntry::File(file) => (name.clone(), name, "100644", &file.oid),
        })
        .collect();
    entries.sort_unstable();
    let mut content = Vec::new();
    for (_, name, mode, oid) in entries {
        content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        content.extend_from_slice(oid.as_bytes());
    }
    GitOid::of("tree", &content)
}

/// A commit with at most one parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub oid: GitOid,
    pub tree: GitOid,
    pub parent: Option<GitOid>,
    pub author: String,
    /// Its first line is the title.
    pub message: String,
    /// In whole seconds.
    pub at: DateTime<Utc>,
}

impl Commit {
    #[must_use]
    pub fn new(
        tree: GitOid,
        parent: Option<GitOid>,
        author: Option<&str>,
        message: String,
        at: DateTime<Utc>,
    ) -> Self {
        let at = DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at);
        let author = author.unwrap_or(NOBODY).replace(['<', '>', '\n'], "");
        let who = format!("{author} <> {} +0000", at.timestamp());
        let parents = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
        let text = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}\n");
        Self { oid: GitOid::of("commit", text.as_bytes()), tree, parent, author, message, at }
    }

    #[must_use]
    pub fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// What follows the title.
    #[must_use]
    pub fn description(&self) -> &str {
        self.message.split_once('\n').map_or("", |(_, rest)| rest.trim_start_matches('\n'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> TreeEntry {
        let (oid, digest) = (GitOid::of_blob(content), Digest::EMPTY);
        TreeEntry::File(GitFile { oid, digest, size: 0, is_lfs: false })
    }

    #[test]
    fn a_pointer_is_what_git_lfs_writes_and_nothing_else() {
        let text = pointer(&Digest::EMPTY, 7);
        assert_eq!(pointed(text.as_bytes()), Some((Digest::EMPTY, 7)));
        let longer = text.replace("sha256:", "sha512:").replace('\n', "0\n");
        let sha512 =
            format!("version https://git-lfs.github.com/spec/v1\noid sha512:{}\nsize 7\n", "0".repeat(128));
        for other in [
            "",
            "version",
            text.trim_end(),
            &text.replace("size 7", "size 07"),
            &format!("{text}x"),
            &longer,
            &sha512,
        ] {
            assert_eq!(pointed(other.as_bytes()), None, "{other}");
        }
        assert_eq!(pointed(b"\xff\noid \xfe"), None);
    }

    /// As `git hash-object`, `git mktree` and `git commit-tree` of Git 2.39 name them.
    #[test]
    fn objects_are_named_as_git_names_them() {
        assert_eq!(GitOid::of_blob(b"hello\n").to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(tree_oid(&Tree::new()).to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        let inner = Tree::from([("x".to_owned(), file(b"hello\n"))]);
        let tree = Tree::from([
            ("a".to_owned(), TreeEntry::Directory(tree_oid(&inner))),
            ("a.txt".to_owned(), file(b"hello\n")),
            ("a0".to_owned(), file(b"")),
        ]);
        assert_eq!(tree_oid(&tree).to_string(), "eaaa37f2768df629f4daa45040173836c775ba03");
        let at = DateTime::from_timestamp(1_700_000_000, 5).unwrap_or_default();
        let commit = Commit::new(tree_oid(&tree), None, Some("dora"), "title\n\nmore".to_owned(), at);
        assert_eq!(commit.oid.to_string(), "9b52a328736687a407f25670788c6cbdb444fa6f");
        assert_eq!((commit.title(), commit.description()), ("title", "more"));
    }
}
