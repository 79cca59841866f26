//! Locks on files: make, list and end them.

use crate::domain::access::{Action, Caller};
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::file_lock::{FileLock, InvalidPath};
use crate::domain::name::RepositoryName;
use crate::service::{Result, Service, ServiceError};
use uuid::Uuid;

/// What became of a wish to lock a path.
#[derive(Debug)]
pub enum Locking {
    Locked(FileLock),
    /// By somebody, perhaps by whoever asks.
    Held(FileLock),
}

/// Tries at a path whose lock comes and goes meanwhile.
const LOCK_ATTEMPTS: usize = 8;

impl Service {
    /// Locks a path for the caller, or says who has.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Invalid`]: the path is none. [`ServiceError::Contended`]: its lock comes and goes.
    pub async fn lock_file(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        path: &str,
    ) -> Result<Locking> {
        let lock = FileLock::new(path, caller.name(), self.clock.now());
        let lock = lock.map_err(|error: InvalidPath| ServiceError::Invalid(error.to_string()))?;
        for _ in 0..LOCK_ATTEMPTS {
            if self.db.insert_file_lock(repository, &lock).await? {
                tracing::info!(%repository, lock = %lock.id, "file locked");
                return Ok(Locking::Locked(lock));
            }
            if let Some(held) = self.db.find_file_lock_of(repository, path).await? {
                return Ok(Locking::Held(held));
            }
        }
        Err(ServiceError::Contended)
    }

    /// A page of a repository's locks, in the order of their paths, after the path `last`; with it whether more follow.
    pub async fn file_locks(
        &self,
        repository: &RepositoryName,
        last: &str,
        limit: u32,
    ) -> Result<(Vec<FileLock>, bool)> {
        let mut locks = self.db.file_locks(repository, last, limit.saturating_add(1)).await?;
        let more = locks.len() > limit as usize;
        locks.truncate(limit as usize);
        Ok((locks, more))
    }

    pub async fn file_lock(&self, repository: &RepositoryName, id: Uuid) -> Result<Option<FileLock>> {
        Ok(self.db.find_file_lock(repository, id).await?)
    }

    pub async fn file_lock_of(&self, repository: &RepositoryName, path: &str) -> Result<Option<FileLock>> {
        Ok(self.db.find_file_lock_of(repository, path).await?)
    }

    /// Ends a lock: the caller's own, or with `is_forced` anybody's, where the caller may delete in the repository.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Unknown`]: there is no such lock. [`ServiceError::Forbidden`]: it is somebody else's, and `is_forced`
    /// does not say so, or the caller may not.
    pub async fn unlock_file(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        id: Uuid,
        is_forced: bool,
    ) -> Result<FileLock> {
        let lock = self.db.find_file_lock(repository, id).await?.ok_or(ServiceError::Unknown("lock"))?;
        let is_own = lock.owner.as_deref() == caller.name();
        if !is_own && !is_forced {
            return Err(ServiceError::Forbidden("the lock is somebody else's; --force ends it all the same"));
        }
        if !is_own && !self.actions(caller, repository).await?.contains(Action::Delete) {
            return Err(ServiceError::Forbidden(
                "the lock is somebody else's, and to end it takes a maintainer of the project",
            ));
        }
        if !self.db.delete_file_lock(repository, id, caller.name(), is_forced).await? {
            return Err(ServiceError::Unknown("lock"));
        }
        tracing::info!(%repository, lock = %id, "file unlocked");
        if !is_own {
            let action = AuditedAction {
                operation: Operation::Delete,
                resource_type: ResourceType::Lock,
                resource: format!("{repository}:{}", lock.path),
                project: Some(repository.project()),
            };
            self.record_all(caller, vec![action]).await;
        }
        Ok(lock)
    }
}
