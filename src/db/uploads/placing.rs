//! Blobs on their way from where they were proven to their content-addressed path.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::registry::blobs::{BlobRow, blob_columns};
use crate::db::text::Text;
use crate::db::uploads::sweep::{json, uuids};
use crate::db::{Db, Result, on_pool};
use crate::domain::blob::{Blob, SealedObject};
use crate::domain::digest::Digest;
use crate::domain::upload::UploadId;

/// Of two that claim at once the second finds a later time in the row, and leaves it.
pub(in crate::db) const CLAIM: &str = concat!(
    "UPDATE blob SET placing_until = $2
    WHERE placing_until <= $1 AND sealed_by IS NOT NULL AND id IN
        (SELECT id FROM blob WHERE sealed_by IS NOT NULL AND placing_until <= $1 ORDER BY placing_until LIMIT $3)
    RETURNING ",
    blob_columns!()
);

pub(in crate::db) const RENEW: &str = "
    UPDATE blob SET placing_until = $3 WHERE digest = $1 AND sealed_by = $2 AND placed_at IS NULL";

/// While a URL of the temporary object may live, its row keeps the object, and somebody looks again afterwards.
pub(in crate::db) const PLACED: &str = "
    UPDATE blob SET placed_at = COALESCE(placed_at, $3), exposed = 0, placing_until = sealed_until,
        sealed_by = CASE WHEN sealed_until <= $3 THEN NULL ELSE sealed_by END,
        sealed_path = CASE WHEN sealed_until <= $3 THEN NULL ELSE sealed_path END,
        sealed_etag = CASE WHEN sealed_until <= $3 THEN NULL ELSE sealed_etag END
    WHERE digest = $1 AND sealed_by = $2
    RETURNING sealed_by IS NULL";

pub(in crate::db) const HOLD: &str = "
    UPDATE blob SET sealed_until = CASE WHEN sealed_until < $2 THEN $2 ELSE sealed_until END
    WHERE digest = $1 AND placed_at IS NULL";

pub(in crate::db) const HOLDS: &str = "SELECT COUNT(*) FROM blob WHERE sealed_by = $1";

pub(in crate::db) const HELD: Text = Text {
    postgres: "SELECT sealed_by FROM blob WHERE sealed_by = ANY ($1)",
    sqlite: "SELECT sealed_by FROM blob WHERE sealed_by IN (SELECT unhex(value) FROM json_each($1))",
};

/// A blob that this replica is to place, or whose temporary object is due to be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    pub blob: Blob,
    /// Also when the copy is done and this was only still being read.
    pub sealed: SealedObject,
}

impl Db {
    /// Takes blobs that nobody is placing, for as long as `until`.
    pub async fn claim_unplaced(
        &self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Unplaced>> {
        let rows: Vec<BlobRow> = on_pool!(self, pool =>
            sqlx::query_as(CLAIM).bind(now).bind(until).bind(i64::from(limit)).fetch_all(pool).await)?;
        let unplaced = rows.into_iter().map(|row| {
            let sealed = row.sealed();
            Ok(Unplaced {
                sealed: sealed.ok_or_else(|| row.corrupt("sealed_by", &"is missing"))?,
                blob: row.try_into()?,
            })
        });
        unplaced.collect()
    }

    /// Keeps the others from copying until `until`.
    pub async fn renew_placing(&self, digest: &Digest, upload: UploadId, until: DateTime<Utc>) -> Result<()> {
        on_pool!(self, pool => sqlx::query(RENEW)
            .bind(digest)
            .bind(upload.as_uuid())
            .bind(until)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    /// The copy is done: from here on the blob is read from its content-addressed path. True when nothing keeps
    /// the temporary object any more.
    pub async fn mark_placed(&self, digest: &Digest, upload: UploadId, now: DateTime<Utc>) -> Result<bool> {
        let released: Option<bool> = on_pool!(self, pool => sqlx::query_scalar(PLACED)
            .bind(digest)
            .bind(upload.as_uuid())
            .bind(now)
            .fetch_optional(pool)
            .await)?;
        // No row: somebody else did it, or another upload's object stands for the blob.
        Ok(released.unwrap_or(true))
    }

    /// Keeps an unplaced blob's temporary object until `until`; false when the blob is placed.
    pub async fn hold_sealed(&self, digest: &Digest, until: DateTime<Utc>) -> Result<bool> {
        let held = on_pool!(self, pool => sqlx::query(HOLD)
            .bind(digest)
            .bind(until)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(held > 0)
    }

    /// Whether a blob stands on this upload's temporary object.
    pub async fn holds_blob(&self, upload: UploadId) -> Result<bool> {
        let count: i64 =
            on_pool!(self, pool => sqlx::query_scalar(HOLDS).bind(upload.as_uuid()).fetch_one(pool).await)?;
        Ok(count > 0)
    }

    /// Those of these uploads on whose temporary objects blobs stand.
    pub async fn held_uploads(&self, ids: &[UploadId]) -> Result<HashSet<UploadId>> {
        let sql = self.text(HELD);
        let held: Vec<Uuid> = match self {
            Self::Postgres(pool) => sqlx::query_scalar(sql).bind(uuids(ids)).fetch_all(pool).await?,
            Self::Sqlite(pool) => sqlx::query_scalar(sql).bind(json(ids)).fetch_all(pool).await?,
        };
        Ok(held.into_iter().map(UploadId::from_uuid).collect())
    }
}
