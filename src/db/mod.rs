//! The database: rows in, domain types out. PostgreSQL or SQLite, one SQL text for both.
//!
//! Whatever asks it fails with [`DbError::Unavailable`] where it does not answer, and with [`DbError::Corrupt`] where a row
//! is none of ours. A method says what else it may fail by.
#![expect(clippy::missing_errors_doc, reason = "a hundred statements fail alike, as the lines above say")]

// Users, projects, robots, and what they sign in with.
mod accounts;
// The clock that all replicas share.
mod clock;
// Secrets that all replicas share.
mod keys;
// The hot statements by name, for the tests of their plans.
mod plans;
// Blobs, manifests, tags and files.
mod registry;
// Rows of upload sessions.
mod rows;
// The files of an SQLite database.
mod sqlite_file;
// A statement's two texts.
mod text;
// The audit log, chores, quotas, settings.
mod upkeep;
// From a session's row to the blob in its place.
mod uploads;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::domain::quota::QuotaExceeded;

pub use accounts::authorization::{ProjectAccess, RobotAccount, TokenAccount, UserAccount};
pub use accounts::browser_sessions::BrowserSession;
pub use accounts::projects::DeletedProject;
pub use accounts::robots::RobotFilter;
pub use accounts::user_keys::KeyAccount;
pub use accounts::users::AccountChange;
pub use accounts::visible_projects::ProjectFilter;
pub use registry::files::DeletedFiles;
pub use registry::hub::{Advanced, FoundHubRepository};
pub use registry::links::{Link, Unlinked};
pub use registry::manifests::{Deleted, ManifestDescription, Pushed, StoredManifest};
pub use registry::readers::Reader;
pub use registry::referrers::Referrer;
pub use registry::removal::Stored;
pub use upkeep::probes::StoreProbe;
pub use upkeep::webhook_queues::EventEnd;
pub use uploads::commit::Committed;
pub use uploads::placing::Unplaced;
pub use uploads::sessions::{Begun, NewSession};
pub use uploads::sweep::Expired;

/// A newer replica may have migrated further: what it added is not this one's to miss.
static POSTGRES_MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| tolerant(sqlx::migrate!("migrations/postgres")));
static SQLITE_MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| tolerant(sqlx::migrate!("migrations/sqlite")));

fn tolerant(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

/// Waiting for a free connection before a request is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite has one writer; a statement that waits longer than this meets a stuck one.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Readers beside SQLite's one writer.
const SQLITE_CONNECTIONS: u32 = 8;

/// What no statement of ours exceeds that is well: one that does is ended by the server, so that it does not hold what
/// others need. Counting a project anew takes the longest, minutes for tens of millions of blobs.
const STATEMENT_TIMEOUT: &str = "10min";
/// Locks are held for milliseconds, and while a project is counted anew for as long as that takes.
const LOCK_TIMEOUT: &str = "1min";
/// Between the statements of a transaction nothing waits for a client or a store: who is silent for so long is gone.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "1min";

/// A connection that has been idle for longer is asked whether it still is one. Under load none is, and no
/// request pays a round trip for it; a PostgreSQL that restarts is away for about as long.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// A pool of connections to the one database that all replicas share.
#[derive(Debug, Clone)]
pub enum Db {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// A database failure. The text is safe to show; the cause is for the log.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It does not answer, or not in time, or refuses the statement.
    #[error("the database failed")]
    Unavailable(#[from] sqlx::Error),
    #[error("the database could not be migrated")]
    Migration(#[from] MigrateError),
    /// A row holds what none of ours can.
    #[error("table {table}, column {column}, row {row}: {reason}")]
    Corrupt { table: &'static str, column: &'static str, row: String, reason: String },
    #[error("a database URL begins with postgres:// or sqlite://")]
    UnknownScheme,
    #[error("there is no database at {0}")]
    Missing(PathBuf),
    /// No failure of the database: what was to be written does not fit into its project, and was not written.
    #[error(transparent)]
    QuotaExceeded(Box<QuotaExceeded>),
    #[error(
        "the database took {0:?} to tell the time, so nobody knows what it is; try again once it is less busy"
    )]
    SlowClock(Duration),
    #[error("the database task ended early")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl DbError {
    /// Whether a row holds what none can: asking again changes nothing.
    #[must_use]
    pub const fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Unavailable(sqlx::Error::ColumnDecode { .. }))
    }

    /// Whether the database could not write for want of room.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        // `disk_full` of PostgreSQL; SQLITE_FULL.
        error.code().is_some_and(|code| matches!(&*code, "53100" | "13"))
    }
}

type Result<T> = std::result::Result<T, DbError>;

/// The error of a row that holds what none can.
fn corrupt(table: &'static str, column: &'static str, row: &dyn Display, reason: &dyn Display) -> DbError {
    DbError::Corrupt { table, column, row: row.to_string(), reason: reason.to_string() }
}

/// What became of a wish to add something that has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// With the id it got.
    Created(i64),
    /// There is one already.
    Exists,
}

impl From<Option<i64>> for Inserted {
    fn from(id: Option<i64>) -> Self {
        id.map_or(Self::Exists, Self::Created)
    }
}

/// Runs one expression on whichever pool it is.
macro_rules! on_pool {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Postgres($pool) => $body,
            $crate::db::Db::Sqlite($pool) => $body,
        }
    };
}
use on_pool;

/// Runs statements in one transaction and commits; an error rolls back. The block is compiled for either database
/// and gives what the transaction comes to.
///
/// In a task of its own: sqlx 0.9.0's `begin` is not safe to drop, and a request that is dropped half-way must not
/// leave a connection with an open transaction in the pool. SQLite's write lock is taken at once: read-then-write
/// transactions that only upgrade later fail under concurrency. Where one statement can do it, it is one statement:
/// a transaction costs PostgreSQL three more round trips.
macro_rules! in_transaction {
    (sqlite $pool:ident, $transaction:ident => $body:expr) => {
        $crate::db::in_transaction!($pool.begin_with("BEGIN IMMEDIATE"), $pool, $transaction => $body)
    };
    ($db:expr, $transaction:ident => $body:expr) => {
        match $db {
            $crate::db::Db::Postgres(pool) => {
                $crate::db::in_transaction!(pool.begin(), pool, $transaction => $body)
            }
            $crate::db::Db::Sqlite(pool) => $crate::db::in_transaction!(sqlite pool, $transaction => $body),
        }
    };
    ($begin:expr, $pool:ident, $transaction:ident => $body:expr) => {{
        let $pool = $pool.clone();
        tokio::spawn(async move {
            let mut $transaction = $begin.await?;
            let outcome = $body;
            $transaction.commit().await?;
            Ok(outcome)
        })
        .await?
    }};
}
use in_transaction;

/// Looks at a connection before it is used only where it may have died meanwhile.
fn postgres_pool() -> PgPoolOptions {
    PgPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false).before_acquire(
        |connection, seen| {
            Box::pin(async move {
                // Rejected, and not an error: that it died is nothing to warn of.
                Ok(seen.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok())
            })
        },
    )
}

impl Db {
    /// As [`Self::connect`], but makes nothing.
    ///
    /// # Errors
    ///
    /// [`DbError::Missing`] where there is no file.
    pub async fn connect_existing(url: &str, connections: u32) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite://").map(Path::new)
            && !path.try_exists().map_err(sqlx::Error::Io)?
        {
            return Err(DbError::Missing(path.to_owned()));
        }
        Self::connect(url, connections).await
    }

    /// Connects to `postgres://…` or opens (and makes, with its folder) `sqlite://path`.
    ///
    /// # Errors
    ///
    /// [`DbError::UnknownScheme`] for another URL.
    pub async fn connect(url: &str, connections: u32) -> Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?.application_name("overside").options([
                // A statement that waited for a lock has to see what it waited for.
                ("default_transaction_isolation", "read committed"),
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("lock_timeout", LOCK_TIMEOUT),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            ]);
            let pool = postgres_pool().max_connections(connections);
            // One connection past the pool: a pool only says that it waited in vain, not why.
            PgConnection::connect_with(&options).await?.close().await?;
            return Ok(Self::Postgres(pool.connect_with(options).await?));
        }
        let path = url.strip_prefix("sqlite://").ok_or(DbError::UnknownScheme)?;
        sqlite_file::make_private(path.as_ref()).map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Not NORMAL: temp bytes are deleted on the strength of a commit, so it must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY_TIMEOUT);
        // A file does not hang up: there is nothing to test.
        let pool = SqlitePoolOptions::new()
            .max_connections(SQLITE_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false);
        Ok(Self::Sqlite(pool.connect_with(options).await?))
    }

    /// Brings the schema up to date; several replicas may try at once.
    ///
    /// # Errors
    ///
    /// [`DbError::Migration`] for a migration that fails, or has run and was another one.
    pub async fn migrate(&self) -> Result<()> {
        match self {
            // Without limits: what a migration does, and how long replicas wait for the one that does it, nobody knows.
            Self::Postgres(pool) => {
                let limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
                let options = pool.connect_options().as_ref().clone().options(limits.map(|name| (name, "0")));
                let unlimited = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
                POSTGRES_MIGRATIONS.run(&unlimited).await?;
                unlimited.close().await;
            }
            Self::Sqlite(pool) => {
                // sqlx locks PostgreSQL meanwhile, and nothing here: of two that start on an empty file one would fail.
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                // What `run` calls: with that, no future that migrates would be Send.
                SQLITE_MIGRATIONS.run_direct(None, &mut *transaction, false).await?;
                transaction.commit().await?;
            }
        }
        self.make_audit_months().await
    }

    /// Whether every migration of this build has run.
    pub async fn is_migrated(&self) -> Result<bool> {
        const SQL: &str = "SELECT COUNT(*) FROM _sqlx_migrations WHERE success";
        let applied: std::result::Result<i64, _> =
            on_pool!(self, pool => sqlx::query_scalar(SQL).fetch_one(pool).await);
        let known = match self {
            Self::Postgres(_) => POSTGRES_MIGRATIONS.iter().count(),
            Self::Sqlite(_) => SQLITE_MIGRATIONS.iter().count(),
        };
        // The table is missing before the first migration.
        match applied {
            Err(sqlx::Error::Database(_)) => Ok(false),
            applied => Ok(usize::try_from(applied?).is_ok_and(|applied| applied >= known)),
        }
    }

    /// A cheap question whose answer shows that the database is there.
    pub async fn check(&self) -> Result<()> {
        on_pool!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(drop))?;
        Ok(())
    }

    /// Ends every connection in good order.
    pub async fn close(&self) {
        on_pool!(self, pool => pool.close().await);
    }
}
