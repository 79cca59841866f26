//! Sessions of browsers, by the hashes of their ids.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::accounts::authorization::UserAccount;
use crate::db::text::Text;
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::secret::SecretHash;

/// Only while the password is still the one that was proven. Whoever changes it waits, and then ends this session too.
macro_rules! insert {
    ($lock:literal) => {
        concat!(
            "INSERT INTO browser_session (id_hash, user_id, expires_at, ends_at)
            SELECT $1, id, $4, $5 FROM user_account WHERE id = $2 AND password_hash = $3",
            $lock
        )
    };
}
const INSERT: Text = Text { postgres: insert!(" FOR SHARE"), sqlite: insert!("") };
const KEEP_NEWEST: &str = "
    DELETE FROM browser_session WHERE user_id = $1 AND id_hash NOT IN (
        SELECT id_hash FROM browser_session WHERE user_id = $1 ORDER BY ends_at DESC LIMIT $2)";
const FIND: &str = "
    SELECT user_account.id, user_account.name, user_account.password_hash, user_account.is_admin,
        browser_session.expires_at, browser_session.ends_at
    FROM browser_session JOIN user_account ON user_account.id = browser_session.user_id
    WHERE browser_session.id_hash = $1 AND browser_session.expires_at > $2";
const RENEW: &str = "UPDATE browser_session SET expires_at = $2 WHERE id_hash = $1 AND expires_at < $2";
const END: &str = "DELETE FROM browser_session WHERE id_hash = $1";
/// PostgreSQL leaves out what others hold: it waits for nobody who may wait for it.
const FORGET: Text = Text {
    postgres: "
        DELETE FROM browser_session WHERE id_hash IN (
            SELECT id_hash FROM browser_session WHERE expires_at <= $1 FOR UPDATE SKIP LOCKED)",
    sqlite: "DELETE FROM browser_session WHERE expires_at <= $1",
};

/// A session and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct BrowserSession {
    #[sqlx(flatten)]
    pub user: UserAccount,
    /// Unless another request comes before.
    pub expires_at: DateTime<Utc>,
    /// The latest that requests move that to.
    pub ends_at: DateTime<Utc>,
}

impl Db {
    /// Begins a session, and ends the oldest of the user's beyond `most`. False where the password is another by now.
    pub async fn insert_browser_session(
        &self,
        id: &SecretHash,
        user: i64,
        password_hash: &str,
        (expires_at, ends_at): (DateTime<Utc>, DateTime<Utc>),
        most: u32,
    ) -> Result<bool> {
        let (insert, id, password_hash) = (self.text(INSERT), id.0, password_hash.to_owned());
        in_transaction!(self, transaction => {
            let inserted = sqlx::query(insert)
                .bind(id.as_slice())
                .bind(user)
                .bind(password_hash)
                .bind(expires_at)
                .bind(ends_at)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(KEEP_NEWEST).bind(user).bind(i64::from(most)).execute(&mut *transaction).await?;
            inserted.rows_affected() > 0
        })
    }

    /// A session that has not ended.
    pub async fn find_browser_session(
        &self,
        id: &SecretHash,
        now: DateTime<Utc>,
    ) -> Result<Option<BrowserSession>> {
        Ok(on_pool!(self, pool =>
            sqlx::query_as(FIND).bind(id.0.as_slice()).bind(now).fetch_optional(pool).await)?)
    }

    /// Moves a session's end.
    pub async fn renew_browser_session(&self, id: &SecretHash, expires_at: DateTime<Utc>) -> Result<()> {
        on_pool!(self, pool =>
            sqlx::query(RENEW).bind(id.0.as_slice()).bind(expires_at).execute(pool).await.map(drop))?;
        Ok(())
    }

    pub async fn end_browser_session(&self, id: &SecretHash) -> Result<()> {
        on_pool!(self, pool => sqlx::query(END).bind(id.0.as_slice()).execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Forgets those that have ended by then.
    pub async fn forget_browser_sessions(&self, now: DateTime<Utc>) -> Result<()> {
        let forget = self.text(FORGET);
        on_pool!(self, pool => sqlx::query(forget).bind(now).execute(pool).await.map(drop))?;
        Ok(())
    }
}
