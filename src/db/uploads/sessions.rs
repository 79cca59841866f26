//! Upload sessions: begin and find.

use chrono::{DateTime, Utc};

use crate::db::rows::{StateColumns, UploadRow, select_upload, signed};
use crate::db::text::{Text, both, is_one_of};
use crate::db::upkeep::quotas::{LOCK, TAKE, lock_project};
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::access::Share;
use crate::domain::quota::QuotaKind;
use crate::domain::upload::{Upload, UploadId};

/// Whatever state a session begins in is in its one row from the start: nothing follows.
macro_rules! insert_statement {
    ($values:literal) => {
        concat!(
            "INSERT INTO blob_upload_session
                (upload_uuid, repository_name, user_id, status, transfer_mode, temp_path, digest_algorithm,
                 declared_digest, size, metadata, created_at, updated_at, expires_at, due_at, reserved, last_part) ",
            $values
        )
    };
}

pub(in crate::db) const INSERT: &str =
    insert_statement!("VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $12, $13, $14)");

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

/// One statement also for what would have to be reserved, wherever nothing limits the project.
pub(in crate::db) const INSERT_UNLIMITED: &str = insert_statement!(
    "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $12, 0, $14
    WHERE NOT EXISTS (SELECT 1 FROM project WHERE name = $13 AND storage_limit >= 0)"
);

/// A query of `$statement` with all but its last two parameters bound.
macro_rules! insert {
    ($statement:expr, $upload:expr, $temp_path:expr) => {{
        let upload: &Upload = $upload;
        let columns = StateColumns::from(upload);
        sqlx::query($statement)
            .bind(upload.id.as_uuid())
            .bind(upload.repository.as_str())
            .bind(upload.user_id.as_deref())
            .bind(columns.status)
            .bind(columns.transfer_mode)
            .bind($temp_path)
            .bind(columns.digest_algorithm)
            .bind(columns.declared_digest)
            .bind(columns.size)
            .bind(&upload.metadata)
            .bind(upload.created_at)
            .bind(upload.expires_at)
    }};
}

pub(in crate::db) const FIND: &str = select_upload!("WHERE upload_uuid = $1");

impl Db {
    /// Inserts a session that is pending, or waits for one PUT. What it wants to have reserved is held for it from
    /// the start, where anything limits the project.
    ///
    /// # Errors
    ///
    /// [`crate::db::DbError::QuotaExceeded`] without room for that, and then there is no session.
    pub async fn insert_upload(&self, upload: &Upload, temp_path: &str) -> Result<()> {
        let last_part = upload.last_part.map(|last| i64::from(last.get()));
        if upload.reserved == 0 {
            on_pool!(self, pool => insert!(INSERT, upload, temp_path).bind(0_i64).bind(last_part).execute(pool).await.map(drop))?;
            return Ok(());
        }
        let project = upload.repository.project();
        if let Some(headroom) = self.quota_headroom(&project).await? {
            headroom.check(QuotaKind::Bytes, signed(upload.reserved))?;
        }
        let inserted = on_pool!(self, pool => insert!(INSERT_UNLIMITED, upload, temp_path)
            .bind(project.as_str())
            .bind(last_part)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        if inserted > 0 {
            return Ok(());
        }
        let (upload, temp_path) = (upload.clone(), temp_path.to_owned());
        let (lock, take) = (self.text(LOCK), self.text(TAKE));
        in_transaction!(self, transaction => {
            let reserved = signed(upload.reserved);
            if let Some(headroom) = lock_project!(transaction, lock, take, &project) {
                headroom.check(QuotaKind::Bytes, reserved)?;
            }
            insert!(INSERT, &upload, &temp_path).bind(reserved).bind(last_part).execute(&mut *transaction).await?;
        })
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
