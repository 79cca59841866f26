//! Tags, blobs and repositories, listed a page at a time: each page begins after a name, so that what is pushed meanwhile
//! neither repeats nor hides an entry.

use chrono::{DateTime, Utc};

use crate::db::accounts::authorization::corrupt;
use crate::db::{Db, Result, on_pool};
use crate::domain::blob::ListedBlob;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::reference::Tag;

pub(in crate::db) const TAGS: &str = "
    SELECT name FROM tag WHERE repository_name = $1 AND name > $2 ORDER BY name LIMIT $3";

/// Each with whether a manifest names it.
pub(in crate::db) const BLOBS: &str = "
    SELECT repository_blob.digest, blob.size, repository_blob.created_at,
        EXISTS (SELECT 1 FROM manifest_blob
            WHERE manifest_blob.repository_name = repository_blob.repository_name
                AND manifest_blob.digest = repository_blob.digest) AS in_manifest
    FROM repository_blob JOIN blob ON blob.digest = repository_blob.digest
    WHERE repository_blob.repository_name = $1 AND repository_blob.digest > $2
    ORDER BY repository_blob.digest LIMIT $3";

pub(in crate::db) const DELETE: &str = "DELETE FROM tag WHERE repository_name = $1 AND name = $2";

/// A repository is there while it has a blob or a manifest.
pub(in crate::db) const EXISTS: &str = "
    SELECT EXISTS (SELECT 1 FROM repository_blob WHERE repository_name = $1)
        OR EXISTS (SELECT 1 FROM manifest WHERE repository_name = $1)";

/// From one name to the next in the indexes: a repository costs four look-ups, whatever it has.
pub(in crate::db) const REPOSITORIES: &str = "
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
    /// A repository's blobs after `last` in the order of their digests, at most `limit`.
    pub async fn repository_blobs(
        &self,
        repository: &RepositoryName,
        last: Option<&Digest>,
        limit: u32,
    ) -> Result<Vec<ListedBlob>> {
        let last = last.map(ToString::to_string).unwrap_or_default();
        let rows: Vec<(String, i64, DateTime<Utc>, bool)> = on_pool!(self, pool => sqlx::query_as(BLOBS)
            .bind(repository.as_str())
            .bind(last)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        let blob = |(digest, size, created_at, in_manifest): (String, i64, DateTime<Utc>, bool)| {
            let digest =
                digest.parse().map_err(|error| corrupt("repository_blob", "digest", &digest, &error))?;
            Ok(ListedBlob { digest, size: size.unsigned_abs(), created_at, in_manifest })
        };
        rows.into_iter().map(blob).collect()
    }

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
