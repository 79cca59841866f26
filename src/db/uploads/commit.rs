//! Step 4 of finalize.

use std::slice;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::registry::links::{MAKE_REPOSITORY, on_known_link};
use crate::db::rows::signed;
use crate::db::text::repository_id;
use crate::db::upkeep::audit;
use crate::db::uploads::swap::{SWAP, swap, swap_statement};
use crate::db::{Db, DbError, Result, in_transaction};
use crate::domain::audit::AuditEntry;
use crate::domain::blob::{Blob, Placement};
use crate::domain::upload::{BatchDoor, Upload};

/// A blob whose object is gone, is going, or may never come to its place: the new upload's takes over.
macro_rules! replaces {
    ($column:literal) => {
        concat!(
            $column,
            " = CASE WHEN blob.removal_id IS NULL AND blob.lost_at IS NULL AND blob.exposed = 0 THEN blob.",
            $column,
            " ELSE excluded.",
            $column,
            " END"
        )
    };
}

/// A second upload of the same bytes leaves the first one's proof standing. The row of a removal that has ended is
/// taken over, and so is one whose object is lost. The row of any other removal fails the statement, and so does one
/// that is exposed, unless this upload's bytes are placed: nothing of it is written then.
macro_rules! on_known_blob {
    ($removal:literal) => {
        concat!(
            "ON CONFLICT (digest) DO UPDATE SET unlinked_at = NULL, lost_at = NULL,
                exposed = CASE
                    WHEN blob.exposed > 0 AND excluded.placed_at IS NULL THEN blob.exposed + 1
                    WHEN blob.removal_id IS NULL AND blob.lost_at IS NULL AND blob.exposed = 0 THEN 0
                    ELSE excluded.exposed END, ",
            replaces!("size"),
            ", ",
            replaces!("proof"),
            ", ",
            replaces!("created_at"),
            ", ",
            replaces!("placed_at"),
            ", ",
            replaces!("sealed_by"),
            ", ",
            replaces!("sealed_path"),
            ", ",
            replaces!("sealed_etag"),
            ", ",
            replaces!("sealed_until"),
            ", ",
            replaces!("placing_until"),
            ", removing_until = CASE WHEN blob.removal_id = ",
            $removal,
            " THEN NULL ELSE blob.removing_until END,
                removal_id = CASE WHEN blob.removal_id = ",
            $removal,
            " THEN NULL ELSE blob.removal_id END
            WHERE blob.unlinked_at IS NOT NULL OR blob.lost_at IS NOT NULL OR blob.exposed > 0"
        )
    };
}

const INSERT_BLOB: &str = concat!(
    "INSERT INTO blob (digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag, sealed_until,
        placing_until, exposed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $9, $11) ",
    on_known_blob!("$10")
);

/// Kept where the upload came through the front door `$5`.
const LINK_UPLOADED: &str = concat!(
    "INSERT INTO repository_blob (repository_id, blob_id, created_at, is_kept) SELECT ",
    repository_id!(),
    ", blob.id, $3, COALESCE(door = $5, FALSE) FROM blob, blob_upload_session
    WHERE blob.digest = $2 AND upload_uuid = $4 ",
    on_known_link!()
);

/// All of it on PostgreSQL, in one round trip. The blob, its link and the audit log's entry come of the swapped row: where
/// there is none, nothing is written. The link asks for the blob, which comes first therefore: `links.rs` locks in this order. A
/// blob that is there already, and stays as it is, is not among the stored ones.
pub(in crate::db) const COMMIT: &str = concat!(
    "WITH swapped AS (",
    swap_statement!(),
    " RETURNING repository_name, door),
    stored AS (
        INSERT INTO blob (digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag,
            sealed_until, placing_until, exposed)
        SELECT $21, $22, $23, $20, $24, $25, $26, $27, $20, $28, $30 FROM swapped ",
    on_known_blob!("$29"),
    " RETURNING id),
    linked AS (
        INSERT INTO repository_blob (blob_id, repository_id, created_at, is_kept)
        SELECT COALESCE((SELECT id FROM stored), blob_to_link($21)), repository_to_link(repository_name), $20,
            COALESCE(door = $37, FALSE)
        FROM swapped ",
    on_known_link!(),
    "),
    audited AS (
        INSERT INTO audit_entry (happened_at, username, operation, resource_type, resource, project_name,
            client_address, project_id)
        SELECT $20, $31::TEXT, $32, $33, $34, $35, $36, (SELECT id FROM project WHERE name = $35)
        FROM swapped WHERE $31::TEXT IS NOT NULL)
    SELECT 1 FROM swapped"
);

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    Done,
    /// The session is not what it was.
    Overtaken,
    /// The blob was not as this finalize had found it: its object was taken for removal since, or another upload of
    /// the same bytes was faster and is still exposed.
    Changed,
}

impl Db {
    /// The session, the blob, its link and the audit log's entry of it, all of it or nothing. A blob that is not placed
    /// is this replica's to place until `placing_until`. `removal` is the one that had ended when the blob was put in
    /// its place.
    pub async fn commit_blob(
        &self,
        before: &Upload,
        after: &Upload,
        blob: &Blob,
        placing_until: DateTime<Utc>,
        removal: Option<Uuid>,
        push: Option<&AuditEntry>,
    ) -> Result<Committed> {
        let commit = || self.commit_all(before, after, blob, placing_until, removal, push);
        let committed = match (commit().await, push) {
            (Err(DbError::Unavailable(error)), Some(push)) if audit::is_missing_month(&error) => {
                self.make_audit_months_of(slice::from_ref(push)).await?;
                commit().await
            }
            (committed, _) => committed,
        };
        match committed {
            Ok(true) => Ok(Committed::Done),
            Ok(false) => Ok(Committed::Overtaken),
            Err(error) if error.is_removed_blob() || error.is_exposed_blob() => Ok(Committed::Changed),
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
        push: Option<&AuditEntry>,
    ) -> Result<bool> {
        let digest = blob.digest;
        let sealed = blob.placement.sealed();
        let placed_at = sealed.is_none().then_some(blob.created_at);
        let exposed = i16::from(matches!(blob.placement, Placement::Exposed(_)));
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
                    .bind(exposed)
                    .bind(push.map(|entry| &entry.username))
                    .bind(push.map(|entry| entry.action.operation.as_str()))
                    .bind(push.map(|entry| entry.action.resource_type.as_str()))
                    .bind(push.map(|entry| &entry.action.resource))
                    .bind(push.and_then(audit::project))
                    .bind(push.and_then(audit::address))
                    .bind(BatchDoor::KEEPING.as_str())
                    .fetch_optional(pool)
                    .await?;
                Ok(committed.is_some())
            }
            Self::Sqlite(pool) => {
                let (before, after, blob, push) =
                    (before.clone(), after.clone(), blob.clone(), push.cloned());
                in_transaction!(sqlite pool, transaction => {
                    let swapped = swap!(SWAP, &before, &after, blob.created_at).execute(&mut *transaction).await?;
                    let swapped = swapped.rows_affected() == 1;
                    if swapped {
                        sqlx::query(INSERT_BLOB)
                            .bind(digest)
                            .bind(signed(blob.size))
                            .bind(blob.proof.as_str())
                            .bind(blob.created_at)
                            .bind(placed_at)
                            .bind(sealed_by)
                            .bind(sealed_path)
                            .bind(sealed_etag)
                            .bind(placing_until)
                            .bind(removal)
                            .bind(exposed)
                            .execute(&mut *transaction)
                            .await?;
                        sqlx::query(MAKE_REPOSITORY)
                            .bind(&before.repository)
                            .execute(&mut *transaction)
                            .await?;
                        sqlx::query(LINK_UPLOADED)
                            .bind(&before.repository)
                            .bind(digest)
                            .bind(blob.created_at)
                            .bind(before.id.as_uuid())
                            .bind(BatchDoor::KEEPING.as_str())
                            .execute(&mut *transaction)
                            .await?;
                        if let Some(push) = &push {
                            audit::insert(push).execute(&mut *transaction).await?;
                        }
                    }
                    swapped
                })
            }
        }
    }
}
