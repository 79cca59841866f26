//! A change of trees, in memory: the directories that it touches are opened one by one, and those alone are named anew.

use std::collections::BTreeMap;

use super::git::{GitFile, GitOid, Tree, TreeEntry, tree_oid};
use crate::domain::path::FilePath;

/// Entries of all directories that one change touches: some 10 MiB in memory, twice that where all names are as long as they
/// may be, and what one transaction writes.
pub const MAX_ENTRIES: usize = 50_000;
/// Longest name of a file or a directory, in bytes: no client's disk takes a longer one.
const MAX_NAME: usize = 255;
/// Directories above a file: each is a step for whoever looks it up.
pub const MAX_DEPTH: usize = 64;

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChange {
    #[error("{0} is a file, so nothing can lie below it; delete it first")]
    BelowFile(String),
    #[error("{0} is a directory; delete it before a file takes its name")]
    OverDirectory(String),
    #[error(
        "the directories of one commit have at most {MAX_ENTRIES} entries in all; send several commits, and put fewer files into one directory"
    )]
    TooMany,
    #[error("{0} lies too deep: a file has at most {MAX_DEPTH} directories above it")]
    TooDeep(String),
    #[error("{0} has a name in it of more than {MAX_NAME} bytes")]
    LongName(String),
}

#[derive(Debug)]
struct Opened {
    /// None of one that is new.
    was: Option<GitOid>,
    tree: Tree,
}

/// The trees of a commit while they are changed.
#[derive(Debug)]
pub struct Draft {
    root: GitOid,
    /// By their paths; the root's is empty. What an opened one contains stands here, whatever its parent says.
    opened: BTreeMap<String, Opened>,
    entries: usize,
}

/// Trees that were not there before.
#[derive(Debug)]
pub struct Changed {
    pub root: GitOid,
    pub trees: Vec<(GitOid, Tree)>,
}

impl Draft {
    #[must_use]
    pub const fn new(root: GitOid) -> Self {
        Self { root, opened: BTreeMap::new(), entries: 0 }
    }

    /// The next directory to open before a path can be changed, and its tree; none once all are open.
    ///
    /// # Errors
    ///
    /// [`InvalidChange::BelowFile`], [`InvalidChange::TooDeep`] and [`InvalidChange::LongName`].
    pub fn unopened(&self, path: &FilePath) -> Result<Option<(String, GitOid)>, InvalidChange> {
        if path.as_str().matches('/').count() > MAX_DEPTH {
            return Err(InvalidChange::TooDeep(path.to_string()));
        }
        if path.as_str().split('/').any(|name| name.len() > MAX_NAME) {
            return Err(InvalidChange::LongName(path.to_string()));
        }
        let Some(mut opened) = self.opened.get("") else { return Ok(Some((String::new(), self.root))) };
        for (directory, name) in ancestors(path) {
            match opened.tree.get(name) {
                None => return Ok(None),
                Some(TreeEntry::File(_)) => return Err(InvalidChange::BelowFile(directory.to_owned())),
                Some(TreeEntry::Directory(oid)) => match self.opened.get(directory) {
                    Some(below) => opened = below,
                    None => return Ok(Some((directory.to_owned(), *oid))),
                },
            }
        }
        Ok(None)
    }

    /// Takes the entries of a directory.
    ///
    /// # Errors
    ///
    /// [`InvalidChange::TooMany`].
    pub fn open(&mut self, directory: String, was: GitOid, tree: Tree) -> Result<(), InvalidChange> {
        self.count(tree.len())?;
        self.opened.insert(directory, Opened { was: Some(was), tree });
        Ok(())
    }

    /// How many more entries there may be.
    #[must_use]
    pub const fn room(&self) -> usize {
        MAX_ENTRIES.saturating_sub(self.entries)
    }

    /// Puts a file at a path whose directories are open.
    ///
    /// # Errors
    ///
    /// [`InvalidChange::OverDirectory`] and [`InvalidChange::TooMany`].
    pub fn put(&mut self, path: &FilePath, file: GitFile) -> Result<(), InvalidChange> {
        let mut parent = "";
        for (directory, name) in ancestors(path) {
            if !self.opened.contains_key(directory) {
                self.count(1)?;
                let new = TreeEntry::Directory(tree_oid(&Tree::new()));
                self.tree_of(parent).insert(name.to_owned(), new);
                self.opened.insert(directory.to_owned(), Opened { was: None, tree: Tree::new() });
            }
            parent = directory;
        }
        let name = path.file_name();
        match self.tree_of(parent).get(name) {
            Some(TreeEntry::Directory(_)) => return Err(InvalidChange::OverDirectory(path.to_string())),
            Some(TreeEntry::File(_)) => {}
            None => self.count(1)?,
        }
        self.tree_of(parent).insert(name.to_owned(), TreeEntry::File(file));
        Ok(())
    }

    /// Takes away a file, or a directory with all below it. What is not there is gone already.
    pub fn remove(&mut self, path: &FilePath) {
        let parent = path.as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
        let Some(opened) = self.opened.get_mut(parent) else { return };
        if let Some(TreeEntry::Directory(_)) = opened.tree.remove(path.file_name()) {
            self.opened.remove(path.as_str());
            // `0` comes after `/`.
            let below = format!("{path}/")..format!("{path}0");
            let gone: Vec<_> = self.opened.range(below).map(|(directory, _)| directory.clone()).collect();
            for directory in gone {
                self.opened.remove(&directory);
            }
        }
    }

    /// Names what has changed. A directory without files is none.
    #[must_use]
    pub fn finish(mut self) -> Changed {
        let (mut root, mut trees) = (self.root, Vec::new());
        // Those below come behind the one that they are in.
        while let Some((directory, Opened { was, tree })) = self.opened.pop_last() {
            let oid = tree_oid(&tree);
            if directory.is_empty() {
                root = oid;
            } else {
                let (parent, name) = directory.rsplit_once('/').unwrap_or(("", &directory));
                let parent = self.tree_of(parent);
                if tree.is_empty() {
                    parent.remove(name);
                } else {
                    parent.insert(name.to_owned(), TreeEntry::Directory(oid));
                }
            }
            if was != Some(oid) && !tree.is_empty() {
                trees.push((oid, tree));
            }
        }
        Changed { root, trees }
    }

    fn tree_of(&mut self, directory: &str) -> &mut Tree {
        let new = || Opened { was: None, tree: Tree::new() };
        &mut self.opened.entry(directory.to_owned()).or_insert_with(new).tree
    }

    fn count(&mut self, more: usize) -> Result<(), InvalidChange> {
        self.entries = self.entries.saturating_add(more);
        if self.entries > MAX_ENTRIES { Err(InvalidChange::TooMany) } else { Ok(()) }
    }
}

/// The directories above a path from the outermost on, each with its name.
fn ancestors(path: &FilePath) -> impl Iterator<Item = (&str, &str)> {
    path.as_str().match_indices('/').filter_map(|(end, _)| {
        let directory = path.as_str().get(..end)?;
        Some((directory, directory.rsplit('/').next().unwrap_or(directory)))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::digest::Digest;

    fn path(text: &str) -> FilePath {
        text.parse().expect("a path")
    }

    fn file(content: &str) -> GitFile {
        let oid = GitOid::of_blob(content.as_bytes());
        GitFile { oid, digest: Digest::EMPTY, size: content.len() as u64, is_lfs: false }
    }

    /// Trees by their names, as a database has them.
    #[derive(Default)]
    struct Store(HashMap<GitOid, Tree>);

    impl Store {
        fn change(&mut self, root: GitOid, changes: &[(FilePath, Option<GitFile>)]) -> Option<GitOid> {
            let mut draft = Draft::new(root);
            for (path, file) in changes {
                while let Some((directory, oid)) = draft.unopened(path).ok()? {
                    draft.open(directory, oid, self.0.get(&oid).cloned().unwrap_or_default()).ok()?;
                }
                match file {
                    Some(file) => draft.put(path, *file).ok()?,
                    None => draft.remove(path),
                }
            }
            let Changed { root, trees } = draft.finish();
            self.0.extend(trees);
            Some(root)
        }

        fn paths(&self, root: GitOid, prefix: &str) -> BTreeSet<String> {
            let entries = self.0.get(&root).cloned().unwrap_or_default();
            let paths = entries.into_iter().flat_map(|(name, entry)| match entry {
                TreeEntry::File(_) => BTreeSet::from([format!("{prefix}{name}")]),
                TreeEntry::Directory(oid) => self.paths(oid, &format!("{prefix}{name}/")),
            });
            paths.collect()
        }
    }

    proptest! {
        #[test]
        fn changes_one_by_one_and_at_once_come_to_the_same_tree(
            changes in proptest::collection::vec(("[ab](/[ab0]){0,3}", any::<bool>()), 0..12)
        ) {
            let changes: Vec<_> =
                changes.iter().map(|(text, is_put)| (path(text), is_put.then(|| file(text)))).collect();
            let empty = tree_oid(&Tree::new());
            let (mut one_by_one, mut at_once) = (Store::default(), Store::default());
            let mut expected = BTreeSet::new();
            let mut root = Some(empty);
            for change in &changes {
                root = root.and_then(|root| one_by_one.change(root, std::slice::from_ref(change)));
                let text = change.0.as_str();
                match change.1 {
                    Some(_) => { expected.insert(text.to_owned()); }
                    None => expected.retain(|known| known != text && !known.starts_with(&format!("{text}/"))),
                }
            }
            let whole = at_once.change(empty, &changes);
            // A directory that has just lost its last file is still one within the same change.
            if let (Some(root), Some(whole)) = (root, whole) {
                prop_assert_eq!(root, whole);
                prop_assert_eq!(at_once.paths(whole, ""), expected);
            }
        }
    }

    #[test]
    fn a_file_and_a_directory_do_not_share_a_name() {
        let (mut store, empty) = (Store::default(), tree_oid(&Tree::new()));
        let root = store.change(empty, &[(path("a/b"), Some(file("x")))]).expect("a change");
        assert_eq!(store.change(root, &[(path("a"), Some(file("x")))]), None);
        assert_eq!(store.change(root, &[(path("a/b/c"), Some(file("x")))]), None);
        let replaced = store.change(root, &[(path("a"), None), (path("a"), Some(file("x")))]);
        assert_eq!(store.paths(replaced.expect("a change"), ""), BTreeSet::from(["a".to_owned()]));
        assert_eq!(store.change(root, &[(path("a"), None)]), Some(empty));
    }
}
