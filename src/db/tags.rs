//! Tags and repositories, listed a page at a time: each page begins after a name, so that what is pushed meanwhile
//! neither repeats nor hides an entry.

use super::{Db, Result, on_pool};
use crate::domain::name::RepositoryName;
use crate::domain::reference::Tag;

pub(super) const TAGS: &str = "
    SELECT name FROM tag WHERE repository_name = $1 AND name > $2 ORDER BY name LIMIT $3";

pub(super) const DELETE: &str = "DELETE FROM tag WHERE repository_name = $1 AND name = $2";

/// A repository is there while it has a blob or a manifest.
pub(super) const EXISTS: &str = "
    SELECT EXISTS (SELECT 1 FROM repository_blob WHERE repository_name = $1)
        OR EXISTS (SELECT 1 FROM manifest WHERE repository_name = $1)";

/// From one name to the next in the indexes: a repository costs four look-ups, whatever it has.
pub(super) const REPOSITORIES: &str = "
    WITH RECURSIVE repository (name) AS (
        SELECT MIN(name) FROM (
            SELECT MIN(repository_name) AS name FROM repository_blob WHERE repository_name > $1
            UNION ALL SELECT MIN(repository_name) FROM manifest WHERE repository_name > $1) AS first
        UNION ALL
        SELECT (SELECT MIN(name) FROM (
            SELECT MIN(repository_name) AS name FROM repository_blob WHERE repository_name > repository.name
            UNION ALL SELECT MIN(repository_name) FROM manifest WHERE repository_name > repository.name) AS next)
        FROM repository WHERE name IS NOT NULL)
    SELECT name FROM repository WHERE name IS NOT NULL LIMIT $2";

impl Db {
    /// A repository's tags after `last` in the order of their bytes, at most `limit`.
    pub async fn tags(&self, repository: &RepositoryName, last: &str, limit: u32) -> Result<Vec<String>> {
        Ok(on_pool!(self, pool => sqlx::query_scalar(TAGS)
            .bind(repository.as_str())
            .bind(last)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?)
    }

    /// Deletes a tag and leaves its manifest; false when there was no such tag.
    pub async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool> {
        let deleted = on_pool!(self, pool => sqlx::query(DELETE)
            .bind(repository.as_str())
            .bind(tag.as_str())
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }

    /// Whether a repository has anything.
    pub async fn has_repository(&self, repository: &RepositoryName) -> Result<bool> {
        Ok(on_pool!(self, pool =>
            sqlx::query_scalar(EXISTS).bind(repository.as_str()).fetch_one(pool).await)?)
    }

    /// Repositories after `last` in the order of their bytes, at most `limit`.
    pub async fn repositories(&self, last: &str, limit: u32) -> Result<Vec<String>> {
        Ok(on_pool!(self, pool =>
            sqlx::query_scalar(REPOSITORIES).bind(last).bind(i64::from(limit)).fetch_all(pool).await)?)
    }
}
