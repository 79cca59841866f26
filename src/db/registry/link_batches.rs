//! Links of many blobs at once: looked up, found where somebody may read them, and made, each by one statement.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::db::accounts::authorization::NOBODY;
use crate::db::registry::blobs::blob_columns;
use crate::db::registry::links::{Link, LinkRow, is_readable, on_known_link};
use crate::db::registry::readers::Reader;
use crate::db::text::{Text, both, digests as as_json, is_one_of, lock, repository_id};
use crate::db::upkeep::quotas::{self, lock_project, unsigned};
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::quota::QuotaKind;

macro_rules! find {
    ($db:ident) => {
        concat!(
            "SELECT ",
            blob_columns!(),
            ", repository_blob.unreferenced_at IS NOT NULL AS is_unreferenced
            FROM blob JOIN repository_blob ON repository_blob.blob_id = blob.id
            WHERE repository_blob.repository_id = ",
            repository_id!(),
            " AND blob.digest ",
            is_one_of!($db, digests "$2")
        )
    };
}
pub(in crate::db) const FIND: Text = both!(find);

/// Of each blob the first repositories that have it are looked at, whoever may read them, so that neither the answer nor
/// the time tells of others. `$1` to `$5`: the digests, how many are looked at of each, who looks, whether they see all,
/// and the projects that they see besides. Not EXISTS alone: PostgreSQL would hash whole tables for that.
macro_rules! readable {
    ($db:ident) => {
        concat!(
            "SELECT blob.digest FROM blob WHERE blob.digest ",
            is_one_of!($db, digests "$1"),
            " AND (SELECT 1
                FROM (SELECT repository_id FROM repository_blob WHERE blob_id = blob.id LIMIT $2) AS candidate
                JOIN repository ON repository.id = candidate.repository_id
                LEFT JOIN project ON project.name = repository.project_name
                LEFT JOIN project_member
                    ON project_member.project_id = project.id AND project_member.user_id = $3
                WHERE $4 OR project.is_public OR project_member.role IS NOT NULL OR project.name ",
            is_one_of!($db, texts "$5"),
            " LIMIT 1) IS NOT NULL"
        )
    };
}
pub(in crate::db) const READABLE: Text = both!(readable);

macro_rules! of_any {
    ($db:ident) => {
        concat!(
            "SELECT blob.digest FROM blob WHERE blob.digest ",
            is_one_of!($db, digests "$1"),
            " AND (SELECT 1 FROM repository_blob JOIN repository ON repository.id = repository_blob.repository_id
                WHERE repository_blob.blob_id = blob.id AND repository.name ",
            is_one_of!($db, texts "$2"),
            " LIMIT 1) IS NOT NULL"
        )
    };
}
pub(in crate::db) const OF_ANY: Text = both!(of_any);

/// In the order of their ids, as everybody locks them, and shared: only whoever takes links away is kept off. What is
/// unlinked or being removed is left out, and so has to be uploaded.
macro_rules! hold {
    ($db:ident) => {
        concat!(
            "SELECT id, digest, size FROM blob WHERE digest ",
            is_one_of!($db, digests "$1"),
            " AND unlinked_at IS NULL AND ",
            is_readable!(),
            " ORDER BY id",
            lock!($db, " FOR SHARE")
        )
    };
}
pub(in crate::db) const HOLD: Text = both!(hold);

macro_rules! counted {
    ($db:ident) => {
        concat!(
            "SELECT blob_id FROM project_blob WHERE project_name = $1 AND blob_id ",
            is_one_of!($db, ids "$2")
        )
    };
}
pub(in crate::db) const COUNTED: Text = both!(counted);

/// In the order of their ids: the counts of a project are written in it.
macro_rules! link {
    ($db:ident) => {
        concat!(
            "INSERT INTO repository_blob (repository_id, blob_id, created_at) SELECT ",
            repository_id!(),
            ", blob.id, $3 FROM blob WHERE blob.id ",
            is_one_of!($db, ids "$2"),
            " ORDER BY blob.id ",
            on_known_link!()
        )
    };
}
pub(in crate::db) const LINK: Text = both!(link);

impl Db {
    /// Those of these blobs that a repository has.
    pub async fn find_links(&self, repository: &RepositoryName, digests: &[Digest]) -> Result<Vec<Link>> {
        let (sql, digests) = (self.text(FIND), as_json(digests));
        let rows: Vec<LinkRow> = on_pool!(self, pool =>
            sqlx::query_as(sql).bind(repository.as_str()).bind(&digests).fetch_all(pool).await)?;
        rows.into_iter().map(Link::try_from).collect()
    }

    /// Those of these blobs that somebody may read in one of the first `limit` repositories that have them.
    pub async fn readable_blobs(
        &self,
        digests: &[Digest],
        reader: &Reader,
        limit: u32,
    ) -> Result<Vec<Digest>> {
        let (sql, user) = (self.text(READABLE), reader.user.unwrap_or(NOBODY));
        Ok(on_pool!(self, pool => sqlx::query_scalar(sql)
            .bind(as_json(digests))
            .bind(i64::from(limit))
            .bind(user)
            .bind(reader.is_all)
            .bind(serde_json::json!(reader.projects))
            .fetch_all(pool)
            .await)?)
    }

    /// Those of these blobs that one of these repositories has.
    pub async fn blobs_of_any(
        &self,
        digests: &[Digest],
        repositories: &[RepositoryName],
    ) -> Result<Vec<Digest>> {
        let (sql, names) = (self.text(OF_ANY), serde_json::json!(repositories));
        Ok(on_pool!(self, pool =>
            sqlx::query_scalar(sql).bind(as_json(digests)).bind(names).fetch_all(pool).await)?)
    }

    /// Makes blobs readable from a repository, those that can be read and fit into its project one after the other. The
    /// sizes of those.
    pub async fn link_blobs(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
        now: DateTime<Utc>,
    ) -> Result<HashMap<Digest, u64>> {
        let (project, name, digests) = (repository.project(), repository.to_string(), as_json(digests));
        let (lock, take) = (self.text(quotas::LOCK), self.text(quotas::TAKE));
        let (hold, counted, link) = (self.text(HOLD), self.text(COUNTED), self.text(LINK));
        self.make_repository(&name).await?;
        in_transaction!(self, transaction => {
            let headroom = lock_project!(transaction, lock, take, &project);
            let found = sqlx::query_as(hold).bind(&digests);
            let mut found: Vec<(i64, Digest, i64)> = found.fetch_all(&mut *transaction).await?;
            if let Some(mut headroom) = headroom {
                let known = sqlx::query_scalar(counted).bind(project.as_str()).bind(ids(&found));
                let known: Vec<i64> = known.fetch_all(&mut *transaction).await?;
                let known: HashSet<i64> = known.into_iter().collect();
                found.retain(|(id, _, size)| {
                    let needed = if known.contains(id) { 0 } else { *size };
                    let fits = headroom.check(QuotaKind::Bytes, needed).is_ok();
                    headroom.bytes = headroom.bytes.saturating_add(if fits { needed } else { 0 });
                    fits
                });
            }
            sqlx::query(link).bind(&name).bind(ids(&found)).bind(now).execute(&mut *transaction).await?;
            found.into_iter().map(|(_, digest, size)| (digest, unsigned(size))).collect::<HashMap<_, _>>()
        })
    }
}

fn ids(found: &[(i64, Digest, i64)]) -> Value {
    found.iter().map(|(id, _, _)| *id).collect()
}
