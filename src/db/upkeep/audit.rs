//! The audit log: written in batches, read a page at a time, newest first.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Postgres, Sqlite};

use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::access::{ProjectName, ProjectReference};
use crate::domain::audit::{AuditEntry, StoredAuditEntry};

macro_rules! insert {
    ($values:literal) => {
        concat!(
            "INSERT INTO audit_entry (happened_at, username, operation, resource_type, resource, project_name,
                client_address, project_id) ",
            $values
        )
    };
}

/// A round trip for each entry would keep pulls waiting.
const INSERT_ALL: &str = insert!(
    "SELECT entry.*, (SELECT id FROM project WHERE project.name = entry.project_name)
    FROM UNNEST($1::TIMESTAMPTZ[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[])
        AS entry (happened_at, username, operation, resource_type, resource, project_name, client_address)"
);
const INSERT: &str = insert!("VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT id FROM project WHERE name = $6))");

/// The tables of this month and the next one, so that no entry has to wait for its own; and of yesterday's, for entries of
/// before midnight that are still on their way.
const MAKE_COMING_MONTHS: &str = "
    SELECT make_audit_month(now() + distance)
    FROM UNNEST(ARRAY[INTERVAL '-1 day', INTERVAL '0', INTERVAL '1 month']) AS distance";

/// The tables of months that entries need and that are not there: nobody has made them ahead for long, or the entries have
/// waited longer.
const MAKE_MONTHS: &str = "SELECT make_audit_month(happened) FROM UNNEST($1::TIMESTAMPTZ[]) AS happened";

/// From an entry on, which costs the same however far back it is.
macro_rules! select {
    ($which:literal, $before:literal, $limit:literal) => {
        concat!(
            "SELECT id, happened_at, username, operation, resource_type, resource, client_address FROM audit_entry WHERE ",
            $which,
            "id < ",
            $before,
            " ORDER BY id DESC ",
            $limit
        )
    };
}

pub(in crate::db) const OF_PROJECT: &str = select!("project_id = $1 AND ", "$2", "LIMIT $3 OFFSET $4");
pub(in crate::db) const OF_NAME: &str = select!("project_name = $1 AND ", "$2", "LIMIT $3 OFFSET $4");
const ALL: &str = select!("", "$1", "LIMIT $2 OFFSET $3");

/// As many as are counted.
macro_rules! count {
    ($which:literal) => {
        concat!("SELECT COUNT(*) FROM (SELECT 1 FROM audit_entry ", $which, " LIMIT 10000) AS counted")
    };
}
const MOST_COUNTED: u64 = 10_000;
/// As many of one month are told: a count of billions would end at its time limit, and the month would stay.
const MOST_FORGOTTEN: u32 = 1_000_000;

const COUNT_OF_PROJECT: &str = count!("WHERE project_id = $1");
const COUNT_OF_NAME: &str = count!("WHERE project_name = $1");
const COUNT_ALL: &str = count!("");

/// On SQLite.
pub(in crate::db) const FORGET: &str = "
    DELETE FROM audit_entry WHERE id IN (
        SELECT id FROM audit_entry WHERE happened_at <= $1 ORDER BY happened_at LIMIT $2)";

/// Tables of months before the one of `$1`, and how each is detached: some may have been before, or half-way, by somebody
/// who was interrupted.
const OLD_MONTHS: &str = "
    SELECT relname::TEXT, CASE inhdetachpending WHEN TRUE THEN 'FINALIZE' WHEN FALSE THEN 'CONCURRENTLY' END
    FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE relkind = 'r' AND relname ~ '^audit_entry_[0-9]{4}_[0-9]{2}$'
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'audit_entry'::REGCLASS)
        AND relname < to_char($1 AT TIME ZONE 'UTC', '\"audit_entry_\"YYYY_MM')
    ORDER BY relname";

/// One at a time; the connection gives it back. Names of projects are hashed from 0: see `share_count` in the migrations.
const LOCK_MONTHS: &str = "SELECT pg_try_advisory_lock(hashtextextended('forget_audit_entries', 1))";
const UNLOCK_MONTHS: &str = "SELECT pg_advisory_unlock(hashtextextended('forget_audit_entries', 1))";

#[derive(Debug, FromRow)]
struct EntryRow {
    id: i64,
    happened_at: DateTime<Utc>,
    username: String,
    operation: String,
    resource_type: String,
    resource: String,
    client_address: Option<String>,
}

impl Db {
    /// Makes the tables that entries of this month and the next one go into. SQLite needs none.
    pub async fn make_audit_months(&self) -> Result<()> {
        if let Self::Postgres(pool) = self {
            sqlx::query(MAKE_COMING_MONTHS).execute(pool).await?;
        }
        Ok(())
    }

    /// Makes the tables that these entries go into, where clocks or months left without one.
    pub(in crate::db) async fn make_audit_months_of(&self, entries: &[AuditEntry]) -> Result<()> {
        if let Self::Postgres(pool) = self {
            let times: Vec<_> = entries.iter().map(|entry| entry.happened_at).collect();
            sqlx::query(MAKE_MONTHS).bind(times).execute(pool).await?;
        }
        Ok(())
    }

    /// Writes entries: all of them or none. On PostgreSQL it is one statement, which needs no transaction.
    pub async fn insert_audit_entries(&self, entries: &[AuditEntry]) -> Result<()> {
        match self {
            Self::Postgres(pool) => {
                if let Err(error) = insert_all(entries).execute(pool).await {
                    if !is_missing_month(&error) {
                        return Err(error.into());
                    }
                    self.make_audit_months_of(entries).await?;
                    insert_all(entries).execute(pool).await?;
                }
                Ok(())
            }
            Self::Sqlite(pool) => {
                let entries = entries.to_vec();
                in_transaction!(sqlite pool, transaction => {
                    for entry in &entries {
                        insert(entry).execute(&mut *transaction).await?;
                    }
                })
            }
        }
    }

    /// Entries of a project, or all of them, newest first: those before the entry `before`, and of them from `offset` on.
    /// With them how many there are, counted up to 10,000; beyond that it is known whether more follow. By a name also
    /// those of projects that had it before.
    pub async fn audit_entries(
        &self,
        project: Option<&ProjectReference>,
        before: Option<i64>,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<StoredAuditEntry>, u64)> {
        let before = before.unwrap_or(i64::MAX);
        let (most, skipped) = (i64::from(limit) + 1, i64::try_from(offset).unwrap_or(i64::MAX));
        let (mut rows, count): (Vec<EntryRow>, i64) = match project {
            Some(ProjectReference::Id(id)) => on_pool!(self, pool => (
                sqlx::query_as(OF_PROJECT).bind(id).bind(before).bind(most).bind(skipped).fetch_all(pool).await?,
                sqlx::query_scalar(COUNT_OF_PROJECT).bind(id).fetch_one(pool).await?,
            )),
            Some(ProjectReference::Name(name)) => on_pool!(self, pool => (
                sqlx::query_as(OF_NAME).bind(name.as_str()).bind(before).bind(most).bind(skipped).fetch_all(pool).await?,
                sqlx::query_scalar(COUNT_OF_NAME).bind(name.as_str()).fetch_one(pool).await?,
            )),
            None => on_pool!(self, pool => (
                sqlx::query_as(ALL).bind(before).bind(most).bind(skipped).fetch_all(pool).await?,
                sqlx::query_scalar(COUNT_ALL).fetch_one(pool).await?,
            )),
        };
        let count = match count.unsigned_abs() {
            MOST_COUNTED => MOST_COUNTED.max(offset.saturating_add(rows.len() as u64)),
            count => count,
        };
        rows.truncate(limit as usize);
        Ok((rows.into_iter().map(StoredAuditEntry::from).collect(), count))
    }

    /// Forgets entries of `before` or earlier; says how many. On SQLite at most `limit`. On PostgreSQL whole months, as
    /// soon as all of one is that old: an entry may stay for a month longer.
    pub async fn forget_audit_entries(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        match self {
            Self::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                if !sqlx::query_scalar::<_, bool>(LOCK_MONTHS).fetch_one(&mut *connection).await? {
                    return Ok(0);
                }
                let forgotten = forget_months(&mut connection, before).await;
                sqlx::query(UNLOCK_MONTHS).execute(&mut *connection).await?;
                forgotten
            }
            Self::Sqlite(pool) => {
                let forget = sqlx::query(FORGET).bind(before).bind(i64::from(limit));
                Ok(forget.execute(pool).await?.rows_affected())
            }
        }
    }
}

/// One entry, on SQLite.
pub(in crate::db) fn insert(entry: &AuditEntry) -> Query<'_, Sqlite, SqliteArguments> {
    sqlx::query(INSERT)
        .bind(entry.happened_at)
        .bind(&entry.username)
        .bind(entry.action.operation.as_str())
        .bind(entry.action.resource_type.as_str())
        .bind(&entry.action.resource)
        .bind(project(entry))
        .bind(address(entry))
}

/// All entries, on PostgreSQL.
fn insert_all(entries: &[AuditEntry]) -> Query<'_, Postgres, PgArguments> {
    let texts = |text: fn(&AuditEntry) -> &str| entries.iter().map(text).collect::<Vec<_>>();
    sqlx::query(INSERT_ALL)
        .bind(entries.iter().map(|entry| entry.happened_at).collect::<Vec<_>>())
        .bind(texts(|entry| &entry.username))
        .bind(texts(|entry| entry.action.operation.as_str()))
        .bind(texts(|entry| entry.action.resource_type.as_str()))
        .bind(texts(|entry| &entry.action.resource))
        .bind(entries.iter().map(project).collect::<Vec<_>>())
        .bind(entries.iter().map(address).collect::<Vec<_>>())
}

/// An entry that no table takes violates a check that has no name.
pub(in crate::db) fn is_missing_month(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_check_violation() && error.constraint().is_none())
}

/// Neither step locks out whoever writes: a table is detached while others are at it, and then it is nobody's.
async fn forget_months(connection: &mut PgConnection, before: DateTime<Utc>) -> Result<u64> {
    let months: Vec<(String, Option<String>)> =
        sqlx::query_as(OLD_MONTHS).bind(before).fetch_all(&mut *connection).await?;
    let mut forgotten = 0;
    for (month, detached) in months {
        let count = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {month} LIMIT {MOST_FORGOTTEN}) AS counted");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *connection).await?;
        if let Some(how) = detached {
            let detach = format!("ALTER TABLE audit_entry DETACH PARTITION {month} {how}");
            sqlx::raw_sql(AssertSqlSafe(detach)).execute(&mut *connection).await?;
        }
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {month}"))).execute(&mut *connection).await?;
        forgotten += count.unsigned_abs();
    }
    Ok(forgotten)
}

pub(in crate::db) fn project(entry: &AuditEntry) -> Option<&str> {
    entry.action.project.as_ref().map(ProjectName::as_str)
}

pub(in crate::db) fn address(entry: &AuditEntry) -> Option<String> {
    entry.address.map(|address| address.to_string())
}

impl From<EntryRow> for StoredAuditEntry {
    fn from(row: EntryRow) -> Self {
        let EntryRow { id, happened_at, username, operation, resource_type, resource, client_address } = row;
        Self { id, happened_at, username, operation, resource_type, resource, client_address }
    }
}
