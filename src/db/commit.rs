//! Step 4 of finalize.

use chrono::{DateTime, Utc};

use super::blobs::LINK;
use super::rows::signed;
use super::swap::{SWAP, swap, swap_statement};
use super::{Db, Result, in_sqlite_transaction};
use crate::domain::blob::{Blob, Standing};
use crate::domain::upload::Upload;

/// A second upload of the same bytes leaves the first one's proof standing.
const INSERT_BLOB: &str = "
    INSERT INTO blob (digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag, sealed_until,
        placing_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $9) ON CONFLICT (digest) DO NOTHING";

/// All three on PostgreSQL, in one round trip. The blob and its link come of the swapped row: where there is
/// none, nothing is written.
pub(super) const COMMIT: &str = concat!(
    "WITH swapped AS (",
    swap_statement!(),
    " RETURNING repository_name),
    stored AS (
        INSERT INTO blob (digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag,
            sealed_until, placing_until)
        SELECT $20, $21, $22, $19, $23, $24, $25, $26, $19, $27 FROM swapped
        ON CONFLICT (digest) DO NOTHING),
    linked AS (
        INSERT INTO repository_blob (repository_name, digest, created_at)
        SELECT repository_name, $20, $19 FROM swapped
        ON CONFLICT (repository_name, digest) DO NOTHING)
    SELECT 1 FROM swapped"
);

impl Db {
    /// The session, the blob and its link, all of it or nothing; false when `before` no longer stands. A blob
    /// that is not placed is this replica's to place until `placing_until`.
    pub async fn commit_blob(
        &self,
        before: &Upload,
        after: &Upload,
        blob: &Blob,
        placing_until: DateTime<Utc>,
    ) -> Result<bool> {
        let digest = blob.digest.to_string();
        let (placed_at, sealed) = match &blob.standing {
            Standing::Placed => (Some(blob.created_at), None),
            Standing::Sealed(sealed) => (None, Some(sealed)),
        };
        let sealed_by = sealed.map(|sealed| sealed.upload.as_uuid());
        let sealed_path = sealed.map(|sealed| sealed.path.clone());
        let sealed_etag = sealed.and_then(|sealed| sealed.etag.clone());
        match self {
            Self::Postgres(pool) => {
                let committed = swap!(COMMIT, before, after, blob.created_at)
                    .bind(digest)
                    .bind(signed(blob.size))
                    .bind(blob.proof.as_str())
                    .bind(placed_at)
                    .bind(sealed_by)
                    .bind(sealed_path)
                    .bind(sealed_etag)
                    .bind(placing_until)
                    .fetch_optional(pool)
                    .await?;
                Ok(committed.is_some())
            }
            Self::Sqlite(pool) => {
                let (before, after, blob) = (before.clone(), after.clone(), blob.clone());
                in_sqlite_transaction!(pool, transaction => {
                    let swapped = swap!(SWAP, &before, &after, blob.created_at).execute(&mut *transaction).await?;
                    let swapped = swapped.rows_affected() == 1;
                    if swapped {
                        sqlx::query(INSERT_BLOB)
                            .bind(&digest)
                            .bind(signed(blob.size))
                            .bind(blob.proof.as_str())
                            .bind(blob.created_at)
                            .bind(placed_at)
                            .bind(sealed_by)
                            .bind(sealed_path)
                            .bind(sealed_etag)
                            .bind(placing_until)
                            .execute(&mut *transaction)
                            .await?;
                        sqlx::query(LINK)
                            .bind(before.repository.as_str())
                            .bind(&digest)
                            .bind(blob.created_at)
                            .execute(&mut *transaction)
                            .await?;
                    }
                    swapped
                })
            }
        }
    }
}
