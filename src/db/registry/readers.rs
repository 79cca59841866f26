//! What somebody may read: repositories of blobs that they do not say where to find, in one statement, whoever has them; and
//! the repositories that they are shown.

use std::collections::HashMap;

use crate::db::accounts::authorization::NOBODY;
use crate::db::text::{Text, both, digests as as_json, has_content, is_one_of};
use crate::db::{Db, Result, on_pool};
use crate::domain::access::ProjectName;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;

/// Of each blob the first repositories that have it are looked at, whoever may read them, so that neither the answer nor
/// the time tells of others. `$1` to `$5`: the digests, how many are looked at of each, who looks, whether they see all,
/// and the projects that they see besides. Not a join with EXISTS: PostgreSQL would hash whole tables for that.
macro_rules! readable {
    ($db:ident) => {
        concat!(
            "WITH found AS MATERIALIZED (SELECT blob.digest, (SELECT repository.name
                FROM (SELECT repository_id FROM repository_blob WHERE blob_id = blob.id LIMIT $2) AS candidate
                JOIN repository ON repository.id = candidate.repository_id
                LEFT JOIN project ON project.name = repository.project_name
                LEFT JOIN project_member
                    ON project_member.project_id = project.id AND project_member.user_id = $3
                WHERE $4 OR project.is_public OR project_member.role IS NOT NULL OR project.name ",
            is_one_of!($db, texts "$5"),
            " LIMIT 1) AS name FROM blob WHERE blob.digest ",
            is_one_of!($db, digests "$1"),
            ") SELECT digest, name FROM found WHERE name IS NOT NULL"
        )
    };
}
pub(in crate::db) const READABLE: Text = both!(readable);

macro_rules! of_any {
    ($db:ident) => {
        concat!(
            "WITH found AS MATERIALIZED (SELECT blob.digest, (SELECT repository.name
                FROM repository_blob JOIN repository ON repository.id = repository_blob.repository_id
                WHERE repository_blob.blob_id = blob.id AND repository.name ",
            is_one_of!($db, texts "$2"),
            " LIMIT 1) AS name FROM blob WHERE blob.digest ",
            is_one_of!($db, digests "$1"),
            ") SELECT digest, name FROM found WHERE name IS NOT NULL"
        )
    };
}
pub(in crate::db) const OF_ANY: Text = both!(of_any);

/// Projects whose repositories somebody may read: public ones, their own, and others by name.
macro_rules! visible {
    ($db:ident) => {
        concat!(
            "WITH visible AS MATERIALIZED (
                SELECT name FROM project WHERE is_public
                UNION SELECT project.name FROM project_member JOIN project ON project.id = project_member.project_id
                    WHERE project_member.user_id = $3
                UNION SELECT name FROM project WHERE name ",
            is_one_of!($db, texts "$4"),
            ")"
        )
    };
}

/// On PostgreSQL from what is visible to its repositories, so that others' cost nothing. A project's repositories are the
/// one that has its name and those that begin with its name and a slash; between the two come those of projects such as
/// `name-x`. So there are two stretches of each, and in the order of where they begin the first that fill a page are
/// read. '0' comes after '/', and '!' before whatever a name has.
///
/// SQLite cannot stop there: it walks through the names until the page is full, others' among them, which all pages
/// together pass once.
macro_rules! listed {
    (postgres) => {
        concat!(
            visible!(postgres),
            " SELECT page.name FROM (
                SELECT name AS project, name AS first, name || '!' AS last FROM visible
                UNION ALL SELECT name, name || '/', name || '0' FROM visible ORDER BY first) AS stretch
            CROSS JOIN LATERAL (
                SELECT name FROM repository WHERE project_name = stretch.project
                    AND name >= stretch.first AND name < stretch.last AND name > $1 AND ",
            has_content!(),
            " ORDER BY name LIMIT $2) AS page
            WHERE stretch.last > $1 ORDER BY stretch.first, page.name LIMIT $2"
        )
    };
    (sqlite) => {
        concat!(
            visible!(sqlite),
            " SELECT repository.name FROM repository
            WHERE repository.name > $1 AND +repository.project_name IN (SELECT name FROM visible) AND ",
            has_content!(),
            " ORDER BY repository.name LIMIT $2"
        )
    };
}
pub(in crate::db) const VISIBLE_REPOSITORIES: Text = both!(listed);

/// Who looks for repositories, or for a blob in whatever repository has it.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// Reads all of them.
    pub is_all: bool,
    /// Reads those of projects that this user is a member of.
    pub user: Option<i64>,
    /// Reads those of these projects as well.
    pub projects: Vec<ProjectName>,
}

impl Db {
    /// Those of these blobs that somebody may read, each with a repository to read it from among the first `limit` that
    /// have it.
    pub async fn readable_blobs(
        &self,
        digests: &[Digest],
        reader: &Reader,
        limit: u32,
    ) -> Result<HashMap<Digest, RepositoryName>> {
        let (sql, user) = (self.text(READABLE), reader.user.unwrap_or(NOBODY));
        let found: Vec<_> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(as_json(digests))
            .bind(i64::from(limit))
            .bind(user)
            .bind(reader.is_all)
            .bind(serde_json::json!(reader.projects))
            .fetch_all(pool)
            .await)?;
        Ok(found.into_iter().collect())
    }

    /// Those of these blobs that any of these repositories has, each with one of them.
    pub async fn blobs_of_any(
        &self,
        digests: &[Digest],
        repositories: &[RepositoryName],
    ) -> Result<HashMap<Digest, RepositoryName>> {
        let (sql, names) = (self.text(OF_ANY), serde_json::json!(repositories));
        let found: Vec<_> = on_pool!(self, pool =>
            sqlx::query_as(sql).bind(as_json(digests)).bind(names).fetch_all(pool).await)?;
        Ok(found.into_iter().collect())
    }

    /// Repositories after `last` that somebody may read who does not see all, in the order of their bytes, at most
    /// `limit`.
    pub async fn visible_repositories(&self, reader: &Reader, last: &str, limit: u32) -> Result<Vec<String>> {
        let (sql, user) = (self.text(VISIBLE_REPOSITORIES), reader.user.unwrap_or(NOBODY));
        Ok(on_pool!(self, pool => sqlx::query_scalar(sql)
            .bind(last)
            .bind(i64::from(limit))
            .bind(user)
            .bind(serde_json::json!(reader.projects))
            .fetch_all(pool)
            .await)?)
    }
}
