//! Many sessions at once: those of one batch are found again and prolonged by one statement each.

use chrono::{DateTime, Utc};

use crate::db::rows::{UploadRow, select_upload};
use crate::db::text::{Text, both, digests as as_json, is_one_of};
use crate::db::uploads::sweep::{json as ids_as_json, readable, uuids};
use crate::db::{Db, Result, on_pool};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{BatchDoor, Upload, UploadId};

/// The newest first. Who did not sign in has the sessions of nobody in particular.
macro_rules! of_batch {
    ($db:ident) => {
        concat!(
            select_upload!("WHERE ended_at IS NULL AND door IS NOT NULL AND declared_digest "),
            is_one_of!($db, digests "$1"),
            " AND repository_name = $2 AND user_id IS NOT DISTINCT FROM $3 AND door = $4
            ORDER BY created_at DESC LIMIT $5"
        )
    };
}
pub(in crate::db) const OF_BATCH: Text = both!(of_batch);

/// `Upload::touch` of those that still wait for their bytes.
macro_rules! prolong {
    ($ids:literal) => {
        concat!(
            "UPDATE blob_upload_session SET expires_at = $2, updated_at = $3, revision = revision + 1
            WHERE ",
            $ids,
            " AND ended_at IS NULL AND status = 'uploading' AND expires_at < $2 AND expires_at > $3"
        )
    };
}
pub(in crate::db) const PROLONG: Text = Text {
    postgres: prolong!("upload_uuid = ANY ($1)"),
    sqlite: prolong!("upload_uuid IN (SELECT unhex(value) FROM json_each($1))"),
};

impl Db {
    /// Open sessions that batches of this front door began for a user in a repository, of any of these digests: the
    /// newest first, at most `limit`.
    pub async fn batched_uploads(
        &self,
        repository: &RepositoryName,
        user: Option<&str>,
        digests: &[Digest],
        door: BatchDoor,
        limit: u32,
    ) -> Result<Vec<Upload>> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let (sql, digests) = (self.text(OF_BATCH), as_json(digests));
        let rows: Vec<UploadRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(&digests)
            .bind(repository)
            .bind(user)
            .bind(door.as_str())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        Ok(readable(rows))
    }

    /// Puts off the end of sessions that wait for their bytes to `end`, where it is earlier.
    pub async fn prolong_uploads(
        &self,
        ids: &[UploadId],
        end: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let sql = self.text(PROLONG);
        match self {
            Self::Postgres(pool) => {
                sqlx::query(sql).bind(uuids(ids)).bind(end).bind(now).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                sqlx::query(sql).bind(ids_as_json(ids)).bind(end).bind(now).execute(pool).await?;
            }
        }
        Ok(())
    }
}
