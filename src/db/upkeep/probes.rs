//! What each store was last seen to do.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::{Db, Result, on_pool};
use crate::domain::pace::Pace;

const FIND: &str = "SELECT capabilities, probed_at FROM store_probe WHERE store = $1 AND version = $2";

const SAVE: &str = "
    INSERT INTO store_probe (store, version, capabilities, probed_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (store) DO UPDATE
    SET version = excluded.version, capabilities = excluded.capabilities, probed_at = excluded.probed_at";

const FIND_PACE: &str = "SELECT pace FROM store_probe WHERE store = $1 AND pace IS NOT NULL";

/// Whatever version of the probe has asked. A store that nobody has probed has no row, and its pace is not kept.
const SAVE_PACE: &str = "UPDATE store_probe SET pace = $2 WHERE store = $1";

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

    /// How fast a store was last seen to be. What another version has kept and this one cannot read counts as nothing.
    pub async fn find_pace(&self, store: &str) -> Result<Option<Pace>> {
        let kept: Option<serde_json::Value> =
            on_pool!(self, pool => sqlx::query_scalar(FIND_PACE).bind(store).fetch_optional(pool).await)?;
        Ok(kept.and_then(|pace| serde_json::from_value(pace).ok()))
    }

    /// Keeps how fast a store that was probed is.
    pub async fn save_pace(&self, store: &str, pace: &Pace) -> Result<()> {
        let pace = serde_json::json!(pace);
        on_pool!(self, pool => sqlx::query(SAVE_PACE).bind(store).bind(&pace).execute(pool).await.map(drop))?;
        Ok(())
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
