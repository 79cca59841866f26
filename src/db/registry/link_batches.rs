//! Links of many blobs at once: looked up, and made, each by one statement.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::db::registry::blobs::blob_columns;
use crate::db::registry::links::{Link, LinkRow, is_readable, on_known_link};
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
            ", repository_blob.unreferenced_at IS NOT NULL AS is_unreferenced, repository_blob.is_kept
            FROM blob JOIN repository_blob ON repository_blob.blob_id = blob.id
            WHERE repository_blob.repository_id = ",
            repository_id!(),
            " AND blob.digest ",
            is_one_of!($db, digests "$2")
        )
    };
}
pub(in crate::db) const FIND: Text = both!(find);

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
            "INSERT INTO repository_blob (repository_id, blob_id, created_at, is_kept) SELECT ",
            repository_id!(),
            ", blob.id, $3, $4 FROM blob WHERE blob.id ",
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

    /// Makes blobs readable from a repository, those that can be read and fit into its project one after the other. The
    /// sizes of those. `is_kept` has them stay whatever refers to them; those that are kept already are so in any case.
    pub async fn link_blobs(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
        is_kept: bool,
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
            let linking = sqlx::query(link).bind(&name).bind(ids(&found)).bind(now).bind(is_kept);
            linking.execute(&mut *transaction).await?;
            found.into_iter().map(|(_, digest, size)| (digest, unsigned(size))).collect::<HashMap<_, _>>()
        })
    }
}

fn ids(found: &[(i64, Digest, i64)]) -> Value {
    found.iter().map(|(id, _, _)| *id).collect()
}
