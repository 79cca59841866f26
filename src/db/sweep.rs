//! What the cleaner asks. Every list is short, ordered by age and served by a partial index.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::{UploadRow, select_upload};
use super::{Db, Result, on_pool};
use crate::domain::digest::Digest;
use crate::domain::upload::{Upload, UploadId};

const EXPIRED: &str = select_upload!(
    "
    WHERE status IN ('pending', 'uploading', 'finalizing') AND expires_at <= $1
      AND (lease_expires_at IS NULL OR lease_expires_at <= $1)
    ORDER BY expires_at LIMIT $2"
);

const ABANDONED: &str = select_upload!(
    "
    WHERE status = 'finalizing' AND lease_expires_at <= $1 AND expires_at > $1
    ORDER BY lease_expires_at LIMIT $2"
);

const UNDISCARDED: &str = "
    SELECT upload_uuid FROM blob_upload_session
    WHERE status IN ('completed', 'failed', 'aborted', 'expired') AND discarded_at IS NULL AND updated_at <= $1
      AND NOT EXISTS (SELECT 1 FROM blob WHERE sealed_by = upload_uuid)
    ORDER BY updated_at LIMIT $2 OFFSET $3";

const DISCARDED: &str = "UPDATE blob_upload_session SET discarded_at = $2 WHERE upload_uuid = $1";

const FORGET: &str = "
    DELETE FROM blob_upload_session WHERE upload_uuid IN
        (SELECT upload_uuid FROM blob_upload_session WHERE discarded_at <= $1 ORDER BY discarded_at LIMIT $2)";

const IS_PLACING: &str = "
    SELECT (SELECT COUNT(*) FROM blob WHERE digest = $1 AND placed_at IS NULL AND placing_until > $2)
        + (SELECT COUNT(*) FROM blob_upload_session
           WHERE status = 'finalizing' AND claimed_digest = $1 AND lease_expires_at > $2)";

impl Db {
    /// Sessions whose time is up and that nobody holds.
    pub async fn expired_uploads(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<Upload>> {
        let rows: Vec<UploadRow> = on_pool!(self, pool =>
            sqlx::query_as(EXPIRED).bind(now).bind(i64::from(limit)).fetch_all(pool).await)?;
        Ok(readable(rows))
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

    /// Everything temporary of an ended session is gone.
    pub async fn mark_discarded(&self, id: UploadId, now: DateTime<Utc>) -> Result<()> {
        on_pool!(self, pool => sqlx::query(DISCARDED).bind(id.as_uuid()).bind(now).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Deletes rows of sessions that were cleaned up at `before` or earlier; says how many.
    pub async fn forget_uploads(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        Ok(on_pool!(self, pool => sqlx::query(FORGET)
            .bind(before)
            .bind(i64::from(limit))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?)
    }

    /// Whether a live replica may be placing this digest now.
    pub async fn is_placing(&self, digest: &Digest, now: DateTime<Utc>) -> Result<bool> {
        let count: i64 = on_pool!(self, pool =>
            sqlx::query_scalar(IS_PLACING).bind(digest.to_string()).bind(now).fetch_one(pool).await)?;
        Ok(count > 0)
    }
}

/// A row that cannot be read must not keep the others from being cleaned.
fn readable(rows: Vec<UploadRow>) -> Vec<Upload> {
    let uploads = rows.into_iter().map(Upload::try_from);
    uploads
        .filter_map(|upload| upload.inspect_err(|error| tracing::error!(%error, "a corrupt session")).ok())
        .collect()
}
