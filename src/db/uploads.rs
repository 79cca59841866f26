//! Upload sessions: begin and find.

use chrono::{DateTime, Utc};

use super::rows::{StateColumns, UploadRow, select_upload};
use super::{Db, Result, on_pool};
use crate::domain::upload::{Upload, UploadId};

/// Whatever state a session begins in is in its one row from the start: nothing follows.
pub(super) const INSERT: &str = "
    INSERT INTO blob_upload_session
        (upload_uuid, repository_name, user_id, status, transfer_mode, temp_path, digest_algorithm, declared_digest,
         size, metadata, created_at, updated_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)";

pub(super) const FIND: &str = select_upload!("WHERE upload_uuid = $1");

/// Sessions whose time is up are as good as ended. Counting stops at the limit.
pub(super) const COUNT_OPEN: &str = "
    SELECT COUNT(*) FROM (
        SELECT 1 FROM blob_upload_session
        WHERE user_id = $1 AND status IN ('pending', 'uploading', 'finalizing') AND expires_at > $2 LIMIT $3) AS open";

impl Db {
    /// Inserts a session that is pending, or waits for one PUT.
    pub async fn insert_upload(&self, upload: &Upload, temp_path: &str) -> Result<()> {
        let columns = StateColumns::from(upload);
        on_pool!(self, pool => sqlx::query(INSERT)
            .bind(upload.id.as_uuid())
            .bind(upload.repository.as_str())
            .bind(upload.user_id.as_deref())
            .bind(columns.status)
            .bind(columns.transfer_mode)
            .bind(temp_path)
            .bind(columns.digest_algorithm)
            .bind(columns.declared_digest)
            .bind(columns.size)
            .bind(&upload.metadata)
            .bind(upload.created_at)
            .bind(upload.expires_at)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    pub async fn find_upload(&self, id: UploadId) -> Result<Option<Upload>> {
        let row: Option<UploadRow> =
            on_pool!(self, pool => sqlx::query_as(FIND).bind(id.as_uuid()).fetch_optional(pool).await)?;
        row.map(Upload::try_from).transpose()
    }

    /// Sessions that a user has open, counted up to `most`.
    pub async fn count_open_uploads(&self, user: &str, now: DateTime<Utc>, most: u64) -> Result<u64> {
        let count: i64 = on_pool!(self, pool => sqlx::query_scalar(COUNT_OPEN)
            .bind(user)
            .bind(now)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_one(pool)
            .await)?;
        Ok(count.unsigned_abs())
    }
}
