//! Commits: files that are there already get their paths, and a branch points to the result.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;

use super::full;
use crate::db::Advanced;
use crate::domain::access::Caller;
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hash::Hasher;
use crate::domain::hub::draft::{Changed, Draft, InvalidChange};
use crate::domain::hub::git::{Commit, GitFile, GitOid, Tree};
use crate::domain::hub::{RefKind, RefName};
use crate::domain::name::RepositoryName;
use crate::domain::path::FilePath;
use crate::service::uploads::append::Chunk;
use crate::service::{Result, Service, ServiceError};

/// Tries of a commit that names no parent, when others move the branch at the same time.
const TRIES: usize = 8;
/// Links looked up by one statement.
const LINKS_AT_ONCE: usize = 1_000;

/// What is to become of one path.
#[derive(Debug, Clone)]
pub enum HubChange {
    /// A small file, whose bytes came with the commit and are in the repository by now.
    Put { path: FilePath, file: GitFile },
    /// A file of Git LFS, which was uploaded before. Its size, where the client tells it.
    PutLfs { path: FilePath, digest: Digest, size: Option<u64> },
    /// A file, or a directory with all that is below it. What is not there is gone already.
    Delete { path: FilePath },
}

/// A commit to be made.
#[derive(Debug)]
pub struct NewHubCommit {
    pub branch: RefName,
    /// What the branch has to point to, where the client says so.
    pub parent: Option<GitOid>,
    /// Its first line is the title.
    pub message: String,
    /// Carried out one after the other.
    pub changes: Vec<HubChange>,
}

/// What became of it.
#[derive(Debug)]
pub enum HubCommitted {
    /// The commit that the branch points to. It is an earlier one where that has these very files already: a client
    /// that lost the answer asks again.
    Done(Commit),
    /// The branch points to this one, and not to the parent that was named.
    Moved(GitOid),
    NoBranch,
}

impl From<InvalidChange> for ServiceError {
    fn from(error: InvalidChange) -> Self {
        match error {
            InvalidChange::TooMany => Self::TooLarge(error.to_string()),
            error => Self::Invalid(error.to_string()),
        }
    }
}

impl Service {
    /// Takes the bytes of a small file into a repository, unless it has them.
    pub async fn put_hub_file(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        content: Bytes,
        user_agent: Option<&str>,
    ) -> Result<GitFile> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&content);
        let (digest, size) = (hasher.finish(), content.len() as u64);
        let file = GitFile { oid: GitOid::of_blob(&content), digest, size, is_lfs: false };
        let found = self.db.find_link(repository, &digest).await?;
        if let Some(link) = found.filter(|link| link.blob.placement.is_readable())
            && (!link.is_unreferenced || self.db.renew_link(repository, &digest, self.clock.now()).await?)
        {
            return Ok(file);
        }
        let upload = self
            .begin(caller, repository.clone(), Some(digest), Algorithm::Sha256, Some(size), user_agent)
            .await?;
        let whole = Chunk { length: Some(size), ..Chunk::default() };
        let body = stream::iter([Ok(content)]);
        let taking = Arc::clone(self).take_whole(caller.clone(), upload, whole, digest.into(), body);
        self.outlive(taking).await??;
        Ok(file)
    }

    /// Makes a commit, all or nothing.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`] where a file's bytes are not in the repository, or a path does not fit to the others,
    /// [`ServiceError::SizeInvalid`], and [`ServiceError::TooLarge`] where the directories that it touches have too much.
    pub async fn commit_to_hub(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        commit: NewHubCommit,
    ) -> Result<HubCommitted> {
        let sizes = self.sizes_of(repository, &commit.changes).await?;
        let branch = full(RefKind::Branch, &commit.branch);
        for _ in 0..TRIES {
            let head = self.db.commit_of_ref(repository, [&branch, &branch]).await?;
            let Some(head) = head else { return Ok(HubCommitted::NoBranch) };
            // The answer to a commit that was made may have been lost, and its client sends it again.
            let is_repeated = commit.parent.is_some_and(|parent| parent != head.oid);
            let base = match commit.parent {
                Some(parent) if is_repeated => {
                    let known = self.db.commits_back_from(repository, &head.oid, 2).await?;
                    let Some(base) = known.into_iter().find(|known| known.oid == parent) else {
                        return Ok(HubCommitted::Moved(head.oid));
                    };
                    base.tree
                }
                _ => head.tree,
            };
            let Changed { root, trees } = self.change_tree(repository, base, &commit.changes, &sizes).await?;
            if root == head.tree {
                return Ok(HubCommitted::Done(head));
            }
            if is_repeated {
                return Ok(HubCommitted::Moved(head.oid));
            }
            let now = self.clock.now();
            let made = Commit::new(root, Some(head.oid), caller.name(), commit.message.clone(), now);
            let needed = new_digests(&commit.changes);
            match self.db.advance_ref(repository, &branch, &made, trees, needed).await? {
                Advanced::Done => {
                    tracing::info!(%repository, branch = commit.branch.as_str(), commit = %made.oid, "committed");
                    self.record_all(caller, vec![action(repository, &made.oid)]).await;
                    return Ok(HubCommitted::Done(made));
                }
                Advanced::Moved => {}
                Advanced::Missing(digests) => {
                    return Err(ServiceError::Busy(format!(
                        "{} files left the repository before they got their paths",
                        digests.len()
                    )));
                }
            }
        }
        Err(ServiceError::Contended)
    }

    /// Sizes of the files that were uploaded before; each is there, and can be read.
    async fn sizes_of(
        self: &Arc<Self>,
        repository: &RepositoryName,
        changes: &[HubChange],
    ) -> Result<HashMap<Digest, u64>> {
        let digests: Vec<_> = new_digests(changes).into_iter().collect();
        let mut sizes = HashMap::with_capacity(digests.len());
        for some in digests.chunks(LINKS_AT_ONCE) {
            for link in self.db.find_links(repository, some).await? {
                // On its way to its place, perhaps by somebody else's upload: that is waited for.
                if !link.blob.placement.is_readable() {
                    match self.link(repository, &link.blob.digest).await {
                        Err(ServiceError::BlobUnknown) => continue,
                        waited => drop(waited?),
                    }
                }
                sizes.insert(link.blob.digest, link.blob.size);
            }
        }
        for change in changes {
            let HubChange::PutLfs { path, digest, size } = change else { continue };
            match sizes.get(digest) {
                None => {
                    return Err(ServiceError::Invalid(format!(
                        "{path}: the repository has no object {}; upload it through Git LFS first",
                        digest.hex()
                    )));
                }
                Some(found) if size.is_some_and(|size| size != *found) => {
                    let message =
                        format!("{path}: the object has {found} bytes, not {}", size.unwrap_or_default());
                    return Err(ServiceError::SizeInvalid(message));
                }
                Some(_) => {}
            }
        }
        Ok(sizes)
    }

    async fn change_tree(
        &self,
        repository: &RepositoryName,
        root: GitOid,
        changes: &[HubChange],
        sizes: &HashMap<Digest, u64>,
    ) -> Result<Changed> {
        let mut draft = Draft::new(root);
        for change in changes {
            let (HubChange::Put { path, .. } | HubChange::PutLfs { path, .. } | HubChange::Delete { path }) =
                change;
            loop {
                let next = match draft.unopened(path) {
                    // Below a file there is nothing to delete.
                    Err(InvalidChange::BelowFile(_)) if matches!(change, HubChange::Delete { .. }) => break,
                    next => next?,
                };
                let Some((directory, tree)) = next else { break };
                let entries = self.db.tree_entries(repository, &tree, "", draft.room() + 1).await?;
                draft.open(directory, tree, entries.into_iter().collect::<Tree>())?;
            }
            match change {
                HubChange::Put { path, file } => draft.put(path, *file)?,
                HubChange::PutLfs { path, digest, .. } => {
                    let size = sizes.get(digest).copied().unwrap_or_default();
                    draft.put(path, GitFile::lfs(*digest, size))?;
                }
                HubChange::Delete { path } => draft.remove(path),
            }
        }
        Ok(draft.finish())
    }
}

/// Of what a commit puts anywhere.
fn new_digests(changes: &[HubChange]) -> BTreeSet<Digest> {
    let digest = |change: &HubChange| match change {
        HubChange::Put { file, .. } => Some(file.digest),
        HubChange::PutLfs { digest, .. } => Some(*digest),
        HubChange::Delete { .. } => None,
    };
    changes.iter().filter_map(digest).collect()
}

fn action(repository: &RepositoryName, commit: &GitOid) -> AuditedAction {
    AuditedAction {
        operation: Operation::Push,
        resource_type: ResourceType::Commit,
        resource: format!("{repository}@{commit}"),
        project: Some(repository.project()),
    }
}
