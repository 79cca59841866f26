//! The parts that Overside itself stored for a proxied upload.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::rows::signed;
use crate::db::uploads::swap::{SWAP, swap, swap_statement};
use crate::db::{Db, Result, corrupt, in_transaction, on_pool};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::domain::upload::{Upload, UploadId};

const UPSERT_PART: &str = "
    INSERT INTO blob_upload_part (upload_uuid, part_number, size, etag) VALUES ($1, $2, $3, $4)
    ON CONFLICT (upload_uuid, part_number) DO UPDATE SET size = excluded.size, etag = excluded.etag";

/// The session and its new parts on PostgreSQL, in one round trip.
pub(in crate::db) const SWAP_WITH_PARTS: &str = concat!(
    "WITH swapped AS (",
    swap_statement!(),
    " RETURNING upload_uuid),
    stored AS (
        INSERT INTO blob_upload_part (upload_uuid, part_number, size, etag)
        SELECT upload_uuid, part.number, part.size, part.etag
        FROM swapped, UNNEST($21::BIGINT[], $22::BIGINT[], $23::TEXT[]) AS part (number, size, etag)
        ON CONFLICT (upload_uuid, part_number) DO UPDATE SET size = excluded.size, etag = excluded.etag)
    SELECT 1 FROM swapped"
);

pub(in crate::db) const PARTS: &str =
    "SELECT part_number, size, etag FROM blob_upload_part WHERE upload_uuid = $1 ORDER BY part_number";

impl Db {
    /// As [`Self::swap_upload`], together with the parts that an append has stored, each number once.
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
        match self {
            Self::Postgres(pool) => {
                let swapped = swap!(SWAP_WITH_PARTS, before, after, now)
                    .bind(parts.iter().map(|part| i64::from(part.number.get())).collect::<Vec<_>>())
                    .bind(parts.iter().map(|part| signed(part.size)).collect::<Vec<_>>())
                    .bind(parts.iter().map(|part| part.etag.clone()).collect::<Vec<_>>())
                    .fetch_optional(pool)
                    .await?;
                Ok(swapped.is_some())
            }
            Self::Sqlite(pool) => {
                let (before, after, parts) = (before.clone(), after.clone(), parts.to_vec());
                in_transaction!(sqlite pool, transaction => {
                    let swapped = swap!(SWAP, &before, &after, now).execute(&mut *transaction).await?;
                    let swapped = swapped.rows_affected() == 1;
                    for part in parts.iter().filter(|_| swapped) {
                        sqlx::query(UPSERT_PART)
                            .bind(before.id.as_uuid())
                            .bind(i64::from(part.number.get()))
                            .bind(signed(part.size))
                            .bind(&part.etag)
                            .execute(&mut *transaction)
                            .await?;
                    }
                    swapped
                })
            }
        }
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
        let row = format!("{upload}/{}", self.part_number);
        let corrupt = |column, reason: &dyn Display| corrupt("blob_upload_part", column, &row, reason);
        let number = u64::try_from(self.part_number).map_err(|error| corrupt("part_number", &error))?;
        Ok(ReceivedPart {
            number: PartNumber::new(number).map_err(|error| corrupt("part_number", &error))?,
            size: u64::try_from(self.size).map_err(|error| corrupt("size", &error))?,
            etag: self.etag.clone(),
        })
    }
}
