//! Personal access tokens: their hashes.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, Result, on_pool};
use crate::domain::account::AccessToken;
use crate::domain::secret::SecretHash;

/// None where the user has one of that name.
const INSERT: &str = "
    INSERT INTO access_token (id, user_id, name, secret_hash, created_at, expires_at)
    SELECT $1, id, $3, $4, $5, $6 FROM user_account WHERE id = $2
    ON CONFLICT (user_id, name) DO NOTHING";
const LIST: &str = "
    SELECT id, name, created_at, expires_at FROM access_token WHERE user_id = $1 ORDER BY name
    LIMIT $2 OFFSET $3";
const COUNT: &str = "SELECT COUNT(*) FROM access_token WHERE user_id = $1";
const DELETE: &str = "DELETE FROM access_token WHERE user_id = $1 AND id = $2";

#[derive(Debug, FromRow)]
struct TokenRow {
    id: Uuid,
    name: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

impl Db {
    /// False when the user has one of that name.
    pub async fn insert_access_token(
        &self,
        user: i64,
        token: &AccessToken,
        secret_hash: &SecretHash,
    ) -> Result<bool> {
        let inserted = on_pool!(self, pool => sqlx::query(INSERT)
            .bind(token.id)
            .bind(user)
            .bind(&token.name)
            .bind(secret_hash.0.as_slice())
            .bind(token.created_at)
            .bind(token.expires_at)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(inserted > 0)
    }

    /// A user's tokens in the order of their names, and how many there are in all.
    pub async fn access_tokens(&self, user: i64, limit: u32, offset: u64) -> Result<(Vec<AccessToken>, u64)> {
        let rows: Vec<TokenRow> = on_pool!(self, pool => sqlx::query_as(LIST)
            .bind(user)
            .bind(i64::from(limit))
            .bind(offset.cast_signed())
            .fetch_all(pool)
            .await)?;
        let count: i64 = on_pool!(self, pool => sqlx::query_scalar(COUNT).bind(user).fetch_one(pool).await)?;
        let token =
            |TokenRow { id, name, created_at, expires_at }| AccessToken { id, name, created_at, expires_at };
        Ok((rows.into_iter().map(token).collect(), count.unsigned_abs()))
    }

    /// False when the user has no such token.
    pub async fn delete_access_token(&self, user: i64, id: Uuid) -> Result<bool> {
        let deleted = on_pool!(self, pool => sqlx::query(DELETE)
            .bind(user)
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }
}
