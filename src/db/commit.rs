//! Step 4 of finalize.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::signed;
use super::swap::{SWAP, swap, swap_statement};
use super::{Db, Result, in_transaction};
use crate::domain::blob::{Blob, Standing};
use crate::domain::upload::Upload;

/// A second upload of the same bytes leaves the first one's proof standing. The row of a removal that has ended is
/// taken over; one of any other removal fails the statement, and nothing of it is written.
macro_rules! on_known_blob {
    ($removal:literal) => {
        concat!(
            "ON CONFLICT (digest) DO UPDATE SET unlinked_at = NULL,
                proof = CASE WHEN blob.removal_id IS NULL THEN blob.proof ELSE excluded.proof END,
                created_at = CASE WHEN blob.removal_id IS NULL THEN blob.created_at ELSE excluded.created_at END,
                placed_at = CASE WHEN blob.removal_id IS NULL THEN blob.placed_at ELSE excluded.placed_at END,
                sealed_by = CASE WHEN blob.removal_id IS NULL THEN blob.sealed_by ELSE excluded.sealed_by END,
                sealed_path = CASE WHEN blob.removal_id IS NULL THEN blob.sealed_path ELSE excluded.sealed_path END,
                sealed_etag = CASE WHEN blob.removal_id IS NULL THEN blob.sealed_etag ELSE excluded.sealed_etag END,
                sealed_until = CASE WHEN blob.removal_id IS NULL THEN blob.sealed_until ELSE excluded.sealed_until END,
                placing_until =
                    CASE WHEN blob.removal_id IS NULL THEN blob.placing_until ELSE excluded.placing_until END,
                removing_until = CASE WHEN blob.removal_id = ",
            $removal,
            " THEN NULL ELSE blob.removing_until END,
                removal_id = CASE WHEN blob.removal_id = ",
            $removal,
            " THEN NULL ELSE blob.removal_id END
            WHERE blob.unlinked_at IS NOT NULL"
        )
    };
}

/// Where it was linked before and no manifest needs it any more, it is as if it had just come: a client that pushed
/// it means to use it.
macro_rules! on_known_link {
    () => {
        "ON CONFLICT (repository_name, digest) DO UPDATE SET unreferenced_at = NULL
            WHERE repository_blob.unreferenced_at IS NOT NULL"
    };
}

const INSERT_BLOB: &str = concat!(
    "INSERT INTO blob (digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag, sealed_until,
        placing_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $9) ",
    on_known_blob!("$10")
);

pub(super) const LINK: &str = concat!(
    "INSERT INTO repository_blob (repository_name, digest, created_at) VALUES ($1, $2, $3) ",
    on_known_link!()
);

/// All three on PostgreSQL, in one round trip. The blob and its link come of the swapped row: where there is
/// none, nothing is written. The link waits for the blob, which else may come second: `links.rs` locks in this order.
pub(super) const COMMIT: &str = concat!(
    "WITH swapped AS (",
    swap_statement!(),
    " RETURNING repository_name),
    stored AS (
        INSERT INTO blob (digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag,
            sealed_until, placing_until)
        SELECT $21, $22, $23, $20, $24, $25, $26, $27, $20, $28 FROM swapped ",
    on_known_blob!("$29"),
    " RETURNING digest),
    linked AS (
        INSERT INTO repository_blob (repository_name, digest, created_at)
        SELECT repository_name, $21, $20 FROM swapped WHERE (SELECT COUNT(*) FROM stored) >= 0 ",
    on_known_link!(),
    ")
    SELECT 1 FROM swapped"
);

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    Done,
    /// The session is not what it was.
    Overtaken,
    /// The blob's object was taken for removal after this finalize had looked for it.
    Removing,
}

impl Db {
    /// The session, the blob and its link, all of it or nothing. A blob that is not placed is this replica's to
    /// place until `placing_until`. `removal` is the one that had ended when the blob was put in its place.
    pub async fn commit_blob(
        &self,
        before: &Upload,
        after: &Upload,
        blob: &Blob,
        placing_until: DateTime<Utc>,
        removal: Option<Uuid>,
    ) -> Result<Committed> {
        let committed = self.commit_all(before, after, blob, placing_until, removal).await;
        match committed {
            Ok(true) => Ok(Committed::Done),
            Ok(false) => Ok(Committed::Overtaken),
            Err(error) if error.is_removed_blob() => Ok(Committed::Removing),
            Err(error) => Err(error),
        }
    }

    async fn commit_all(
        &self,
        before: &Upload,
        after: &Upload,
        blob: &Blob,
        placing_until: DateTime<Utc>,
        removal: Option<Uuid>,
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
                    .bind(removal)
                    .fetch_optional(pool)
                    .await?;
                Ok(committed.is_some())
            }
            Self::Sqlite(pool) => {
                let (before, after, blob) = (before.clone(), after.clone(), blob.clone());
                in_transaction!(sqlite pool, transaction => {
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
                            .bind(removal)
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
