//! Upload sessions: begin, find, and every transition by compare-and-swap.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::rows::{StateColumns, UploadRow, select_upload, signed};
use super::{Db, DbError, Result, in_transaction, on_pool};
use crate::domain::blob::{Blob, Standing};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::{Upload, UploadId};

const INSERT: &str = "
    INSERT INTO blob_upload_session
        (upload_uuid, repository_name, user_id, status, temp_path, declared_digest, metadata,
         created_at, updated_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)";

const FIND: &str = select_upload!("WHERE upload_uuid = $1");

/// No row means that somebody else moved the session since it was read.
const SWAP: &str = "
    UPDATE blob_upload_session
    SET status = $4, transfer_mode = $5, declared_digest = $6, claimed_digest = $7, final_digest = $8,
        size = $9, part_size = $10, store_upload_id = $11, received_offset = $12, hash_state = $13,
        tail_id = $14, lease_owner = $15, lease_expires_at = $16, failure_reason = $17,
        expires_at = $18, updated_at = $19, revision = revision + 1
    WHERE upload_uuid = $1 AND status = $2 AND revision = $3";

const UPSERT_PART: &str = "
    INSERT INTO blob_upload_part (upload_uuid, part_number, size, etag) VALUES ($1, $2, $3, $4)
    ON CONFLICT (upload_uuid, part_number) DO UPDATE SET size = excluded.size, etag = excluded.etag";

const PARTS: &str =
    "SELECT part_number, size, etag FROM blob_upload_part WHERE upload_uuid = $1 ORDER BY part_number";

/// A second upload of the same bytes leaves the first one's proof standing.
const INSERT_BLOB: &str = "
    INSERT INTO blob (digest, size, proof, created_at, placed_at, sealed_by, sealed_path, sealed_etag, sealed_until,
        placing_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $9) ON CONFLICT (digest) DO NOTHING";

pub(super) const LINK: &str = "
    INSERT INTO repository_blob (repository_name, digest, created_at) VALUES ($1, $2, $3)
    ON CONFLICT (repository_name, digest) DO NOTHING";

/// Binds [`SWAP`]'s parameters: from `$before` to `$after` at `$now`.
macro_rules! swap {
    ($before:expr, $after:expr, $now:expr) => {{
        let columns = StateColumns::from($after);
        sqlx::query(SWAP)
            .bind($before.id.as_uuid())
            .bind($before.state.status().as_str())
            .bind($before.revision)
            .bind(columns.status)
            .bind(columns.transfer_mode)
            .bind(columns.declared_digest)
            .bind(columns.claimed_digest)
            .bind(columns.final_digest)
            .bind(columns.size)
            .bind(columns.part_size)
            .bind(columns.store_upload_id)
            .bind(columns.received_offset)
            .bind(columns.hash_state)
            .bind(columns.tail_id)
            .bind(columns.lease_owner)
            .bind(columns.lease_expires_at)
            .bind(columns.failure_reason)
            .bind($after.expires_at)
            .bind($now)
    }};
}

impl Db {
    pub async fn insert_upload(&self, upload: &Upload, temp_path: &str) -> Result<()> {
        on_pool!(self, pool => sqlx::query(INSERT)
            .bind(upload.id.as_uuid())
            .bind(upload.repository.as_str())
            .bind(upload.user_id.as_deref())
            .bind(upload.state.status().as_str())
            .bind(temp_path)
            .bind(upload.declared_digest.map(|digest| digest.to_string()))
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

    /// Persists the transition from `before` to `after`; false when `before` no longer stands.
    pub async fn swap_upload(&self, before: &Upload, after: &Upload, now: DateTime<Utc>) -> Result<bool> {
        let swapped = on_pool!(self, pool => swap!(before, after, now).execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(swapped == 1)
    }

    /// As [`Self::swap_upload`], together with the parts that an append has stored.
    pub async fn swap_upload_with_parts(
        &self,
        before: &Upload,
        after: &Upload,
        parts: &[ReceivedPart],
        now: DateTime<Utc>,
    ) -> Result<bool> {
        if parts.is_empty() {
            return self.swap_upload(before, after, now).await;
        }
        let (before, after, parts) = (before.clone(), after.clone(), parts.to_vec());
        in_transaction!(self, transaction => {
            for part in &parts {
                sqlx::query(UPSERT_PART)
                    .bind(before.id.as_uuid())
                    .bind(i64::from(part.number.get()))
                    .bind(signed(part.size))
                    .bind(&part.etag)
                    .execute(&mut *transaction)
                    .await?;
            }
            swap!(before, &after, now).execute(&mut *transaction).await?.rows_affected() == 1
        })
    }

    /// Step 4 of finalize, all of it or nothing: the session, the blob and its link. A blob that is not placed
    /// is this replica's to place until `placing_until`.
    pub async fn commit_blob(
        &self,
        before: &Upload,
        after: &Upload,
        blob: &Blob,
        placing_until: DateTime<Utc>,
    ) -> Result<bool> {
        let (before, after, blob) = (before.clone(), after.clone(), blob.clone());
        in_transaction!(self, transaction => {
            let swapped = swap!(before, &after, blob.created_at).execute(&mut *transaction).await?.rows_affected() == 1;
            if swapped {
                let digest = blob.digest.to_string();
                let (placed_at, sealed) = match &blob.standing {
                    Standing::Placed => (Some(blob.created_at), None),
                    Standing::Sealed(sealed) => (None, Some(sealed)),
                };
                sqlx::query(INSERT_BLOB)
                    .bind(&digest)
                    .bind(signed(blob.size))
                    .bind(blob.proof.as_str())
                    .bind(blob.created_at)
                    .bind(placed_at)
                    .bind(sealed.map(|sealed| sealed.upload.as_uuid()))
                    .bind(sealed.map(|sealed| &sealed.path))
                    .bind(sealed.and_then(|sealed| sealed.etag.as_ref()))
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

    /// The parts stored for a proxied upload, in order.
    pub async fn stored_parts(&self, id: UploadId) -> Result<Vec<ReceivedPart>> {
        let rows: Vec<PartRow> =
            on_pool!(self, pool => sqlx::query_as(PARTS).bind(id.as_uuid()).fetch_all(pool).await)?;
        rows.into_iter().map(|row| row.into_part(id)).collect()
    }
}

#[derive(Debug, FromRow)]
struct PartRow {
    part_number: i64,
    size: i64,
    etag: String,
}

impl PartRow {
    fn into_part(self, upload: UploadId) -> Result<ReceivedPart> {
        let corrupt = |column, reason: &dyn std::fmt::Display| DbError::Corrupt {
            table: "blob_upload_part",
            column,
            row: format!("{upload}/{}", self.part_number),
            reason: reason.to_string(),
        };
        let number = u64::try_from(self.part_number).map_err(|error| corrupt("part_number", &error))?;
        Ok(ReceivedPart {
            number: PartNumber::new(number).map_err(|error| corrupt("part_number", &error))?,
            size: u64::try_from(self.size).map_err(|error| corrupt("size", &error))?,
            etag: self.etag.clone(),
        })
    }
}
