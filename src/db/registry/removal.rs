//! Removing blobs that no repository has: claimed in the row before the object is touched, so that nobody
//! publishes under a digest whose object is about to go.
//!
//! A row under removal cannot be linked, and it stays while a session is being finalized as its digest: that one
//! finds it, waits until the removal can have no effect any more, puts the blob in its place and takes the row
//! over, if it is still the removal it has seen.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::registry::blobs::{BlobRow, blob_columns};
use crate::db::text::{self, Text, both, is_one_of, lock};
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::blob::{Blob, Removal};
use crate::domain::digest::Digest;

pub(in crate::db) const FIND_STORED: &str =
    concat!("SELECT ", blob_columns!(), ", removal_id, removing_until FROM blob WHERE digest = $1");

/// Tombstones alone tell: see `links.rs`.
macro_rules! is_removable {
    () => {
        "unlinked_at <= $1 AND sealed_by IS NULL AND (removing_until IS NULL OR removing_until <= $2)
            AND NOT EXISTS (SELECT 1 FROM blob_upload_session
                WHERE status = 'finalizing' AND claimed_digest = blob.digest AND lease_expires_at > $2)"
    };
}

macro_rules! removable {
    ($db:ident) => {
        concat!(
            "SELECT id FROM blob WHERE ",
            is_removable!(),
            " ORDER BY unlinked_at LIMIT $3",
            lock!($db, " FOR UPDATE SKIP LOCKED")
        )
    };
}
pub(in crate::db) const REMOVABLE: Text = both!(removable);

const COUNT_REMOVABLE: &str =
    concat!("SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blob WHERE ", is_removable!());

macro_rules! claim {
    ($db:ident) => {
        concat!(
            "UPDATE blob SET removal_id = $2, removing_until = $3 WHERE id ",
            is_one_of!($db, ids "$1"),
            " AND unlinked_at IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM repository_blob WHERE repository_blob.blob_id = blob.id)
            RETURNING digest, size"
        )
    };
}
pub(in crate::db) const CLAIM: Text = both!(claim);

/// No proof: nothing is known of the object but its place, and nobody will read it.
const CLAIM_STRAY: &str = "
    INSERT INTO blob (digest, size, created_at, placed_at, unlinked_at, removal_id, removing_until)
    VALUES ($1, $2, $3, $3, $3, $4, $5) ON CONFLICT (digest) DO NOTHING";

/// Not while somebody finalizes as this digest: it may have looked at the object while it was there.
pub(in crate::db) const FORGET: &str = "
    DELETE FROM blob WHERE digest = $1 AND removal_id = $2 AND NOT EXISTS
        (SELECT 1 FROM blob_upload_session WHERE status = 'finalizing' AND claimed_digest = $1)";

const ENDED: &str = "UPDATE blob SET removing_until = $3 WHERE digest = $1 AND removal_id = $2";

macro_rules! known {
    ($db:ident) => {
        concat!("SELECT digest FROM blob WHERE digest ", is_one_of!($db, digests "$1"))
    };
}
pub(in crate::db) const KNOWN: Text = both!(known);

/// What the database knows of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    Live(Blob),
    Removing(Removal),
}

#[derive(Debug, FromRow)]
struct StoredRow {
    #[sqlx(flatten)]
    blob: BlobRow,
    removal_id: Option<Uuid>,
    removing_until: Option<DateTime<Utc>>,
}

impl Db {
    /// A blob, whoever may read it, or its removal: for publishing after proof, never for an answer to a client.
    pub async fn find_stored(&self, digest: &Digest) -> Result<Option<Stored>> {
        let row: Option<StoredRow> = on_pool!(self, pool =>
            sqlx::query_as(FIND_STORED).bind(digest).fetch_optional(pool).await)?;
        let Some(StoredRow { blob, removal_id, removing_until }) = row else { return Ok(None) };
        Ok(Some(match removal_id.zip(removing_until) {
            Some((id, until)) => Stored::Removing(Removal { id, until }),
            None => Stored::Live(blob.try_into()?),
        }))
    }

    /// Takes blobs that no repository has had since `before` for removal; at most `limit`, with their sizes in
    /// bytes. Not those that somebody is about to publish again.
    pub async fn claim_removals(
        &self,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
        removal: Removal,
        limit: u32,
    ) -> Result<Vec<(Digest, u64)>> {
        let (removable, claim) = (self.text(REMOVABLE), self.text(CLAIM));
        let claimed: Result<Vec<(Digest, i64)>> = in_transaction!(self, transaction => {
            let found = sqlx::query_scalar(removable).bind(before).bind(now).bind(i64::from(limit));
            let found: Vec<i64> = found.fetch_all(&mut *transaction).await?;
            let claim = sqlx::query_as(claim).bind(serde_json::json!(found)).bind(removal.id).bind(removal.until);
            claim.fetch_all(&mut *transaction).await?
        });
        Ok(claimed?.into_iter().map(|(digest, size)| (digest, size.unsigned_abs())).collect())
    }

    /// How many blobs [`Self::claim_removals`] would take, and their bytes.
    pub async fn count_removable(&self, before: DateTime<Utc>, now: DateTime<Utc>) -> Result<(u64, u64)> {
        let (count, bytes): (i64, i64) = on_pool!(self, pool =>
            sqlx::query_as(COUNT_REMOVABLE).bind(before).bind(now).fetch_one(pool).await)?;
        Ok((count.unsigned_abs(), bytes.unsigned_abs()))
    }

    /// Takes an object at a blob's place that has no row for removal; false when it has one by now.
    pub async fn claim_stray(
        &self,
        digest: &Digest,
        size: u64,
        now: DateTime<Utc>,
        removal: Removal,
    ) -> Result<bool> {
        let claimed = on_pool!(self, pool => sqlx::query(CLAIM_STRAY)
            .bind(digest)
            .bind(crate::db::rows::signed(size))
            .bind(now)
            .bind(removal.id)
            .bind(removal.until)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(claimed > 0)
    }

    /// The object is gone: so is the row, or, while somebody finalizes as this digest, what keeps that one waiting.
    pub async fn end_removal(&self, digest: &Digest, id: Uuid, now: DateTime<Utc>) -> Result<()> {
        let forgotten = on_pool!(self, pool => sqlx::query(FORGET)
            .bind(digest)
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        if forgotten == 0 {
            on_pool!(self, pool => sqlx::query(ENDED)
                .bind(digest)
                .bind(id)
                .bind(now)
                .execute(pool)
                .await
                .map(drop))?;
        }
        Ok(())
    }

    /// Those of these digests that have a row.
    pub async fn known_blobs(&self, digests: &[Digest]) -> Result<HashSet<Digest>> {
        let (sql, digests) = (self.text(KNOWN), text::digests(digests));
        let known: Vec<Digest> =
            on_pool!(self, pool => sqlx::query_scalar(sql).bind(digests).fetch_all(pool).await)?;
        Ok(known.into_iter().collect())
    }
}
