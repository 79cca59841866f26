//! Uploads whose clients were redirected to the store, and do not tell when they are done: somebody has to look.

use chrono::{DateTime, Utc};

use crate::db::rows::{UploadRow, select_upload};
use crate::db::text::{Text, both, digests as as_json, is_one_of};
use crate::db::uploads::sweep::readable;
use crate::db::{Db, Result, on_pool};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Upload, UploadId};

/// Sessions that somebody who asks for blobs has looked at: more than an image has layers. The newest, since those that
/// were left lying are older.
const MOST: i64 = 256;

macro_rules! of_blobs {
    ($db:ident) => {
        concat!(
            select_upload!("WHERE look_at IS NOT NULL AND declared_digest "),
            is_one_of!($db, digests "$1"),
            " AND repository_name = $2 ORDER BY created_at DESC LIMIT $3"
        )
    };
}
pub(in crate::db) const OF_BLOBS: Text = both!(of_blobs);

pub(in crate::db) const DUE: &str = select_upload!(
    "
    WHERE look_at <= $1 AND status = 'uploading' ORDER BY look_at LIMIT $2"
);

/// Beside the compare-and-swap: a session that is looked at stays what it is.
pub(in crate::db) const TAKE: &str =
    "UPDATE blob_upload_session SET look_at = $3 WHERE upload_uuid = $1 AND look_at <= $2";

impl Db {
    /// Open sessions of this repository that were redirected with one of these digests.
    pub async fn redirected_uploads(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<Vec<Upload>> {
        let (sql, digests) = (self.text(OF_BLOBS), as_json(digests));
        let rows: Vec<UploadRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(&digests)
            .bind(repository.as_str())
            .bind(MOST)
            .fetch_all(pool)
            .await)?;
        Ok(readable(rows))
    }

    /// Sessions that are to be looked at by `now`, those that have waited longest first.
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
