//! Upload sessions: begin and find.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::rows::{UploadRow, select_upload, signed};
use crate::db::text::{Text, both, is_one_of};
use crate::db::upkeep::quotas::{LOCK, QuotaHeadroom, TAKE, lock_project};
use crate::db::{Db, DbError, Result, in_transaction, on_pool};
use crate::domain::access::Share;
use crate::domain::quota::{QuotaExceeded, QuotaKind};
use crate::domain::upload::{BatchDoor, Upload, UploadId};

/// A session that is to be inserted: pending, or waiting for its bytes.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub upload: Upload,
    pub temp_path: String,
    /// None unless a batch begins it.
    pub door: Option<BatchDoor>,
}

/// Why there is no room for a session that was to be inserted; nothing where it was.
pub type Begun = std::result::Result<(), Box<QuotaExceeded>>;

/// Whatever state a session begins in is in its one row from the start: nothing follows. `$16` tells to hold the room that a
/// session wants to have reserved; without it one whose project has a limit is not inserted. A scalar subquery, because
/// PostgreSQL may read all projects for EXISTS.
macro_rules! insert {
    ($values:literal) => {
        concat!(
            "INSERT INTO blob_upload_session
                (upload_uuid, repository_name, user_id, status, transfer_mode, temp_path, digest_algorithm,
                 declared_digest, size, metadata, created_at, updated_at, expires_at, due_at, last_part, door, reserved)
            SELECT ",
            $values,
            " RETURNING upload_uuid"
        )
    };
}

/// On PostgreSQL each parameter but `$16` is an array, so that one statement inserts many.
pub(in crate::db) const INSERT: Text = Text {
    postgres: insert!(
        "id, repository, user_name, status, mode, path, algorithm, digest, size, metadata, created, created, expires,
            expires, last_part, door, CASE WHEN $16 THEN reserved ELSE 0 END
        FROM unnest(CAST($1 AS UUID[]), CAST($2 AS TEXT[]), CAST($3 AS TEXT[]), CAST($4 AS TEXT[]), CAST($5 AS TEXT[]),
            CAST($6 AS TEXT[]), CAST($7 AS TEXT[]), CAST($8 AS BYTEA[]), CAST($9 AS BIGINT[]), CAST($10 AS JSONB[]),
            CAST($11 AS TIMESTAMPTZ[]), CAST($12 AS TIMESTAMPTZ[]), CAST($13 AS BIGINT[]), CAST($14 AS TEXT[]),
            CAST($15 AS BIGINT[]), CAST($17 AS TEXT[]))
            AS item (id, repository, user_name, status, mode, path, algorithm, digest, size, metadata, created, expires,
                last_part, door, reserved, project)
        WHERE $16 OR reserved = 0
            OR COALESCE((SELECT storage_limit FROM project WHERE name = item.project), -1) < 0"
    ),
    sqlite: insert!(
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $12, $13, $14, CASE WHEN $16 THEN $15 ELSE 0 END
        WHERE $16 OR $15 = 0 OR COALESCE((SELECT storage_limit FROM project WHERE name = $17), -1) < 0"
    ),
};

/// [`INSERT`] with its parameters, each made by `$value!` of the session or sessions.
macro_rules! insert_query {
    ($statement:expr, $holds:expr, $value:ident, $sessions:expr) => {
        sqlx::query_scalar::<_, Uuid>($statement)
            .bind($value!($sessions, |session| session.upload.id.as_uuid()))
            .bind($value!($sessions, |session| session.upload.repository.to_string()))
            .bind($value!($sessions, |session| session.upload.user_id.clone()))
            .bind($value!($sessions, |session| session.upload.state.status().as_str()))
            .bind($value!($sessions, |session| session.transfer_mode()))
            .bind($value!($sessions, |session| session.temp_path.clone()))
            .bind($value!($sessions, |session| session.upload.algorithm.as_str()))
            .bind($value!($sessions, |session| session.declared_digest()))
            .bind($value!($sessions, |session| session.upload.size.map(signed)))
            .bind($value!($sessions, |session| session.upload.metadata.clone()))
            .bind($value!($sessions, |session| session.upload.created_at))
            .bind($value!($sessions, |session| session.upload.expires_at))
            .bind($value!($sessions, |session| session.upload.last_part.map(|last| i64::from(last.get()))))
            .bind($value!($sessions, |session| session.door.map(BatchDoor::as_str)))
            .bind($value!($sessions, |session| signed(session.upload.reserved)))
            .bind($holds)
            .bind($value!($sessions, |session| session.upload.repository.project().to_string()))
    };
}

macro_rules! each {
    ($sessions:expr, |$session:ident| $value:expr) => {
        $sessions.iter().map(|$session: &NewSession| $value).collect::<Vec<_>>()
    };
}

macro_rules! only {
    ($of:expr, |$session:ident| $value:expr) => {{
        let $session: &NewSession = $of;
        $value
    }};
}

/// Inserts sessions on a connection or a pool of PostgreSQL, all of them by one statement.
macro_rules! insert_postgres {
    ($executor:expr, $sessions:expr, $holds:expr) => {
        insert_query!(INSERT.postgres, $holds, each, $sessions).fetch_all($executor).await?
    };
}

/// Inserts sessions in a transaction of SQLite.
macro_rules! insert_sqlite {
    ($transaction:ident, $sessions:expr, $holds:expr) => {{
        let mut inserted = Vec::with_capacity($sessions.len());
        for session in $sessions {
            let query = insert_query!(INSERT.sqlite, $holds, only, session);
            inserted.extend(query.fetch_optional(&mut *$transaction).await?);
        }
        inserted
    }};
}

/// Locks the project; gives what becomes of each session, and those that there is room for.
macro_rules! fitting {
    ($transaction:ident, $lock:ident, $take:ident, $project:expr, $sessions:expr, $sizes:expr) => {{
        let begun = match lock_project!($transaction, $lock, $take, $project) {
            Some(mut headroom) => fill(&mut headroom, $sizes)?,
            None => $sizes.iter().map(|_| Ok(())).collect::<Vec<_>>(),
        };
        let chosen = $sessions.into_iter().zip(&begun).filter(|(_, begun)| begun.is_ok());
        let chosen: Vec<NewSession> = chosen.map(|(session, _)| session).collect();
        (begun, chosen)
    }};
}

/// A user with the robots of the projects they have made, or a project's robots: whoever may make robots would otherwise
/// have another share with each. Those of whoever runs the service are everybody's.
const COUNTED_TOGETHER: &str = "
    SELECT 'robot$' || project.name || '+' || robot.name
    FROM project JOIN robot ON robot.project_id = project.id
    WHERE project.name = $2 OR (project.owner_name = $1 AND NOT EXISTS (
        SELECT 1 FROM user_account WHERE user_account.name = project.owner_name AND user_account.is_admin))";

/// Sessions whose time is up are as good as ended. Counting stops at the limit.
macro_rules! count_open {
    ($db:ident) => {
        concat!(
            "SELECT COUNT(*) FROM (
                SELECT 1 FROM blob_upload_session WHERE user_id ",
            is_one_of!($db, texts "$1"),
            " AND ended_at IS NULL AND expires_at > $2 LIMIT $3) AS open"
        )
    };
}
pub(in crate::db) const COUNT_OPEN: Text = both!(count_open);

pub(in crate::db) const FIND: &str = select_upload!("WHERE upload_uuid = $1");

impl Db {
    /// Inserts sessions whose room nobody has to hold for them, by one statement or in one transaction; says of each in
    /// their order whether it was: one that wants room in a project with a limit was not, see
    /// [`Self::insert_within_limit`].
    pub async fn insert_unlimited(&self, sessions: &[NewSession]) -> Result<Vec<bool>> {
        let inserted: Vec<Uuid> = match (self, sessions) {
            (_, []) => Vec::new(),
            (Self::Postgres(pool), _) => insert_postgres!(pool, sessions, false),
            (Self::Sqlite(pool), [session]) => {
                let query = insert_query!(INSERT.sqlite, false, only, session);
                query.fetch_optional(pool).await?.into_iter().collect()
            }
            (Self::Sqlite(pool), _) => {
                let sessions = sessions.to_vec();
                let inserted: Result<_> = in_transaction!(sqlite pool, transaction => insert_sqlite!(transaction, &sessions, false));
                inserted?
            }
        };
        let inserted: HashSet<Uuid> = inserted.into_iter().collect();
        Ok(sessions.iter().map(|session| inserted.contains(&session.upload.id.as_uuid())).collect())
    }

    /// Inserts sessions of one project, whose room is held for them from the start: those that fit, one after the other.
    /// Says of each in their order whether that was done.
    pub async fn insert_within_limit(&self, sessions: &[NewSession]) -> Result<Vec<Begun>> {
        let Some(first) = sessions.first() else { return Ok(Vec::new()) };
        let project = first.upload.repository.project();
        let sizes: Vec<i64> = sessions.iter().map(|session| signed(session.upload.reserved)).collect();
        if let Some(mut headroom) = self.quota_headroom(&project).await? {
            let begun = fill(&mut headroom, &sizes)?;
            if begun.iter().all(std::result::Result::is_err) {
                return Ok(begun);
            }
        }
        let (lock, take, sessions) = (self.text(LOCK), self.text(TAKE), sessions.to_vec());
        match self {
            Self::Postgres(pool) => in_transaction!(pool.begin(), pool, transaction => {
                let (begun, fitting) = fitting!(transaction, lock, take, &project, sessions, &sizes);
                insert_postgres!(&mut *transaction, &fitting, true);
                begun
            }),
            Self::Sqlite(pool) => in_transaction!(sqlite pool, transaction => {
                let (begun, fitting) = fitting!(transaction, lock, take, &project, sessions, &sizes);
                insert_sqlite!(transaction, &fitting, true);
                begun
            }),
        }
    }

    /// Refuses a session that there is no room for, where that can be told before anything is written: on SQLite, whose
    /// one writer it would have to wait for.
    ///
    /// # Errors
    ///
    /// [`DbError::QuotaExceeded`]
    pub async fn check_room(&self, upload: &Upload) -> Result<()> {
        if upload.reserved == 0 {
            return Ok(());
        }
        let headroom = self.quota_headroom(&upload.repository.project()).await?;
        headroom.map_or(Ok(()), |headroom| headroom.check(QuotaKind::Bytes, signed(upload.reserved)))
    }

    /// Inserts sessions of one project; those that fit, where it has a limit, and their room is held for them. Says of each
    /// in their order whether that was done.
    pub async fn insert_uploads(&self, sessions: &[NewSession]) -> Result<Vec<Begun>> {
        let inserted = self.insert_unlimited(sessions).await?;
        let left: Vec<usize> = (0..sessions.len()).filter(|index| !inserted[*index]).collect();
        let limited: Vec<_> = left.iter().map(|index| sessions[*index].clone()).collect();
        let mut begun = vec![Ok(()); sessions.len()];
        for (index, outcome) in left.into_iter().zip(self.insert_within_limit(&limited).await?) {
            begun[index] = outcome;
        }
        Ok(begun)
    }

    /// Inserts one session.
    ///
    /// # Errors
    ///
    /// [`DbError::QuotaExceeded`] without room for it, and then there is no session.
    pub async fn insert_upload(&self, upload: &Upload, temp_path: &str) -> Result<()> {
        self.check_room(upload).await?;
        let session = NewSession { upload: upload.clone(), temp_path: temp_path.to_owned(), door: None };
        let begun = self.insert_uploads(&[session]).await?;
        begun.into_iter().collect::<std::result::Result<(), _>>().map_err(DbError::QuotaExceeded)
    }

    pub async fn find_upload(&self, id: UploadId) -> Result<Option<Upload>> {
        let row: Option<UploadRow> =
            on_pool!(self, pool => sqlx::query_as(FIND).bind(id.as_uuid()).fetch_optional(pool).await)?;
        row.map(Upload::try_from).transpose()
    }

    /// Sessions that are open in one share, counted up to `most`.
    pub async fn count_open_uploads(&self, share: &Share, now: DateTime<Utc>, most: u64) -> Result<u64> {
        let (user, project) = match share {
            Share::User(name) => (Some(name.clone()), None),
            Share::Project(name) => (None, Some(name.as_str())),
        };
        let robots: Vec<String> = on_pool!(self, pool =>
            sqlx::query_scalar(COUNTED_TOGETHER).bind(&user).bind(project).fetch_all(pool).await)?;
        let names: Vec<String> = user.into_iter().chain(robots).collect();
        let (sql, most) = (self.text(COUNT_OPEN), i64::try_from(most).unwrap_or(i64::MAX));
        let names = serde_json::json!(names);
        let count: i64 = on_pool!(self, pool =>
            sqlx::query_scalar(sql).bind(names).bind(now).bind(most).fetch_one(pool).await)?;
        Ok(count.unsigned_abs())
    }
}

impl NewSession {
    fn transfer_mode(&self) -> Option<&'static str> {
        self.upload.state.transfer().map(|transfer| transfer.mode().as_str())
    }

    fn declared_digest(&self) -> Option<Vec<u8>> {
        self.upload.declared_digest.map(|digest| digest.as_bytes().to_vec())
    }
}

/// Which of these sizes fit into what is free, each beside those before it that do.
fn fill(headroom: &mut QuotaHeadroom, sizes: &[i64]) -> Result<Vec<Begun>> {
    let mut begun = Vec::with_capacity(sizes.len());
    for size in sizes {
        begun.push(match headroom.check(QuotaKind::Bytes, *size) {
            Ok(()) => {
                headroom.bytes = headroom.bytes.saturating_add(*size);
                Ok(())
            }
            Err(DbError::QuotaExceeded(exceeded)) => Err(exceeded),
            Err(error) => return Err(error),
        });
    }
    Ok(begun)
}
