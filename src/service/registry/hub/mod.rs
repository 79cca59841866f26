//! Repositories of the Hugging Face Hub, their branches and tags.

// Commits, and the files that come with them.
mod commits;
// What a commit has: files looked up and listed.
mod trees;

use std::sync::Arc;

use tokio::time::Instant;

use crate::db::FoundHubRepository;
use crate::domain::access::Caller;
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::hub::git::{Commit, GitOid, Tree, tree_oid};
use crate::domain::hub::{HubName, HubRepository, Ref, RefKind, RefName, RepositoryKind, Revision};
use crate::domain::name::RepositoryName;
use crate::service::{MAX_PAGE, Result, Service, ServiceError};

pub use commits::{HubChange, HubCommitted, NewHubCommit};
pub use trees::TreeWalk;

/// Rows deleted in one transaction: some tens of milliseconds' work.
const DELETED_AT_ONCE: u32 = 500;
const FIRST_COMMIT: &str = "initial commit";

impl Service {
    /// Makes a repository with a branch `main`, and a commit of nothing on it; false where there is one.
    pub async fn create_hub_repository(self: &Arc<Self>, caller: &Caller, name: &HubName) -> Result<bool> {
        if let Some(found) = self.db.find_hub_repository(name.repository()).await? {
            if !found.is_deleted {
                return Ok(false);
            }
            self.empty_hub_repository(name.repository()).await?;
        }
        let now = self.clock.now();
        let nothing = tree_oid(&Tree::new());
        let first = Commit::new(nothing, None, caller.name(), FIRST_COMMIT.to_owned(), now);
        let main = full(RefKind::Branch, &RefName::main());
        let is_made = self.db.insert_hub_repository(name, &main, &first, now).await?;
        if is_made {
            tracing::info!(repository = %name.repository(), "Hub repository created");
            self.record_all(caller, vec![of_repository(Operation::Create, name.repository())]).await;
        }
        Ok(is_made)
    }

    /// A repository as it was made; none where there is none, or it is being deleted.
    pub async fn find_hub_repository(&self, name: &HubName) -> Result<Option<HubRepository>> {
        let found = self.db.find_hub_repository(name.repository()).await?;
        Ok(found.filter(|found| !found.is_deleted).map(|found| found.repository))
    }

    /// Those of one kind in a project, in the order of their names: the first [`MAX_PAGE`].
    pub async fn hub_repositories(
        &self,
        project: &RepositoryName,
        kind: RepositoryKind,
    ) -> Result<Vec<HubRepository>> {
        let prefix = format!("{project}/{kind}");
        // `0` comes after `/`.
        Ok(self.db.hub_repositories(&format!("{prefix}/"), &format!("{prefix}0"), MAX_PAGE).await?)
    }

    /// Deletes a repository with all its commits; false where there is none. Blobs that nothing needs any more go to the
    /// collector. What breaks off here is finished by a cleaning, and by whoever makes a repository of the name.
    pub async fn delete_hub_repository(self: &Arc<Self>, caller: &Caller, name: &HubName) -> Result<bool> {
        let Some(FoundHubRepository { is_deleted: false, .. }) =
            self.db.find_hub_repository(name.repository()).await?
        else {
            return Ok(false);
        };
        let (service, repository) = (Arc::clone(self), name.repository().clone());
        let caller = caller.clone();
        let work = async move {
            if service.db.end_hub_repository(&repository, service.clock.now()).await? {
                tracing::info!(%repository, "Hub repository deleted");
                service.record_all(&caller, vec![of_repository(Operation::Delete, &repository)]).await;
            }
            service.empty_hub_repository(&repository).await
        };
        self.outlive(work).await??;
        Ok(true)
    }

    /// Goes on with deletions that broke off.
    pub(in crate::service) async fn go_on_with_hub_deletions(&self) -> Result<()> {
        for repository in self.db.ended_hub_repositories(MAX_PAGE).await? {
            self.empty_hub_repository(&repository).await?;
        }
        Ok(())
    }

    async fn empty_hub_repository(&self, repository: &RepositoryName) -> Result<()> {
        loop {
            let begun = Instant::now();
            if self.db.empty_hub_repository(repository, self.clock.now(), DELETED_AT_ONCE).await? {
                return Ok(());
            }
            if self.handover.is_cancelled() {
                return Err(ServiceError::Stopping);
            }
            self.rest(begun.elapsed()).await;
        }
    }

    /// The commit that a revision names.
    pub async fn hub_revision(
        &self,
        repository: &RepositoryName,
        revision: &Revision,
    ) -> Result<Option<Commit>> {
        let names = match revision {
            Revision::Commit(oid) => {
                return Ok(self.db.commits_back_from(repository, oid, 1).await?.into_iter().next());
            }
            Revision::Named(name) => [full(RefKind::Branch, name), full(RefKind::Tag, name)],
            Revision::Ref(kind, name) => [full(*kind, name), full(*kind, name)],
        };
        Ok(self.db.commit_of_ref(repository, [&names[0], &names[1]]).await?)
    }

    /// A commit and those before it, at most `limit`.
    pub async fn hub_history(
        &self,
        repository: &RepositoryName,
        from: &GitOid,
        limit: u32,
    ) -> Result<Vec<Commit>> {
        Ok(self.db.commits_back_from(repository, from, limit).await?)
    }

    /// All branches and tags.
    pub async fn hub_refs(&self, repository: &RepositoryName) -> Result<Vec<Ref>> {
        Ok(self.db.hub_refs(repository).await?)
    }

    /// Makes a branch or a tag; false where there is one, or the repository has as many as it may.
    pub async fn create_hub_ref(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        (kind, name): (RefKind, &RefName),
        commit: &GitOid,
    ) -> Result<bool> {
        let name = full(kind, name);
        let is_made = self.db.insert_hub_ref(repository, &name, commit).await?;
        if is_made {
            self.record_all(caller, vec![of_ref(Operation::Create, repository, &name)]).await;
        }
        Ok(is_made)
    }

    /// Deletes a branch or a tag; false where there is none. Its commits stay as long as the repository.
    pub async fn delete_hub_ref(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        (kind, name): (RefKind, &RefName),
    ) -> Result<bool> {
        let name = full(kind, name);
        let is_deleted = self.db.delete_hub_ref(repository, &name).await?;
        if is_deleted {
            self.record_all(caller, vec![of_ref(Operation::Delete, repository, &name)]).await;
        }
        Ok(is_deleted)
    }
}

fn full(kind: RefKind, name: &RefName) -> String {
    format!("{kind}{}", name.as_str())
}

fn of_repository(operation: Operation, repository: &RepositoryName) -> AuditedAction {
    AuditedAction {
        operation,
        resource_type: ResourceType::Repository,
        resource: repository.to_string(),
        project: Some(repository.project()),
    }
}

fn of_ref(operation: Operation, repository: &RepositoryName, name: &str) -> AuditedAction {
    AuditedAction {
        operation,
        resource_type: ResourceType::Tag,
        resource: format!("{repository}:{name}"),
        project: Some(repository.project()),
    }
}
