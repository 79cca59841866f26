//! What is done now and then, by one replica for all.

use chrono::{DateTime, Utc};

use super::{Db, Result, on_pool};

const CLAIM: &str = "
    INSERT INTO chore (name, begun_at) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at WHERE chore.begun_at <= $3";

impl Db {
    /// Whether it is the caller's turn: nobody has begun it since `before`.
    pub async fn claim_chore(
        &self,
        name: &'static str,
        now: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<bool> {
        let claimed = on_pool!(self, pool => sqlx::query(CLAIM)
            .bind(name)
            .bind(now)
            .bind(before)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(claimed > 0)
    }
}
