//! Failed sign-ins: what makes guessing slow, on all replicas alike.

use chrono::{DateTime, Utc};

use super::{Db, Result, on_pool};

const FIND: &str = "SELECT failures, last_at FROM login_failure WHERE subject = $1";

/// What was long ago is forgotten.
const RECORD: &str = "
    INSERT INTO login_failure (subject, failures, last_at) VALUES ($1, 1, $2)
    ON CONFLICT (subject) DO UPDATE SET last_at = excluded.last_at,
        failures = CASE WHEN login_failure.last_at <= $3 THEN 1 ELSE login_failure.failures + 1 END";

const CLEAR: &str = "DELETE FROM login_failure WHERE subject = $1";
const FORGET: &str = "DELETE FROM login_failure WHERE last_at <= $1";

impl Db {
    /// How often a sign-in has failed in a row, and when it last did.
    pub async fn login_failures(&self, subject: &str) -> Result<Option<(i64, DateTime<Utc>)>> {
        Ok(on_pool!(self, pool => sqlx::query_as(FIND).bind(subject).fetch_optional(pool).await)?)
    }

    /// Counts a failure; those at `forgotten` or before count no more.
    pub async fn record_login_failure(
        &self,
        subject: &str,
        now: DateTime<Utc>,
        forgotten: DateTime<Utc>,
    ) -> Result<()> {
        on_pool!(self, pool => sqlx::query(RECORD)
            .bind(subject)
            .bind(now)
            .bind(forgotten)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    pub async fn clear_login_failures(&self, subject: &str) -> Result<()> {
        on_pool!(self, pool => sqlx::query(CLEAR).bind(subject).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets what counts no more; says how many.
    pub async fn forget_login_failures(&self, before: DateTime<Utc>) -> Result<u64> {
        Ok(on_pool!(self, pool =>
            sqlx::query(FORGET).bind(before).execute(pool).await.map(|done| done.rows_affected()))?)
    }
}
