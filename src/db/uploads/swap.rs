//! The one statement by which a session moves from one state to the next.

use chrono::{DateTime, Utc};

use crate::db::rows::signed;
use crate::db::{Db, Result, on_pool};
use crate::domain::upload::Upload;

/// Compare-and-swap: no row means that somebody else moved the session since it was read. `due_at` never moves to a later
/// time here, and so mostly not at all: an open session's row stays in its page (see the migrations). None that has ended
/// opens again. A macro, because on PostgreSQL larger statements are built around it.
macro_rules! swap_statement {
    () => {
        "UPDATE blob_upload_session
        SET status = $4, transfer_mode = $5, digest_algorithm = $6, declared_digest = $7, claimed_digest = $8,
            final_digest = $9, size = $10, part_size = $11, store_upload_id = $12, received_offset = $13,
            hash_state = $14, tail_id = $15, lease_owner = $16, lease_expires_at = $17, failure_reason = $18,
            expires_at = $19, due_at = CASE WHEN due_at > $19 THEN $19 ELSE due_at END, updated_at = $20,
            look_at = CASE WHEN $5 = 'redirected' AND $4 = 'finalizing' THEN look_at WHEN $5 = 'redirected' THEN $20 END,
            ended_at = CASE WHEN $4 IN ('pending', 'uploading', 'finalizing') THEN ended_at ELSE $20 END,
            revision = revision + 1
        WHERE upload_uuid = $1 AND status = $2 AND revision = $3"
    };
}
pub(in crate::db) use swap_statement;

pub(in crate::db) const SWAP: &str = swap_statement!();

/// A query of `$statement` with the swap's parameters bound: from `$before` to `$after` at `$now`.
macro_rules! swap {
    ($statement:expr, $before:expr, $after:expr, $now:expr) => {{
        let (before, after): (&$crate::domain::upload::Upload, &$crate::domain::upload::Upload) =
            ($before, $after);
        let columns = $crate::db::rows::StateColumns::from(after);
        sqlx::query($statement)
            .bind(before.id.as_uuid())
            .bind(before.state.status().as_str())
            .bind(before.revision)
            .bind(columns.status)
            .bind(columns.transfer_mode)
            .bind(columns.digest_algorithm)
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
            .bind(after.expires_at)
            .bind($now)
    }};
}
pub(in crate::db) use swap;

/// What a renewal changes, and nothing else: the heartbeat of a finalize of hours writes this row again and again.
pub(in crate::db) const RENEW: &str = "
    UPDATE blob_upload_session SET lease_expires_at = $4, expires_at = $5, updated_at = $6, progress_phase = $7,
        progress_done = $8, progress_total = $9, revision = revision + 1
    WHERE upload_uuid = $1 AND status = $2 AND revision = $3";

impl Db {
    /// Persists a longer lease, and what its owner is at; false when `before` no longer stands.
    pub async fn renew_lease(&self, before: &Upload, after: &Upload, now: DateTime<Utc>) -> Result<bool> {
        let renewed = on_pool!(self, pool => sqlx::query(RENEW)
            .bind(before.id.as_uuid())
            .bind(before.state.status().as_str())
            .bind(before.revision)
            .bind(after.state.lease().map(|lease| lease.expires_at))
            .bind(after.expires_at)
            .bind(now)
            .bind(after.progress.map(|progress| progress.phase.as_str()))
            .bind(after.progress.map(|progress| signed(progress.done)))
            .bind(after.progress.map(|progress| signed(progress.total)))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(renewed == 1)
    }

    /// Persists the transition from `before` to `after`; false when `before` no longer stands.
    pub async fn swap_upload(&self, before: &Upload, after: &Upload, now: DateTime<Utc>) -> Result<bool> {
        let swapped = on_pool!(self, pool =>
            swap!(SWAP, before, after, now).execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(swapped == 1)
    }
}
