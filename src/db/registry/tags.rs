//! Tags, blobs and repositories, listed a page at a time: each page begins after a name, so that what is pushed meanwhile
//! neither repeats nor hides an entry.

use chrono::{DateTime, Utc};

use crate::db::text::{has_content, repository_id};
use crate::db::upkeep::webhooks::{ENQUEUE, INSERT_EVENTS, News, add_events};
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::blob::ListedBlob;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::reference::Tag;
use crate::domain::webhook::{EventType, Occasion};

pub(in crate::db) const TAGS: &str = concat!(
    "SELECT name FROM tag WHERE repository_id = ",
    repository_id!(),
    " AND name > $2 ORDER BY name LIMIT $3"
);

/// Each with whether a manifest names it.
pub(in crate::db) const BLOBS: &str = concat!(
    "SELECT blob.id, blob.digest, blob.size, page.created_at,
        EXISTS (SELECT 1 FROM manifest_blob WHERE manifest_blob.repository_id = page.repository_id
            AND manifest_blob.blob_id = page.blob_id) AS in_manifest
    FROM (SELECT repository_id, blob_id, created_at FROM repository_blob
        WHERE repository_id = ",
    repository_id!(),
    " AND blob_id > $2 ORDER BY blob_id LIMIT $3) AS page
    JOIN blob ON blob.id = page.blob_id ORDER BY page.blob_id"
);

/// Gives the manifest that it stood for. Its digest is asked for afterwards: a deletion that waited for a push of the tag
/// deletes what was pushed, and what it reads besides is as it was before.
pub(in crate::db) const DELETE: &str = concat!(
    "DELETE FROM tag WHERE repository_id = ",
    repository_id!(),
    " AND name = $2 RETURNING manifest_id"
);
const DIGEST: &str = "SELECT digest FROM manifest WHERE id = $1";

/// A repository is there while it has a blob or a manifest.
pub(in crate::db) const EXISTS: &str =
    concat!("SELECT EXISTS (SELECT 1 FROM repository WHERE name = $1 AND ", has_content!(), ")");

/// All of them, or those of projects that have a row.
pub(in crate::db) const REPOSITORIES: &str = concat!(
    "SELECT name FROM repository
    WHERE name > $1 AND ($3 OR (SELECT 1 FROM project WHERE project.name = repository.project_name) IS NOT NULL) AND ",
    has_content!(),
    " ORDER BY name LIMIT $2"
);

impl Db {
    /// A repository's blobs after the one with the id `last`, in the order in which the registry first got them, at most
    /// `limit`; each with its id.
    pub async fn repository_blobs(
        &self,
        repository: &RepositoryName,
        last: i64,
        limit: u32,
    ) -> Result<Vec<(i64, ListedBlob)>> {
        let rows: Vec<(i64, Digest, i64, DateTime<Utc>, bool)> = on_pool!(self, pool => sqlx::query_as(BLOBS)
                .bind(repository)
                .bind(last)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await)?;
        let blob = |(id, digest, size, created_at, in_manifest): (i64, Digest, i64, DateTime<Utc>, bool)| {
            (id, ListedBlob { digest, size: size.unsigned_abs(), created_at, in_manifest })
        };
        Ok(rows.into_iter().map(blob).collect())
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
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        occasion: &Occasion,
    ) -> Result<bool> {
        let (enqueue, insert_events) = (self.text(ENQUEUE), self.text(INSERT_EVENTS));
        let (project, repository) = (repository.project(), repository.to_string());
        let (tags, occasion) = ([tag.to_string()], occasion.clone());
        in_transaction!(self, transaction => {
            let deleted = sqlx::query_scalar(DELETE).bind(&repository).bind(&tags[0]);
            let manifest: Option<i64> = deleted.fetch_optional(&mut *transaction).await?;
            let Some(manifest) = manifest else { return Ok(false) };
            let digest = sqlx::query_scalar(DIGEST).bind(manifest);
            let digest: Option<Digest> = digest.fetch_optional(&mut *transaction).await?;
            if let Some(digest) = digest {
                let place = (project.as_str(), repository.as_str());
                let news = News::of_artifact(EventType::Delete, place, digest, &tags, &occasion);
                add_events!(transaction, (enqueue, insert_events), &news);
            }
            true
        })
    }

    /// Whether a repository has anything.
    pub async fn has_repository(&self, repository: &RepositoryName) -> Result<bool> {
        Ok(on_pool!(self, pool =>
            sqlx::query_scalar(EXISTS).bind(repository.as_str()).fetch_one(pool).await)?)
    }

    /// Repositories after `last` in the order of their bytes, at most `limit`; also those whose project has no row where
    /// `with_unowned` says so.
    pub async fn repositories(&self, last: &str, limit: u32, with_unowned: bool) -> Result<Vec<String>> {
        Ok(on_pool!(self, pool => sqlx::query_scalar(REPOSITORIES)
            .bind(last)
            .bind(i64::from(limit))
            .bind(with_unowned)
            .fetch_all(pool)
            .await)?)
    }
}
