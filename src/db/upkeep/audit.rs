//! The audit log: written in batches, read a page at a time, newest first.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::text::Text;
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::access::{ProjectName, ProjectReference};
use crate::domain::audit::{AuditEntry, StoredAuditEntry};

macro_rules! insert {
    ($values:literal) => {
        concat!(
            "INSERT INTO audit_entry
                (happened_at, username, operation, resource_type, resource, project_name, client_address) ",
            $values
        )
    };
}

/// A round trip for each entry would keep pulls waiting.
const INSERT_ALL: &str = insert!(
    "SELECT * FROM UNNEST($1::TIMESTAMPTZ[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[])"
);
const INSERT: &str = insert!("VALUES ($1, $2, $3, $4, $5, $6, $7)");

macro_rules! select {
    ($which:literal, $limit:literal) => {
        concat!(
            "SELECT id, happened_at, username, operation, resource_type, resource, client_address FROM audit_entry ",
            $which,
            " ORDER BY id DESC ",
            $limit
        )
    };
}

pub(in crate::db) const OF_PROJECT: &str = select!("WHERE project_id = $1", "LIMIT $2 OFFSET $3");
pub(in crate::db) const OF_NAME: &str = select!("WHERE project_name = $1", "LIMIT $2 OFFSET $3");
const ALL: &str = select!("", "LIMIT $1 OFFSET $2");
const COUNT_OF_PROJECT: &str = "SELECT COUNT(*) FROM audit_entry WHERE project_id = $1";
const COUNT_OF_NAME: &str = "SELECT COUNT(*) FROM audit_entry WHERE project_name = $1";
const COUNT_ALL: &str = "SELECT COUNT(*) FROM audit_entry";

/// Several cleaners each take entries that the others have not locked. PostgreSQL gets an array: told a list of unknown
/// length, it would rather read the whole table.
pub(in crate::db) const FORGET: Text = Text {
    postgres: "DELETE FROM audit_entry WHERE id = ANY (ARRAY (
            SELECT id FROM audit_entry WHERE happened_at <= $1 ORDER BY happened_at LIMIT $2
            FOR UPDATE SKIP LOCKED))",
    sqlite: "DELETE FROM audit_entry WHERE id IN (
            SELECT id FROM audit_entry WHERE happened_at <= $1 ORDER BY happened_at LIMIT $2)",
};

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
    /// Writes entries, all of them or none.
    pub async fn insert_audit_entries(&self, entries: &[AuditEntry]) -> Result<()> {
        match self {
            Self::Postgres(pool) => {
                let texts = |text: fn(&AuditEntry) -> &str| entries.iter().map(text).collect::<Vec<_>>();
                sqlx::query(INSERT_ALL)
                    .bind(entries.iter().map(|entry| entry.happened_at).collect::<Vec<_>>())
                    .bind(texts(|entry| &entry.username))
                    .bind(texts(|entry| entry.deed.operation.as_str()))
                    .bind(texts(|entry| entry.deed.resource_type.as_str()))
                    .bind(texts(|entry| &entry.deed.resource))
                    .bind(entries.iter().map(project).collect::<Vec<_>>())
                    .bind(entries.iter().map(address).collect::<Vec<_>>())
                    .execute(pool)
                    .await?;
                Ok(())
            }
            Self::Sqlite(pool) => {
                let entries = entries.to_vec();
                in_transaction!(sqlite pool, transaction => {
                    for entry in &entries {
                        sqlx::query(INSERT)
                            .bind(entry.happened_at)
                            .bind(&entry.username)
                            .bind(entry.deed.operation.as_str())
                            .bind(entry.deed.resource_type.as_str())
                            .bind(&entry.deed.resource)
                            .bind(project(entry))
                            .bind(address(entry))
                            .execute(&mut *transaction)
                            .await?;
                    }
                })
            }
        }
    }

    /// Entries of a project, or all of them, newest first; with them how many there are. By a name also those of projects
    /// that had it before.
    pub async fn audit_entries(
        &self,
        project: Option<&ProjectReference>,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<StoredAuditEntry>, u64)> {
        let (limit, offset) = (i64::from(limit), i64::try_from(offset).unwrap_or(i64::MAX));
        let (rows, count): (Vec<EntryRow>, i64) = match project {
            Some(ProjectReference::Id(id)) => on_pool!(self, pool => (
                sqlx::query_as(OF_PROJECT).bind(id).bind(limit).bind(offset).fetch_all(pool).await?,
                sqlx::query_scalar(COUNT_OF_PROJECT).bind(id).fetch_one(pool).await?,
            )),
            Some(ProjectReference::Name(name)) => on_pool!(self, pool => (
                sqlx::query_as(OF_NAME).bind(name.as_str()).bind(limit).bind(offset).fetch_all(pool).await?,
                sqlx::query_scalar(COUNT_OF_NAME).bind(name.as_str()).fetch_one(pool).await?,
            )),
            None => on_pool!(self, pool => (
                sqlx::query_as(ALL).bind(limit).bind(offset).fetch_all(pool).await?,
                sqlx::query_scalar(COUNT_ALL).fetch_one(pool).await?,
            )),
        };
        Ok((rows.into_iter().map(StoredAuditEntry::from).collect(), count.unsigned_abs()))
    }

    /// Deletes entries of `before` or earlier, at most `limit`; says how many.
    pub async fn forget_audit_entries(&self, before: DateTime<Utc>, limit: u32) -> Result<u64> {
        let sql = self.text(FORGET);
        Ok(on_pool!(self, pool => sqlx::query(sql)
            .bind(before)
            .bind(i64::from(limit))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?)
    }
}

fn project(entry: &AuditEntry) -> Option<&str> {
    entry.deed.project.as_ref().map(ProjectName::as_str)
}

fn address(entry: &AuditEntry) -> Option<String> {
    entry.address.map(|address| address.to_string())
}

impl From<EntryRow> for StoredAuditEntry {
    fn from(row: EntryRow) -> Self {
        let EntryRow { id, happened_at, username, operation, resource_type, resource, client_address } = row;
        Self { id, happened_at, username, operation, resource_type, resource, client_address }
    }
}
