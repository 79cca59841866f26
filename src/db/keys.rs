//! Secrets that all replicas share, made by whichever needs one first.

use chrono::{DateTime, Utc};

use super::{Db, Result, corrupt, on_pool};

const INSERT: &str = "INSERT INTO signing_key (purpose, secret, created_at) VALUES ($1, $2, $3) ON CONFLICT (purpose) DO NOTHING";
const FIND: &str = "SELECT secret FROM signing_key WHERE purpose = $1";

impl Db {
    /// The key for `purpose`: the stored one, or `fresh` if there was none.
    pub async fn signing_key<const N: usize>(
        &self,
        purpose: &'static str,
        fresh: [u8; N],
        now: DateTime<Utc>,
    ) -> Result<[u8; N]> {
        on_pool!(self, pool =>
            sqlx::query(INSERT).bind(purpose).bind(fresh.to_vec()).bind(now).execute(pool).await.map(drop))?;
        let stored: Vec<u8> =
            on_pool!(self, pool => sqlx::query_scalar(FIND).bind(purpose).fetch_one(pool).await)?;
        stored.try_into().map_err(|stored: Vec<u8>| {
            let reason = format!("has {} bytes instead of {N}", stored.len());
            corrupt("signing_key", "secret", &purpose, &reason)
        })
    }
}
