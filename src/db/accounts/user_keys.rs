//! Public keys that users sign in with, and the nonces that were.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::accounts::authorization::UserAccount;
use crate::db::{Db, DbError, Inserted, Result, corrupt, on_pool};
use crate::domain::ssh_key::{SshKey, SshKeyLine, UserKey};

/// None where somebody has the key, and where there is no such user.
const INSERT: &str = "
    INSERT INTO user_key (user_id, comment, public_key, created_at)
    SELECT id, $2, $3, $4 FROM user_account WHERE id = $1
    ON CONFLICT (public_key) DO NOTHING RETURNING id";
const LIST: &str = "
    SELECT id, comment, public_key, created_at FROM user_key WHERE user_id = $1 ORDER BY id LIMIT $2 OFFSET $3";
const COUNT: &str = "SELECT COUNT(*) FROM user_key WHERE user_id = $1";
const DELETE: &str = "DELETE FROM user_key WHERE user_id = $1 AND id = $2";
const FIND_KEY: &str = "
    SELECT user_account.id, user_account.name, user_account.password_hash, user_account.is_admin,
        user_key.id AS key_id
    FROM user_key JOIN user_account ON user_account.id = user_key.user_id WHERE user_key.public_key = $1";
/// Of two that bring the same, one inserts it.
const USE_NONCE: &str = "
    INSERT INTO used_nonce (key_id, nonce_hash, used_at)
    SELECT id, $2, $3 FROM user_key WHERE id = $1 ON CONFLICT DO NOTHING";
const FORGET: &str = "DELETE FROM used_nonce WHERE used_at < $1";

/// A key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct KeyAccount {
    #[sqlx(flatten)]
    pub user: UserAccount,
    pub key_id: i64,
}

#[derive(Debug, FromRow)]
struct KeyRow {
    id: i64,
    comment: String,
    public_key: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl TryFrom<KeyRow> for UserKey {
    type Error = DbError;

    fn try_from(row: KeyRow) -> Result<Self> {
        let KeyRow { id, comment, public_key, created_at } = row;
        let length = || corrupt("user_key", "public_key", &id, &"has another length");
        Ok(Self { id, key: SshKey::from_bytes(&public_key).ok_or_else(length)?, comment, created_at })
    }
}

impl Db {
    pub async fn insert_user_key(
        &self,
        user: i64,
        line: &SshKeyLine,
        now: DateTime<Utc>,
    ) -> Result<Inserted> {
        let id: Option<i64> = on_pool!(self, pool => sqlx::query_scalar(INSERT)
            .bind(user)
            .bind(&line.comment)
            .bind(line.key.as_bytes())
            .bind(now)
            .fetch_optional(pool)
            .await)?;
        Ok(id.into())
    }

    /// A user's keys, the oldest first, and how many there are in all.
    pub async fn user_keys(&self, user: i64, limit: u32, offset: u64) -> Result<(Vec<UserKey>, u64)> {
        let rows: Vec<KeyRow> = on_pool!(self, pool => sqlx::query_as(LIST)
            .bind(user)
            .bind(i64::from(limit))
            .bind(offset.cast_signed())
            .fetch_all(pool)
            .await)?;
        let count: i64 = on_pool!(self, pool => sqlx::query_scalar(COUNT).bind(user).fetch_one(pool).await)?;
        let keys = rows.into_iter().map(UserKey::try_from).collect::<Result<_>>()?;
        Ok((keys, count.unsigned_abs()))
    }

    /// False when the user has no such key.
    pub async fn delete_user_key(&self, user: i64, id: i64) -> Result<bool> {
        let deleted = on_pool!(self, pool =>
            sqlx::query(DELETE).bind(user).bind(id).execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }

    pub async fn find_key_account(&self, key: &SshKey) -> Result<Option<KeyAccount>> {
        Ok(on_pool!(self, pool => sqlx::query_as(FIND_KEY).bind(key.as_bytes()).fetch_optional(pool).await)?)
    }

    /// False when a nonce was used before with this key.
    pub async fn use_nonce(&self, key: i64, hash: [u8; 32], now: DateTime<Utc>) -> Result<bool> {
        let used = on_pool!(self, pool => sqlx::query(USE_NONCE)
            .bind(key)
            .bind(hash.as_slice())
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(used > 0)
    }

    /// Forgets nonces that were used before then.
    pub async fn forget_nonces(&self, before: DateTime<Utc>) -> Result<()> {
        on_pool!(self, pool => sqlx::query(FORGET).bind(before).execute(pool).await.map(drop))?;
        Ok(())
    }
}
