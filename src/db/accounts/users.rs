//! Users, and the first of them.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::accounts::ends::{OF_USER, end_all};
use crate::db::text::Text;
use crate::db::{Db, Inserted, Result, in_transaction, on_pool};
use crate::domain::account::{FederatedIdentity, User, UserName};

macro_rules! select_user {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, is_admin, password_hash IS NOT NULL AS has_password, oidc_issuer, oidc_subject, created_at
            FROM user_account ",
            $rest
        )
    };
}

const FIND: &str = select_user!("WHERE id = $1");
const FIND_BY_NAME: &str = select_user!("WHERE name = $1");
const LIST: &str = select_user!("ORDER BY name LIMIT $1 OFFSET $2");
const COUNT: &str = "SELECT COUNT(*) FROM user_account";
const EXIST: &str = "SELECT EXISTS (SELECT 1 FROM user_account)";

/// Whatever makes it one that is there already, its name or its identity.
const INSERT: &str = "
    INSERT INTO user_account (name, password_hash, is_admin, oidc_issuer, oidc_subject, created_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id";

/// Of replicas that start at once, the one whose row has the name first.
const INSERT_FIRST: &str = "
    INSERT INTO user_account (name, password_hash, is_admin, created_at)
    SELECT $1, $2, TRUE, $3 WHERE NOT EXISTS (SELECT 1 FROM user_account)
    ON CONFLICT DO NOTHING RETURNING id";

/// Held until the transaction ends: of two administrators who remove each other at once, one waits and stays.
const LOCK_ADMINISTRATORS: Text = Text {
    postgres: "SELECT id FROM user_account WHERE is_admin ORDER BY id FOR UPDATE",
    sqlite: "SELECT id FROM user_account WHERE is_admin",
};

const SET_PASSWORD: &str = "UPDATE user_account SET password_hash = $2 WHERE id = $1";
const END_BROWSER_SESSIONS: &str = "DELETE FROM browser_session WHERE user_id = $1";
const SET_ADMIN: &str = "UPDATE user_account SET is_admin = $2 WHERE id = $1";
const DELETE: &str = "DELETE FROM user_account WHERE id = $1 RETURNING name";

/// What became of a wish to take a user's account, or their right to run the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountChange {
    Done,
    /// There is no such user.
    Unknown,
    /// Nobody else runs the service: the user stays what they are.
    LastAdministrator,
}

impl AccountChange {
    const fn done(is_done: bool) -> Self {
        if is_done { Self::Done } else { Self::Unknown }
    }
}

#[derive(Debug, FromRow)]
struct UserRow {
    id: i64,
    name: String,
    is_admin: bool,
    has_password: bool,
    oidc_issuer: Option<String>,
    oidc_subject: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let identity = row.oidc_issuer.zip(row.oidc_subject);
        Self {
            id: row.id,
            name: row.name,
            is_admin: row.is_admin,
            has_password: row.has_password,
            identity: identity.map(|(issuer, subject)| FederatedIdentity { issuer, subject }),
            created_at: row.created_at,
        }
    }
}

impl Db {
    pub async fn find_user(&self, id: i64) -> Result<Option<User>> {
        let row: Option<UserRow> =
            on_pool!(self, pool => sqlx::query_as(FIND).bind(id).fetch_optional(pool).await)?;
        Ok(row.map(User::from))
    }

    pub async fn find_user_by_name(&self, name: &str) -> Result<Option<User>> {
        let row: Option<UserRow> =
            on_pool!(self, pool => sqlx::query_as(FIND_BY_NAME).bind(name).fetch_optional(pool).await)?;
        Ok(row.map(User::from))
    }

    /// Users in the order of their names, and how many there are in all.
    pub async fn users(&self, limit: u32, offset: u64) -> Result<(Vec<User>, u64)> {
        let rows: Vec<UserRow> = on_pool!(self, pool => sqlx::query_as(LIST)
            .bind(i64::from(limit))
            .bind(offset.cast_signed())
            .fetch_all(pool)
            .await)?;
        let count: i64 = on_pool!(self, pool => sqlx::query_scalar(COUNT).fetch_one(pool).await)?;
        Ok((rows.into_iter().map(User::from).collect(), count.unsigned_abs()))
    }

    pub async fn has_users(&self) -> Result<bool> {
        Ok(on_pool!(self, pool => sqlx::query_scalar(EXIST).fetch_one(pool).await)?)
    }

    pub async fn insert_user(
        &self,
        name: &UserName,
        password_hash: Option<&str>,
        is_admin: bool,
        identity: Option<&FederatedIdentity>,
        now: DateTime<Utc>,
    ) -> Result<Inserted> {
        let (name, password_hash) = (name.clone(), password_hash.map(str::to_owned));
        let (issuer, subject) = identity.cloned().map(|identity| (identity.issuer, identity.subject)).unzip();
        in_transaction!(self, transaction => {
            let id: Option<i64> = sqlx::query_scalar(INSERT)
                .bind(name.as_str())
                .bind(&password_hash)
                .bind(is_admin)
                .bind(&issuer)
                .bind(&subject)
                .bind(now)
                .fetch_optional(&mut *transaction)
                .await?;
            if id.is_some() {
                end_all!(transaction, OF_USER, name.as_str(), now);
            }
            Inserted::from(id)
        })
    }

    /// An administrator, unless there is any user.
    pub async fn insert_first_user(
        &self,
        name: &UserName,
        password_hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Inserted> {
        let id: Option<i64> = on_pool!(self, pool => sqlx::query_scalar(INSERT_FIRST)
            .bind(name.as_str())
            .bind(password_hash)
            .bind(now)
            .fetch_optional(pool)
            .await)?;
        Ok(id.into())
    }

    /// Ends what browsers have signed in to with the old one. False when there is no such user.
    pub async fn set_password(&self, id: i64, password_hash: &str) -> Result<bool> {
        let password_hash = password_hash.to_owned();
        in_transaction!(self, transaction => {
            let update = sqlx::query(SET_PASSWORD).bind(id).bind(password_hash);
            let updated = update.execute(&mut *transaction).await?;
            sqlx::query(END_BROWSER_SESSIONS).bind(id).execute(&mut *transaction).await?;
            updated.rows_affected() > 0
        })
    }

    /// Lets a user run the service, or no longer.
    pub async fn set_administrator(&self, id: i64, is_admin: bool) -> Result<AccountChange> {
        let lock = self.text(LOCK_ADMINISTRATORS);
        in_transaction!(self, transaction => {
            if !is_admin {
                let administrators: Vec<i64> = sqlx::query_scalar(lock).fetch_all(&mut *transaction).await?;
                if administrators == [id] {
                    return Ok(AccountChange::LastAdministrator);
                }
            }
            let updated = sqlx::query(SET_ADMIN).bind(id).bind(is_admin).execute(&mut *transaction).await?;
            AccountChange::done(updated.rows_affected() > 0)
        })
    }

    /// With tokens, memberships and open sessions.
    pub async fn delete_user(&self, id: i64, now: DateTime<Utc>) -> Result<AccountChange> {
        let lock = self.text(LOCK_ADMINISTRATORS);
        in_transaction!(self, transaction => {
            let administrators: Vec<i64> = sqlx::query_scalar(lock).fetch_all(&mut *transaction).await?;
            if administrators == [id] {
                return Ok(AccountChange::LastAdministrator);
            }
            let name: Option<String> =
                sqlx::query_scalar(DELETE).bind(id).fetch_optional(&mut *transaction).await?;
            if let Some(name) = &name {
                end_all!(transaction, OF_USER, name, now);
            }
            AccountChange::done(name.is_some())
        })
    }
}
