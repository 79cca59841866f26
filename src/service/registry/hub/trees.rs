//! What a commit has: a file by its path, and lists of what lies below a directory.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::access::Caller;
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::blob::Blob;
use crate::domain::hub::draft::MAX_DEPTH;
use crate::domain::hub::git::{GitFile, GitOid, TreeEntry};
use crate::domain::name::RepositoryName;
use crate::domain::path::{Directory, FilePath};
use crate::service::{Result, Service};

/// Entries of one directory that are read ahead. A walk holds as many of each directory that it is in.
const READ_AHEAD: usize = 100;

/// What lies below a directory, one after the other: each directory before what is in it.
#[derive(Debug)]
pub struct TreeWalk {
    repository: RepositoryName,
    is_recursive: bool,
    /// The directories that it is in, the outermost first.
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// What paths begin with here.
    prefix: String,
    tree: GitOid,
    ahead: VecDeque<(String, TreeEntry)>,
    /// The last name that was read.
    after: String,
    is_read: bool,
}

impl Level {
    const fn new(prefix: String, tree: GitOid, after: String) -> Self {
        Self { prefix, tree, ahead: VecDeque::new(), after, is_read: false }
    }
}

impl Service {
    /// What a path names in a tree.
    pub async fn hub_entry(
        &self,
        repository: &RepositoryName,
        root: GitOid,
        path: &FilePath,
    ) -> Result<Option<TreeEntry>> {
        let mut entry = TreeEntry::Directory(root);
        if path.as_str().matches('/').count() > MAX_DEPTH {
            return Ok(None);
        }
        for name in path.as_str().split('/') {
            let TreeEntry::Directory(tree) = entry else { return Ok(None) };
            match self.db.tree_entry(repository, &tree, name).await? {
                Some(found) => entry = found,
                None => return Ok(None),
            }
        }
        Ok(Some(entry))
    }

    /// A file's blob, to be read.
    pub async fn hub_blob(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        path: &FilePath,
        file: &GitFile,
    ) -> Result<Blob> {
        let blob = self.link(repository, &file.digest).await?.blob;
        let action = AuditedAction {
            operation: Operation::Pull,
            resource_type: ResourceType::File,
            resource: format!("{repository}:{path}"),
            project: Some(repository.project()),
        };
        self.record_soon(caller, action).await;
        Ok(blob)
    }

    /// Begins to list a directory of a tree, after the entry of the path `last`; none where there is no such directory.
    pub async fn hub_walk(
        &self,
        repository: &RepositoryName,
        root: GitOid,
        directory: &Directory,
        is_recursive: bool,
        last: Option<&FilePath>,
    ) -> Result<Option<TreeWalk>> {
        let tree = match directory.path() {
            None => root,
            Some(path) => match self.hub_entry(repository, root, path).await? {
                Some(TreeEntry::Directory(tree)) => tree,
                _ => return Ok(None),
            },
        };
        let mut walk = TreeWalk { repository: repository.clone(), is_recursive, levels: Vec::new() };
        let (mut tree, mut prefix) = (tree, directory.prefix());
        let rest = last.and_then(|last| last.as_str().strip_prefix(&prefix));
        for name in rest.into_iter().flat_map(|rest| rest.split('/')).take(MAX_DEPTH + 1) {
            walk.levels.push(Level::new(prefix.clone(), tree, name.to_owned()));
            match self.db.tree_entry(repository, &tree, name).await? {
                Some(TreeEntry::Directory(below)) if is_recursive => tree = below,
                _ => return Ok(Some(walk)),
            }
            prefix = format!("{prefix}{name}/");
        }
        walk.levels.push(Level::new(prefix, tree, String::new()));
        Ok(Some(walk))
    }
}

impl TreeWalk {
    /// The next entry, with its path; none at the end.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn next(&mut self, service: &Service) -> Result<Option<(String, TreeEntry)>> {
        while let Some(level) = self.levels.last_mut() {
            if level.ahead.is_empty() && !level.is_read {
                let read = service.db.tree_entries(&self.repository, &level.tree, &level.after, READ_AHEAD);
                level.ahead = read.await?.into();
                level.is_read = level.ahead.len() < READ_AHEAD;
                if let Some((name, _)) = level.ahead.back() {
                    level.after.clone_from(name);
                }
            }
            let Some((name, entry)) = level.ahead.pop_front() else {
                self.levels.pop();
                continue;
            };
            let path = format!("{}{name}", level.prefix);
            if let (TreeEntry::Directory(tree), true) = (entry, self.is_recursive) {
                self.levels.push(Level::new(format!("{path}/"), tree, String::new()));
            }
            return Ok(Some((path, entry)));
        }
        Ok(None)
    }
}
