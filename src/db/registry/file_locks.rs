//! Locks on files: who keeps others from changing a path of a repository.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::text::repository_id;
use crate::db::{Db, Result, on_pool};
use crate::domain::file_lock::FileLock;
use crate::domain::name::RepositoryName;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, path, owner_name, locked_at FROM file_lock WHERE repository_id = ",
            repository_id!(),
            $rest
        )
    };
}

/// In the order of their paths, after one of them.
pub(in crate::db) const PAGE: &str = select!(" AND path > $2 ORDER BY path LIMIT $3");
pub(in crate::db) const FIND: &str = select!(" AND id = $2");
pub(in crate::db) const FIND_BY_PATH: &str = select!(" AND path = $2");

pub(in crate::db) const INSERT: &str = concat!(
    "INSERT INTO file_lock (repository_id, id, path, owner_name, locked_at) VALUES (",
    repository_id!(),
    ", $2, $3, $4, $5) ON CONFLICT (repository_id, path) DO NOTHING"
);

/// Somebody else's only where `$4` says so.
pub(in crate::db) const DELETE: &str = concat!(
    "DELETE FROM file_lock WHERE repository_id = ",
    repository_id!(),
    " AND id = $2 AND ($4 OR owner_name IS NOT DISTINCT FROM $3)"
);

#[derive(Debug, FromRow)]
struct LockRow {
    id: Uuid,
    path: String,
    owner_name: Option<String>,
    locked_at: DateTime<Utc>,
}

impl From<LockRow> for FileLock {
    fn from(LockRow { id, path, owner_name, locked_at }: LockRow) -> Self {
        Self { id, path, owner: owner_name, locked_at }
    }
}

impl Db {
    /// Locks a path; false where it is locked.
    pub async fn insert_file_lock(&self, repository: &RepositoryName, lock: &FileLock) -> Result<bool> {
        self.make_repository(repository.as_str()).await?;
        let inserted = on_pool!(self, pool => sqlx::query(INSERT)
            .bind(repository)
            .bind(lock.id)
            .bind(&lock.path)
            .bind(lock.owner.as_deref())
            .bind(lock.locked_at)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(inserted > 0)
    }

    /// Locks of a repository on paths after `last`, in the order of their bytes, at most `limit`.
    pub async fn file_locks(
        &self,
        repository: &RepositoryName,
        last: &str,
        limit: u32,
    ) -> Result<Vec<FileLock>> {
        let rows: Vec<LockRow> = on_pool!(self, pool => sqlx::query_as(PAGE)
            .bind(repository)
            .bind(last)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        Ok(rows.into_iter().map(FileLock::from).collect())
    }

    pub async fn find_file_lock(&self, repository: &RepositoryName, id: Uuid) -> Result<Option<FileLock>> {
        let row: Option<LockRow> = on_pool!(self, pool =>
            sqlx::query_as(FIND).bind(repository).bind(id).fetch_optional(pool).await)?;
        Ok(row.map(FileLock::from))
    }

    pub async fn find_file_lock_of(
        &self,
        repository: &RepositoryName,
        path: &str,
    ) -> Result<Option<FileLock>> {
        let row: Option<LockRow> = on_pool!(self, pool =>
            sqlx::query_as(FIND_BY_PATH).bind(repository).bind(path).fetch_optional(pool).await)?;
        Ok(row.map(FileLock::from))
    }

    /// Takes a lock away, somebody else's only where `is_forced`; false where there is none of that kind.
    pub async fn delete_file_lock(
        &self,
        repository: &RepositoryName,
        id: Uuid,
        owner: Option<&str>,
        is_forced: bool,
    ) -> Result<bool> {
        let deleted = on_pool!(self, pool => sqlx::query(DELETE)
            .bind(repository)
            .bind(id)
            .bind(owner)
            .bind(is_forced)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }
}
