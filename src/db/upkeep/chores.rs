//! What is done now and then, by one replica for all, or by one at a time.

use chrono::{DateTime, Utc};

use crate::db::{Db, Result, on_pool};

const CLAIM: &str = "
    INSERT INTO chore (name, begun_at) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at WHERE chore.begun_at <= $3";

const RENEW: &str = "UPDATE chore SET begun_at = $2 WHERE name = $1";

const END: &str = "DELETE FROM chore WHERE name = $1";

impl Db {
    /// Whoever is at it still is: as if it had begun now.
    pub async fn renew_chore(&self, name: &'static str, now: DateTime<Utc>) -> Result<()> {
        on_pool!(self, pool => sqlx::query(RENEW).bind(name).bind(now).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Nobody is at it: the next one may begin.
    pub async fn end_chore(&self, name: &'static str) -> Result<()> {
        on_pool!(self, pool => sqlx::query(END).bind(name).execute(pool).await.map(drop))?;
        Ok(())
    }

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
