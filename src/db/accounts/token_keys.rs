//! The keys that access tokens are signed with, shared by all replicas.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::secret::StoredKey;

const ALL: &str = "SELECT key_id, private_key, created_at FROM token_key";
const INSERT: &str = "
    INSERT INTO token_key (key_id, private_key, created_at)
    SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM token_key WHERE created_at > $4)";
const FORGET: &str = "DELETE FROM token_key WHERE created_at <= $1";

#[derive(FromRow)]
struct KeyRow {
    key_id: Uuid,
    private_key: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl Db {
    pub async fn token_keys(&self) -> Result<Vec<StoredKey>> {
        let rows: Vec<KeyRow> = on_pool!(self, pool => sqlx::query_as(ALL).fetch_all(pool).await)?;
        let key = |row: KeyRow| StoredKey {
            id: row.key_id,
            private_key: row.private_key,
            created_at: row.created_at,
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Adds a key unless there is one made after `unless_since`, and forgets those made at `before` or earlier. Two
    /// replicas that rotate at once may add one each, which does no harm.
    pub async fn rotate_token_key(
        &self,
        fresh: StoredKey,
        unless_since: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<()> {
        in_transaction!(self, transaction => {
            sqlx::query(INSERT)
                .bind(fresh.id)
                .bind(fresh.private_key)
                .bind(fresh.created_at)
                .bind(unless_since)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(FORGET).bind(before).execute(&mut *transaction).await?;
        })
    }
}
