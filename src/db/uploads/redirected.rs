//! Uploads whose clients were redirected to the store, and do not tell when they are done: somebody has to look.

use chrono::{DateTime, Utc};

use crate::db::rows::{UploadRow, select_upload};
use crate::db::text::{Text, both, digests as as_json, is_one_of};
use crate::db::uploads::sweep::readable;
use crate::db::{Db, Result, on_pool};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Upload, UploadId};

/// The newest sessions of each blob: those that were left lying are older.
macro_rules! of_blobs {
    ($db:ident) => {
        concat!(
            select_upload!("WHERE upload_uuid IN (SELECT upload_uuid FROM (
                SELECT upload_uuid, ROW_NUMBER() OVER (PARTITION BY declared_digest ORDER BY created_at DESC) AS place
                FROM blob_upload_session WHERE look_at IS NOT NULL AND declared_digest "),
            is_one_of!($db, digests "$1"),
            " AND repository_name = $2) AS newest WHERE place <= $3)"
        )
    };
}
pub(in crate::db) const OF_BLOBS: Text = both!(of_blobs);

pub(in crate::db) const OF_USER: &str = select_upload!(
    "
    WHERE user_id = $1 AND ended_at IS NULL AND look_at IS NOT NULL ORDER BY created_at DESC LIMIT $2"
);

pub(in crate::db) const DUE: &str = select_upload!(
    "
    WHERE look_at <= $1 AND (status = 'uploading' OR lease_expires_at <= $1) ORDER BY look_at LIMIT $2"
);

/// Beside the compare-and-swap: a session that is looked at stays what it is.
pub(in crate::db) const TAKE: &str =
    "UPDATE blob_upload_session SET look_at = $3 WHERE upload_uuid = $1 AND look_at <= $2";

impl Db {
    /// Open sessions of this repository that were redirected with one of these digests: of each the `most` newest.
    pub async fn redirected_uploads(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
        most: u32,
    ) -> Result<Vec<Upload>> {
        let (sql, digests) = (self.text(OF_BLOBS), as_json(digests));
        let rows: Vec<UploadRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(&digests)
            .bind(repository.as_str())
            .bind(i64::from(most))
            .fetch_all(pool)
            .await)?;
        Ok(readable(rows))
    }

    /// Somebody's open sessions that were redirected: the `most` newest.
    pub async fn redirected_uploads_of(&self, user: &str, most: u32) -> Result<Vec<Upload>> {
        let rows: Vec<UploadRow> = on_pool!(self, pool =>
            sqlx::query_as(OF_USER).bind(user).bind(i64::from(most)).fetch_all(pool).await)?;
        Ok(readable(rows))
    }

    /// Sessions that are to be looked at by `now`, those that have waited longest first; among them those that somebody
    /// began to finalize and left.
    pub async fn uploads_to_look_at(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<Upload>> {
        let rows: Vec<UploadRow> = on_pool!(self, pool =>
            sqlx::query_as(DUE).bind(now).bind(i64::from(limit)).fetch_all(pool).await)?;
        Ok(readable(rows))
    }

    /// Takes a look that is due by `now`, and puts the next one off; false where another replica has taken it.
    pub async fn take_look(&self, id: UploadId, now: DateTime<Utc>, next: DateTime<Utc>) -> Result<bool> {
        let taken = on_pool!(self, pool => sqlx::query(TAKE)
            .bind(id.as_uuid())
            .bind(now)
            .bind(next)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(taken == 1)
    }
}
