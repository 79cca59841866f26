//! Which repositories have a blob, and the tombstone that comes with the last link's end.
//!
//! Whoever links a blob locks its row, and so does whoever takes a link away: so `unlinked_at` is set exactly
//! while no repository has the blob. Rows are locked in one statement and looked at in the next, whose snapshot
//! has what those that were waited for have committed; blobs before links, each in the order of their ids, so that
//! nobody waits in a circle.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::registry::blobs::{BlobRow, blob_columns};
use crate::db::text::{Text, blob_id, both, is_one_of, lock, repository_id};
use crate::db::upkeep::quotas::{self, lock_project};
use crate::db::{Db, DbError, Result, in_transaction, on_pool};
use crate::domain::blob::Blob;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::quota::QuotaKind;

/// Where it was linked before and nothing needs it any more, it is as if it had just come: a client that pushed
/// it means to use it.
macro_rules! on_known_link {
    () => {
        "ON CONFLICT (repository_id, blob_id) DO UPDATE
            SET unreferenced_at = NULL, is_kept = repository_blob.is_kept OR excluded.is_kept
            WHERE repository_blob.unreferenced_at IS NOT NULL OR (excluded.is_kept AND NOT repository_blob.is_kept)"
    };
}
pub(in crate::db) use on_known_link;

/// Makes the repository's row, where it has none. On its own and before a transaction: who holds blobs must not wait for
/// one that makes the same repository and waits for them.
pub(in crate::db) const MAKE_REPOSITORY: &str = "
    INSERT INTO repository (name) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM repository WHERE name = $1)
    ON CONFLICT (name) DO NOTHING";

const LINK: &str = concat!(
    "INSERT INTO repository_blob (repository_id, blob_id, created_at) SELECT ",
    repository_id!(),
    ", id, $3 FROM blob WHERE digest = $2 ",
    on_known_link!()
);

/// Nobody links a blob whose bytes cannot be read: it may never come to its place.
macro_rules! is_readable {
    () => {
        "blob.exposed = 0 AND blob.lost_at IS NULL"
    };
}
pub(in crate::db) use is_readable;

/// Fails on one that is being removed: see `blob_is_not_removed` in the migrations.
pub(in crate::db) const REVIVE: &str = concat!(
    "UPDATE blob SET unlinked_at = NULL WHERE digest = $1 AND unlinked_at IS NOT NULL AND ",
    is_readable!()
);

/// Shared: what every image is built on is mounted by many at once, and only whoever takes links away is kept off.
macro_rules! hold {
    ($db:ident) => {
        concat!(
            "SELECT size FROM blob WHERE digest = $1 AND unlinked_at IS NULL AND ",
            is_readable!(),
            lock!($db, " FOR SHARE")
        )
    };
}
pub(in crate::db) const HOLD: Text = both!(hold);

pub(in crate::db) const IS_COUNTED: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM project_blob WHERE project_name = $1 AND blob_id = ",
    blob_id!(),
    ")"
);

macro_rules! lock_blob {
    ($db:ident) => {
        concat!("SELECT id FROM blob WHERE digest = $1", lock!($db, " FOR UPDATE"))
    };
}
const LOCK_BLOB: Text = both!(lock_blob);

macro_rules! lock_blobs {
    ($db:ident) => {
        concat!("SELECT id FROM blob WHERE id ", is_one_of!($db, ids "$1"), lock!($db, " ORDER BY id FOR UPDATE"))
    };
}
const LOCK_BLOBS: Text = both!(lock_blobs);

macro_rules! tombstone {
    ($db:ident) => {
        concat!(
            "UPDATE blob SET unlinked_at = $2 WHERE id ",
            is_one_of!($db, ids "$1"),
            " AND unlinked_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM repository_blob WHERE repository_blob.blob_id = blob.id)"
        )
    };
}
pub(in crate::db) const TOMBSTONE: Text = both!(tombstone);

macro_rules! lock_link {
    ($db:ident) => {
        concat!(
            "SELECT blob_id FROM repository_blob WHERE repository_id = ",
            repository_id!(),
            " AND blob_id = $2",
            lock!($db, " FOR UPDATE")
        )
    };
}
const LOCK_LINK: Text = both!(lock_link);

macro_rules! is_unneeded {
    () => {
        "NOT EXISTS (SELECT 1 FROM manifest_blob
            WHERE manifest_blob.repository_id = repository_blob.repository_id
                AND manifest_blob.blob_id = repository_blob.blob_id)
        AND NOT EXISTS (SELECT 1 FROM file
            WHERE file.repository_id = repository_blob.repository_id AND file.blob_id = repository_blob.blob_id)
        AND NOT EXISTS (SELECT 1 FROM hub_tree_entry
            WHERE hub_tree_entry.repository_id = repository_blob.repository_id
                AND hub_tree_entry.blob_id = repository_blob.blob_id)"
    };
}

const UNLINK: &str = concat!(
    "DELETE FROM repository_blob WHERE repository_id = ",
    repository_id!(),
    " AND blob_id = $2 AND ",
    is_unneeded!()
);

pub(in crate::db) const DUE: &str = "
    SELECT blob_id FROM repository_blob WHERE unreferenced_at <= $1 ORDER BY unreferenced_at LIMIT $2";

const COUNT_DUE: &str =
    concat!("SELECT COUNT(*) FROM repository_blob WHERE unreferenced_at <= $1 AND ", is_unneeded!());

macro_rules! lock_due {
    ($db:ident) => {
        concat!(
            "SELECT blob_id FROM repository_blob WHERE blob_id ",
            is_one_of!($db, ids "$1"),
            " AND unreferenced_at <= $2",
            lock!($db, " ORDER BY repository_id, blob_id FOR UPDATE")
        )
    };
}
const LOCK_DUE: Text = both!(lock_due);

macro_rules! unlink_due {
    ($db:ident) => {
        concat!(
            "DELETE FROM repository_blob WHERE blob_id ",
            is_one_of!($db, ids "$1"),
            " AND unreferenced_at <= $2 AND ",
            is_unneeded!()
        )
    };
}
pub(in crate::db) const UNLINK_DUE: Text = both!(unlink_due);

/// Blobs of a manifest, a file or a tree that is gone, where nothing keeps them and no other one needs them. Their links are
/// locked.
macro_rules! mark_unneeded {
    ($db:ident) => {
        concat!(
            "UPDATE repository_blob SET unreferenced_at = $3 WHERE repository_id = ",
            repository_id!(),
            " AND blob_id ",
            is_one_of!($db, ids "$2"),
            " AND NOT is_kept AND ",
            is_unneeded!()
        )
    };
}
pub(in crate::db) const MARK_UNNEEDED: Text = both!(mark_unneeded);

pub(in crate::db) const FIND: &str = concat!(
    "SELECT ",
    blob_columns!(),
    ", repository_blob.unreferenced_at IS NOT NULL AS is_unreferenced, repository_blob.is_kept
    FROM repository_blob JOIN blob ON blob.id = repository_blob.blob_id
    WHERE repository_blob.repository_id = ",
    repository_id!(),
    " AND blob.digest = $2"
);

pub(in crate::db) const ASK_FOR: &str = concat!(
    "UPDATE repository_blob SET unreferenced_at = $3
    WHERE repository_id = ",
    repository_id!(),
    " AND blob_id = ",
    blob_id!(),
    " AND unreferenced_at IS NOT NULL"
);

/// A blob as a repository has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub blob: Blob,
    /// The last manifest or file that referred to it is gone: a grace later the blob leaves the repository.
    pub is_unreferenced: bool,
    /// It stays whatever refers to it.
    pub is_kept: bool,
}

#[derive(Debug, FromRow)]
pub(in crate::db) struct LinkRow {
    #[sqlx(flatten)]
    blob: BlobRow,
    is_unreferenced: bool,
    is_kept: bool,
}

impl TryFrom<LinkRow> for Link {
    type Error = DbError;

    fn try_from(LinkRow { blob, is_unreferenced, is_kept }: LinkRow) -> Result<Self> {
        Ok(Self { blob: blob.try_into()?, is_unreferenced, is_kept })
    }
}

/// What became of a wish to take a blob out of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlinked {
    Done,
    /// The repository does not have it.
    Absent,
    /// A manifest or a file of the repository refers to it.
    Needed,
}

impl Db {
    /// Gives a repository its row, which whatever is put into it refers to.
    pub(in crate::db) async fn make_repository(&self, repository: &str) -> Result<()> {
        on_pool!(self, pool => sqlx::query(MAKE_REPOSITORY).bind(repository).execute(pool).await.map(drop))?;
        Ok(())
    }

    pub async fn find_link(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Link>> {
        let row: Option<LinkRow> = on_pool!(self, pool => sqlx::query_as(FIND)
            .bind(repository.as_str())
            .bind(digest)
            .fetch_optional(pool)
            .await)?;
        row.map(Link::try_from).transpose()
    }

    /// Somebody wants to refer to an unreferenced blob: its grace begins anew. False when it has none, because it
    /// has left the repository or is referred to by now.
    pub async fn renew_link(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let renewed = on_pool!(self, pool => sqlx::query(ASK_FOR)
            .bind(repository.as_str())
            .bind(digest)
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(renewed > 0)
    }

    /// Makes a published blob readable from a repository; false when it is being removed, or is gone.
    ///
    /// # Errors
    ///
    /// [`DbError::QuotaExceeded`] where it is new to the project and does not fit.
    pub async fn link_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let project = repository.project();
        let (repository, digest) = (repository.to_string(), *digest);
        let (hold, lock, take) = (self.text(HOLD), self.text(quotas::LOCK), self.text(quotas::TAKE));
        if let Some(headroom) = self.quota_headroom(&project).await? {
            let size =
                on_pool!(self, pool => sqlx::query_scalar(hold).bind(digest).fetch_optional(pool).await)?;
            let is_counted: bool = on_pool!(self, pool => sqlx::query_scalar(IS_COUNTED)
                .bind(project.as_str())
                .bind(digest)
                .fetch_one(pool)
                .await)?;
            headroom.check(QuotaKind::Bytes, size.filter(|_| !is_counted).unwrap_or_default())?;
        }
        self.make_repository(&repository).await?;
        let linked: Result<bool> = in_transaction!(self, transaction => {
            let headroom = lock_project!(transaction, lock, take, &project);
            sqlx::query(REVIVE).bind(digest).execute(&mut *transaction).await?;
            let found = sqlx::query_scalar(hold).bind(digest);
            let size: Option<i64> = found.fetch_optional(&mut *transaction).await?;
            if let Some(size) = size {
                if let Some(headroom) = headroom {
                    let counted = sqlx::query_scalar(IS_COUNTED).bind(project.as_str()).bind(digest);
                    let is_counted: bool = counted.fetch_one(&mut *transaction).await?;
                    headroom.check(QuotaKind::Bytes, if is_counted { 0 } else { size })?;
                }
                sqlx::query(LINK).bind(&repository).bind(digest).bind(now).execute(&mut *transaction).await?;
            }
            size.is_some()
        });
        match linked {
            Err(error) if error.is_removed_blob() => Ok(false),
            linked => linked,
        }
    }

    /// Takes a blob out of a repository.
    pub async fn unlink_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Result<Unlinked> {
        let (repository, digest) = (repository.to_string(), *digest);
        let (lock_blob, lock_link, tombstone) =
            (self.text(LOCK_BLOB), self.text(LOCK_LINK), self.text(TOMBSTONE));
        in_transaction!(self, transaction => {
            let blob: Option<i64> =
                sqlx::query_scalar(lock_blob).bind(digest).fetch_optional(&mut *transaction).await?;
            let Some(blob) = blob else { return Ok(Unlinked::Absent) };
            let link = sqlx::query(lock_link).bind(&repository).bind(blob);
            if link.fetch_optional(&mut *transaction).await?.is_none() {
                Unlinked::Absent
            } else {
                let unlinked = sqlx::query(UNLINK).bind(&repository).bind(blob);
                if unlinked.execute(&mut *transaction).await?.rows_affected() == 0 {
                    Unlinked::Needed
                } else {
                    let blobs = serde_json::json!([blob]);
                    sqlx::query(tombstone).bind(blobs).bind(now).execute(&mut *transaction).await?;
                    Unlinked::Done
                }
            }
        })
    }

    /// Takes blobs out of repositories that nothing there has needed since `before`, about `limit` at a time; says how
    /// many digests were looked at and how many links went.
    pub async fn unlink_unneeded(
        &self,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<(u64, u64)> {
        let (lock_blobs, lock_due, unlink, tombstone) =
            (self.text(LOCK_BLOBS), self.text(LOCK_DUE), self.text(UNLINK_DUE), self.text(TOMBSTONE));
        in_transaction!(self, transaction => {
            let due = sqlx::query_scalar(DUE).bind(before).bind(i64::from(limit));
            let due: Vec<i64> = due.fetch_all(&mut *transaction).await?;
            let (found, blobs) = (due.len() as u64, serde_json::json!(due));
            sqlx::query(lock_blobs).bind(&blobs).execute(&mut *transaction).await?;
            sqlx::query(lock_due).bind(&blobs).bind(before).execute(&mut *transaction).await?;
            let unlinked = sqlx::query(unlink).bind(&blobs).bind(before).execute(&mut *transaction).await?;
            sqlx::query(tombstone).bind(&blobs).bind(now).execute(&mut *transaction).await?;
            (found, unlinked.rows_affected())
        })
    }

    /// How many links [`Self::unlink_unneeded`] would take away.
    pub async fn count_unneeded(&self, before: DateTime<Utc>) -> Result<u64> {
        let count: i64 =
            on_pool!(self, pool => sqlx::query_scalar(COUNT_DUE).bind(before).fetch_one(pool).await)?;
        Ok(count.unsigned_abs())
    }
}

impl DbError {
    /// Whether a statement would have linked a blob that is being removed.
    pub(in crate::db) fn is_removed_blob(&self) -> bool {
        self.violates("blob_is_not_removed")
    }

    /// Whether a statement would have rested on another upload's bytes that may never come to their place.
    pub(in crate::db) fn is_exposed_blob(&self) -> bool {
        self.violates("blob_is_exposed_once")
    }

    fn violates(&self, constraint: &str) -> bool {
        // SQLite names the constraint in its message alone.
        matches!(self, Self::Unavailable(sqlx::Error::Database(error))
            if error.is_check_violation() && error.message().contains(constraint))
    }
}
