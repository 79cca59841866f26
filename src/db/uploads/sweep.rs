//! What the cleaner asks and does, always to a batch that a partial index has at hand.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::rows::{UploadRow, select_upload};
use crate::db::text::{Text, both, lock};
use crate::db::{Db, Result, on_pool};
use crate::domain::digest::Digest;
use crate::domain::upload::{Upload, UploadId};

/// A session is due no later than it ends; it may be due earlier.
macro_rules! is_due {
    () => {
        "ended_at IS NULL AND due_at <= $1 AND expires_at <= $1
            AND (lease_expires_at IS NULL OR lease_expires_at <= $1)"
    };
}

macro_rules! is_undiscarded {
    () => {
        "ended_at IS NOT NULL AND discarded_at IS NULL AND ended_at <= $1
            AND NOT EXISTS (SELECT 1 FROM blob WHERE sealed_by = upload_uuid)"
    };
}

/// PostgreSQL lets two cleaners each take rows that the other has not locked; SQLite has one writer.
macro_rules! skip_locked {
    ($db:ident) => {
        lock!($db, " FOR UPDATE SKIP LOCKED")
    };
}

/// Those that were due and whose end has been put off meanwhile are due then.
macro_rules! put_off {
    ($db:ident) => {
        concat!(
            "WITH living AS (
                SELECT upload_uuid FROM blob_upload_session
                WHERE ended_at IS NULL AND due_at <= $1 AND (expires_at > $1 OR lease_expires_at > $1)
                ORDER BY due_at LIMIT $2",
            skip_locked!($db),
            ")
            UPDATE blob_upload_session
            SET due_at = CASE WHEN lease_expires_at > expires_at THEN lease_expires_at ELSE expires_at END
            WHERE upload_uuid IN (SELECT upload_uuid FROM living)"
        )
    };
}
pub(in crate::db) const PUT_OFF: Text = both!(put_off);

/// `Upload::expire`, and `discarded_at` where the store was never asked for anything.
macro_rules! expire {
    ($db:ident) => {
        concat!(
            "WITH due AS (
                SELECT upload_uuid FROM blob_upload_session WHERE ",
            is_due!(),
            " ORDER BY due_at LIMIT $2",
            skip_locked!($db),
            ")
            UPDATE blob_upload_session
            SET status = 'expired', ended_at = $1,
                discarded_at = CASE WHEN status = 'pending' AND transfer_mode IS NULL THEN $1 END,
                transfer_mode = NULL, claimed_digest = NULL, part_size = NULL, store_upload_id = NULL,
                received_offset = 0, hash_state = NULL, tail_id = NULL, look_at = NULL, lease_owner = NULL,
                lease_expires_at = NULL, updated_at = $1, revision = revision + 1
            WHERE upload_uuid IN (SELECT upload_uuid FROM due)
            RETURNING discarded_at IS NOT NULL"
        )
    };
}
pub(in crate::db) const EXPIRE: Text = both!(expire);

macro_rules! forget {
    ($db:ident) => {
        concat!(
            "WITH old AS (
                SELECT upload_uuid FROM blob_upload_session WHERE discarded_at <= $1
                ORDER BY discarded_at LIMIT $2",
            skip_locked!($db),
            ")
            DELETE FROM blob_upload_session WHERE upload_uuid IN (SELECT upload_uuid FROM old)"
        )
    };
}
pub(in crate::db) const FORGET: Text = both!(forget);

/// UUIDs come as one parameter: an array, or JSON of their hexadecimal digits.
macro_rules! one_of {
    (postgres) => {
        "upload_uuid = ANY ($1)"
    };
    (sqlite) => {
        "upload_uuid IN (SELECT unhex(value) FROM json_each($1))"
    };
}

const COUNT_DUE: &str = concat!("SELECT COUNT(*) FROM blob_upload_session WHERE ", is_due!());

/// All that are being finalized are looked at: those that have a claimed digest, which is never empty.
pub(in crate::db) const ABANDONED: &str = select_upload!(
    "
    WHERE status = 'finalizing' AND claimed_digest > '' AND lease_expires_at <= $1 AND expires_at > $1
    ORDER BY lease_expires_at LIMIT $2"
);

pub(in crate::db) const UNDISCARDED: &str = concat!(
    "SELECT upload_uuid FROM blob_upload_session WHERE ",
    is_undiscarded!(),
    " ORDER BY ended_at LIMIT $2 OFFSET $3"
);

const COUNT_UNDISCARDED: &str = concat!("SELECT COUNT(*) FROM blob_upload_session WHERE ", is_undiscarded!());

pub(in crate::db) const DISCARDED: Text = Text {
    postgres: concat!("UPDATE blob_upload_session SET discarded_at = $2 WHERE ", one_of!(postgres)),
    sqlite: concat!("UPDATE blob_upload_session SET discarded_at = $2 WHERE ", one_of!(sqlite)),
};

pub(in crate::db) const FIND_ALL: Text = Text {
    postgres: concat!(select_upload!("WHERE "), one_of!(postgres)),
    sqlite: concat!(select_upload!("WHERE "), one_of!(sqlite)),
};

pub(in crate::db) const IS_PLACING: &str = "
    SELECT (SELECT COUNT(*) FROM blob WHERE digest = $1 AND placed_at IS NULL AND placing_until > $2)
        + (SELECT COUNT(*) FROM blob_upload_session
           WHERE status = 'finalizing' AND claimed_digest = $1 AND lease_expires_at > $2)";

/// What [`Db::expire_uploads`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    pub sessions: u64,
    /// Those of them that the store holds nothing of: they count as discarded.
    pub discarded: u64,
}

impl Db {
    /// Ends sessions whose time is up and that nobody holds, at most `limit`.
    pub async fn expire_uploads(&self, now: DateTime<Utc>, limit: u32) -> Result<Expired> {
        let (put_off, sql) = (self.text(PUT_OFF), self.text(EXPIRE));
        on_pool!(self, pool =>
            sqlx::query(put_off).bind(now).bind(i64::from(limit)).execute(pool).await.map(drop))?;
        let discarded: Vec<bool> = on_pool!(self, pool =>
            sqlx::query_scalar(sql).bind(now).bind(i64::from(limit)).fetch_all(pool).await)?;
        Ok(Expired {
            sessions: discarded.len() as u64,
            discarded: discarded.into_iter().filter(|discarded| *discarded).count() as u64,
        })
    }

    /// How many [`Self::expire_uploads`] would end.
    pub async fn count_due(&self, now: DateTime<Utc>) -> Result<u64> {
        let count: i64 =
            on_pool!(self, pool => sqlx::query_scalar(COUNT_DUE).bind(now).fetch_one(pool).await)?;
        Ok(count.unsigned_abs())
    }

    /// Sessions whose finalizer died.
    pub async fn abandoned_uploads(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<Upload>> {
        let rows: Vec<UploadRow> = on_pool!(self, pool =>
            sqlx::query_as(ABANDONED).bind(now).bind(i64::from(limit)).fetch_all(pool).await)?;
        Ok(readable(rows))
    }

    /// Ended sessions whose temporary things may still be there, ended at `before` or earlier.
    /// The first `passed_over` of them are left out.
    pub async fn undiscarded_uploads(
        &self,
        before: DateTime<Utc>,
        limit: u32,
        passed_over: u32,
    ) -> Result<Vec<UploadId>> {
        let ids: Vec<Uuid> = on_pool!(self, pool =>
            sqlx::query_scalar(UNDISCARDED)
            .bind(before)
            .bind(i64::from(limit))
            .bind(i64::from(passed_over)).fetch_all(pool).await)?;
        Ok(ids.into_iter().map(UploadId::from_uuid).collect())
    }

    /// How many ended sessions [`Self::undiscarded_uploads`] has.
    pub async fn count_undiscarded(&self, before: DateTime<Utc>) -> Result<u64> {
        let count: i64 =
            on_pool!(self, pool => sqlx::query_scalar(COUNT_UNDISCARDED).bind(before).fetch_one(pool).await)?;
        Ok(count.unsigned_abs())
    }

    /// Everything temporary of these ended sessions is gone.
    pub async fn mark_discarded(&self, ids: &[UploadId], now: DateTime<Utc>) -> Result<()> {
        let sql = self.text(DISCARDED);
        match self {
            Self::Postgres(pool) => {
                sqlx::query(sql).bind(uuids(ids)).bind(now).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                sqlx::query(sql).bind(json(ids)).bind(now).execute(pool).await?;
            }
        }
        Ok(())
    }

    /// Those of these sessions that there are.
    pub async fn find_uploads(&self, ids: &[UploadId]) -> Result<Vec<Upload>> {
        let sql = self.text(FIND_ALL);
        let rows: Vec<UploadRow> = match self {
            Self::Postgres(pool) => sqlx::query_as(sql).bind(uuids(ids)).fetch_all(pool).await?,
            Self::Sqlite(pool) => sqlx::query_as(sql).bind(json(ids)).fetch_all(pool).await?,
        };
        rows.into_iter().map(Upload::try_from).collect()
    }

    /// Deletes rows of sessions that were cleaned up at `before` or earlier; says how many.
    pub async fn forget_uploads(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let sql = self.text(FORGET);
        Ok(on_pool!(self, pool => sqlx::query(sql)
            .bind(before)
            .bind(i64::from(limit))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?)
    }

    /// Whether a live replica may be placing this digest now.
    pub async fn is_placing(&self, digest: &Digest, now: DateTime<Utc>) -> Result<bool> {
        let count: i64 = on_pool!(self, pool =>
            sqlx::query_scalar(IS_PLACING).bind(digest).bind(now).fetch_one(pool).await)?;
        Ok(count > 0)
    }
}

pub(in crate::db) fn uuids(ids: &[UploadId]) -> Vec<Uuid> {
    ids.iter().map(UploadId::as_uuid).collect()
}

pub(in crate::db) fn json(ids: &[UploadId]) -> serde_json::Value {
    ids.iter().map(|id| id.as_uuid().simple().to_string()).collect()
}

/// A row that cannot be read must not keep the others from being cleaned.
pub(super) fn readable(rows: Vec<UploadRow>) -> Vec<Upload> {
    let uploads = rows.into_iter().map(Upload::try_from);
    uploads
        .filter_map(|upload| upload.inspect_err(|error| tracing::error!(%error, "a corrupt session")).ok())
        .collect()
}
