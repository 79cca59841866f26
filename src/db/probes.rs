//! What each store was last seen to do.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::{Db, Result, on_pool};

const FIND: &str = "SELECT capabilities, probed_at FROM store_probe WHERE store = $1 AND version = $2";

const SAVE: &str = "
    INSERT INTO store_probe (store, version, capabilities, probed_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (store) DO UPDATE
    SET version = excluded.version, capabilities = excluded.capabilities, probed_at = excluded.probed_at";

/// What a probe of one version saw.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct StoreProbe {
    pub capabilities: serde_json::Value,
    pub probed_at: DateTime<Utc>,
}

impl Db {
    /// What a probe of this version last saw of a store.
    pub async fn find_probe(&self, store: &str, version: i64) -> Result<Option<StoreProbe>> {
        Ok(on_pool!(self, pool =>
            sqlx::query_as(FIND).bind(store).bind(version).fetch_optional(pool).await)?)
    }

    /// Keeps what a probe saw, in place of what an earlier one did.
    pub async fn save_probe(&self, store: &str, version: i64, probe: &StoreProbe) -> Result<()> {
        on_pool!(self, pool => sqlx::query(SAVE)
            .bind(store)
            .bind(version)
            .bind(&probe.capabilities)
            .bind(probe.probed_at)
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }
}
