//! How many replicas there are: each has a row that it renews.

use std::time::Duration;

use uuid::Uuid;

use crate::db::text::{Text, both, now_ms};
use crate::db::{Db, Result, on_pool};

macro_rules! renew {
    ($database:ident) => {
        concat!(
            "INSERT INTO replica (id, seen_at_ms) VALUES ($1, ",
            now_ms!($database),
            ") ON CONFLICT (id) DO UPDATE SET seen_at_ms = excluded.seen_at_ms"
        )
    };
}

macro_rules! forget {
    ($database:ident) => {
        concat!("DELETE FROM replica WHERE seen_at_ms <= ", now_ms!($database), " - $1")
    };
}

const RENEW: Text = both!(renew);
const FORGET: Text = both!(forget);
const COUNT: &str = "SELECT COUNT(*) FROM replica";
const REMOVE: &str = "DELETE FROM replica WHERE id = $1";

impl Db {
    /// Renews this replica's row, removes those that were not renewed for `stale_after`, and counts the rest.
    pub async fn count_replicas(&self, replica: Uuid, stale_after: Duration) -> Result<u64> {
        let (renew, forget) = (self.text(RENEW), self.text(FORGET));
        let stale_after = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
        let count: i64 = on_pool!(self, pool => {
            sqlx::query(renew).bind(replica).execute(pool).await?;
            sqlx::query(forget).bind(stale_after).execute(pool).await?;
            sqlx::query_scalar(COUNT).fetch_one(pool).await
        })?;
        Ok(count.unsigned_abs())
    }

    /// Removes the row of a replica that ends.
    pub async fn remove_replica(&self, replica: Uuid) -> Result<()> {
        on_pool!(self, pool => sqlx::query(REMOVE).bind(replica).execute(pool).await.map(drop))?;
        Ok(())
    }
}
