//! Going through all blobs that are said to be in their place.

use chrono::{DateTime, Utc};

use crate::db::registry::blobs::{BlobRow, blob_columns};
use crate::db::{Db, Result, on_pool};
use crate::domain::blob::Blob;
use crate::domain::digest::Digest;

pub(in crate::db) const PLACED: &str = concat!(
    "SELECT ",
    blob_columns!(),
    " FROM blob WHERE digest > $1 AND removal_id IS NULL AND placed_at IS NOT NULL ORDER BY digest LIMIT $2"
);

const FIND_AGAIN: &str =
    "UPDATE blob SET lost_at = NULL, placed_at = $2 WHERE digest = $1 AND lost_at IS NOT NULL";

impl Db {
    /// Blobs that are in their place, or were before they were lost, in the order of their
    /// digests' bytes, whatever the algorithm.
    pub async fn placed_blobs(&self, after: Option<&Digest>, limit: u32) -> Result<Vec<Blob>> {
        let after = after.map_or(&[][..], Digest::as_bytes);
        let rows: Vec<BlobRow> = on_pool!(self, pool =>
            sqlx::query_as(PLACED).bind(after).bind(i64::from(limit)).fetch_all(pool).await)?;
        rows.into_iter().map(Blob::try_from).collect()
    }

    /// The object of a lost blob is there after all, and its bytes were proven now.
    pub async fn mark_found(&self, digest: &Digest, now: DateTime<Utc>) -> Result<()> {
        on_pool!(self, pool => sqlx::query(FIND_AGAIN)
            .bind(digest)
            .bind(now)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }
}
