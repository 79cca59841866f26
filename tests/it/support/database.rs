//! A database of its own for every trial.

use std::path::Path;

use chrono::TimeDelta;
use overside::domain::clock::Clock;
use overside::domain::digest::Digest;
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use url::Url;
use uuid::Uuid;

use super::prepared;

/// Makes a project, or changes what it may have.
macro_rules! limit_project {
    ($executor:expr, $name:expr, $bytes:expr, $tags:expr) => {
        sqlx::query(
            "INSERT INTO project (name, is_public, storage_limit, count_limit, owner_name, created_at, updated_at)
            VALUES ($1, TRUE, $2, $3, 'somebody', $4, $4)
            ON CONFLICT (name) DO UPDATE SET storage_limit = excluded.storage_limit,
                count_limit = excluded.count_limit",
        )
        .bind($name)
        .bind($bytes)
        .bind($tags)
        .bind(overside::domain::clock::Clock::System.now())
        .execute($executor)
        .await
        .expect("a project")
    };
}
pub(crate) use limit_project;

#[derive(Debug)]
pub enum Database {
    Postgres { server: Url, name: String },
    Sqlite { url: String },
}

impl Database {
    /// A database of its own: migrated, or empty for whoever opens it first.
    pub async fn postgres(server: &Url, is_migrated: bool) -> Self {
        let name = format!("trial_{}", Uuid::now_v7().as_simple());
        let template = if is_migrated { prepared::postgres(server).await } else { "template1" };
        execute(server, format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")).await;
        Self::Postgres { server: server.clone(), name }
    }

    /// The same in a file below `folder`, which is not there where it is not migrated.
    pub async fn sqlite(folder: &Path, is_migrated: bool) -> Self {
        let path = folder.join("overside.db");
        if is_migrated {
            std::fs::write(&path, prepared::sqlite().await).expect("a database's file");
        }
        Self::Sqlite { url: format!("sqlite://{}", path.display()) }
    }

    /// What `--database` takes.
    pub fn url(&self) -> String {
        match self {
            Self::Postgres { server, name } => with_path(server, name).into(),
            Self::Sqlite { url } => url.clone(),
        }
    }

    /// Blobs and completed sessions that something is still to be done for behind their answers.
    pub async fn unsettled(&self) -> i64 {
        const SQL: &str = "
            SELECT (SELECT COUNT(*) FROM blob WHERE sealed_by IS NOT NULL)
                + (SELECT COUNT(*) FROM blob_upload_session WHERE status = 'completed' AND discarded_at IS NULL)";
        let counted = match self {
            Self::Postgres { .. } => {
                let mut connection =
                    PgConnection::connect(&self.url()).await.expect("the test PostgreSQL answers");
                sqlx::query_scalar(SQL).fetch_one(&mut connection).await
            }
            Self::Sqlite { url } if !Path::new(url.trim_start_matches("sqlite://")).exists() => return 0,
            Self::Sqlite { url } => {
                let mut connection = SqliteConnection::connect(url).await.expect("the stack's SQLite opens");
                sqlx::query_scalar(SQL).fetch_one(&mut connection).await
            }
        };
        match counted {
            // A story that never started a server has no tables.
            Err(sqlx::Error::Database(error)) if is_missing_table(&*error) => 0,
            counted => counted.expect("the database tells what is left to do"),
        }
    }

    /// Writes past the service, with a time for `$1` and for `$2` that lies so far from now; says how many rows.
    pub async fn write(&self, sql: &'static str, [first, second]: [TimeDelta; 2]) -> u64 {
        let now = Clock::System.now();
        match self {
            Self::Postgres { .. } => {
                let mut connection =
                    PgConnection::connect(&self.url()).await.expect("the test PostgreSQL answers");
                let done =
                    sqlx::query(sql).bind(now + first).bind(now + second).execute(&mut connection).await;
                done.expect(sql).rows_affected()
            }
            Self::Sqlite { url } => {
                let mut connection = SqliteConnection::connect(url).await.expect("the stack's SQLite opens");
                let done =
                    sqlx::query(sql).bind(now + first).bind(now + second).execute(&mut connection).await;
                done.expect(sql).rows_affected()
            }
        }
    }

    /// Sets what a project may have, in bytes and in tags; -1 for no limit.
    pub async fn limit(&self, project: &str, [bytes, tags]: [i64; 2]) {
        match self {
            Self::Postgres { .. } => {
                let mut connection =
                    PgConnection::connect(&self.url()).await.expect("the test PostgreSQL answers");
                limit_project!(&mut connection, project, bytes, tags);
            }
            Self::Sqlite { url } => {
                let mut connection = SqliteConnection::connect(url).await.expect("the stack's SQLite opens");
                limit_project!(&mut connection, project, bytes, tags);
            }
        }
    }

    /// Whatever is in it, as text: for what must not be.
    pub async fn dump(&self) -> String {
        const TABLES: &str =
            "SELECT table_name::TEXT FROM information_schema.tables WHERE table_schema = 'public'";
        match self {
            Self::Postgres { .. } => {
                let mut connection =
                    PgConnection::connect(&self.url()).await.expect("the test PostgreSQL answers");
                let tables: Vec<String> =
                    sqlx::query_scalar(TABLES).fetch_all(&mut connection).await.expect("tables");
                let mut dump = String::new();
                for table in tables {
                    let rows = AssertSqlSafe(format!("SELECT CAST(entry AS TEXT) FROM \"{table}\" AS entry"));
                    let rows: Vec<String> =
                        sqlx::query_scalar(rows).fetch_all(&mut connection).await.expect("rows");
                    dump.extend(rows);
                }
                dump
            }
            Self::Sqlite { url } => {
                let path = url.trim_start_matches("sqlite://");
                let files = [path.to_owned(), format!("{path}-wal")];
                let bytes: Vec<u8> =
                    files.iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }

    /// Writes past the service; says how many rows.
    pub async fn run(&self, sql: String) -> u64 {
        let done = match self {
            Self::Postgres { .. } => {
                let mut connection =
                    PgConnection::connect(&self.url()).await.expect("the test PostgreSQL answers");
                sqlx::query(AssertSqlSafe(sql))
                    .execute(&mut connection)
                    .await
                    .map(|done| done.rows_affected())
            }
            Self::Sqlite { url } => {
                let mut connection = SqliteConnection::connect(url).await.expect("the stack's SQLite opens");
                sqlx::query(AssertSqlSafe(sql))
                    .execute(&mut connection)
                    .await
                    .map(|done| done.rows_affected())
            }
        };
        done.expect("it can be written")
    }

    /// Reads a column of texts past the service.
    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        let texts = match self {
            Self::Postgres { .. } => {
                let mut connection =
                    PgConnection::connect(&self.url()).await.expect("the test PostgreSQL answers");
                sqlx::query_scalar(sql).fetch_all(&mut connection).await
            }
            Self::Sqlite { url } => {
                let mut connection = SqliteConnection::connect(url).await.expect("the stack's SQLite opens");
                sqlx::query_scalar(sql).fetch_all(&mut connection).await
            }
        };
        texts.expect(sql)
    }

    /// A digest, as a statement has it.
    pub fn bytes(&self, digest: &Digest) -> String {
        match self {
            Self::Postgres { .. } => format!("decode('{}', 'hex')", digest.hex()),
            Self::Sqlite { .. } => format!("x'{}'", digest.hex()),
        }
    }

    /// The hexadecimal digits of a column.
    pub fn hex(&self, column: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("encode({column}, 'hex')"),
            Self::Sqlite { .. } => format!("lower(hex({column}))"),
        }
    }

    /// Removes what would otherwise pile up in a server that outlives the trial.
    pub async fn remove(&self) {
        if let Self::Postgres { server, name } = self {
            execute(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

fn is_missing_table(error: &dyn DatabaseError) -> bool {
    // `undefined_table` of PostgreSQL; SQLite has no code of its own for that.
    error.code().is_some_and(|code| code == "42P01") || error.message().starts_with("no such table")
}

pub fn with_path(server: &Url, name: &str) -> Url {
    let mut url = server.clone();
    url.set_path(name);
    url
}

pub async fn execute(server: &Url, statement: String) {
    let mut connection = PgConnection::connect(server.as_str()).await.expect("the test PostgreSQL answers");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a database of our own");
}
