//! Many sessions at once: those of one batch are begun, found again and prolonged by one statement each.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::db::rows::{StateColumns, UploadRow, select_upload, signed};
use crate::db::text::{Text, both, digests as as_json, is_one_of};
use crate::db::upkeep::quotas::{LOCK, QuotaHeadroom, TAKE, lock_project};
use crate::db::uploads::sweep::{json as ids_as_json, readable, uuids};
use crate::db::{Db, DbError, Result, in_transaction, on_pool};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::quota::{QuotaExceeded, QuotaKind};
use crate::domain::upload::{BatchDoor, Upload, UploadId};

/// What differs between the sessions of a batch comes as one array of objects, `$1`.
macro_rules! field {
    (postgres, uuid $name:literal) => {
        concat!("CAST(item ->> '", $name, "' AS UUID)")
    };
    (postgres, digest $name:literal) => {
        concat!("decode(item ->> '", $name, "', 'hex')")
    };
    (sqlite, text $name:literal) => {
        concat!("(item.value ->> '$.", $name, "')")
    };
    (postgres, text $name:literal) => {
        concat!("(item ->> '", $name, "')")
    };
    (sqlite, $kind:ident $name:literal) => {
        concat!("unhex(item.value ->> '$.", $name, "')")
    };
}

macro_rules! items {
    (postgres) => {
        "jsonb_array_elements($1) AS item"
    };
    (sqlite) => {
        "json_each($1) AS item"
    };
}

macro_rules! insert {
    ($db:ident, $reserved:expr, $condition:literal) => {
        concat!(
            "INSERT INTO blob_upload_session
                (upload_uuid, repository_name, user_id, status, transfer_mode, temp_path, digest_algorithm,
                 declared_digest, size, metadata, created_at, updated_at, expires_at, due_at, door, reserved)
            SELECT ",
            field!($db, uuid "id"),
            ", $2, $3, $4, $5, ",
            field!($db, text "path"),
            ", 'sha256', ",
            field!($db, digest "digest"),
            ", CAST(",
            field!($db, text "size"),
            " AS BIGINT), $6, $7, $7, $8, $8, $9, ",
            $reserved,
            " FROM ",
            items!($db),
            " WHERE ",
            $condition
        )
    };
}
macro_rules! insert_reserved {
    ($db:ident) => {
        insert!($db, concat!("CAST(", field!($db, text "size"), " AS BIGINT)"), "TRUE")
    };
}
macro_rules! insert_unlimited {
    ($db:ident) => {
        insert!($db, "0", "NOT EXISTS (SELECT 1 FROM project WHERE name = $10 AND storage_limit >= 0)")
    };
}
pub(in crate::db) const INSERT_RESERVED: Text = both!(insert_reserved);
/// One statement also for what would have to be reserved, wherever nothing limits the project.
pub(in crate::db) const INSERT_UNLIMITED: Text = both!(insert_unlimited);

/// The newest first. Who did not sign in has the sessions of nobody in particular.
macro_rules! of_batch {
    ($db:ident) => {
        concat!(
            select_upload!("WHERE ended_at IS NULL AND door IS NOT NULL AND declared_digest "),
            is_one_of!($db, digests "$1"),
            " AND repository_name = $2 AND user_id IS NOT DISTINCT FROM $3 AND door = $4
            ORDER BY created_at DESC LIMIT $5"
        )
    };
}
pub(in crate::db) const OF_BATCH: Text = both!(of_batch);

/// `Upload::touch` of those that still wait for their bytes.
macro_rules! prolong {
    ($ids:literal) => {
        concat!(
            "UPDATE blob_upload_session SET expires_at = $2, updated_at = $3, revision = revision + 1
            WHERE ",
            $ids,
            " AND ended_at IS NULL AND status = 'uploading' AND expires_at < $2 AND expires_at > $3"
        )
    };
}
pub(in crate::db) const PROLONG: Text = Text {
    postgres: prolong!("upload_uuid = ANY ($1)"),
    sqlite: prolong!("upload_uuid IN (SELECT unhex(value) FROM json_each($1))"),
};

/// A query of `$statement` with all but an eventual project bound. The sessions are alike but for what `$items` has.
macro_rules! bind {
    ($statement:expr, $items:expr, $uploads:expr, $door:expr) => {{
        let first: &Upload = $uploads;
        let columns = StateColumns::from(first);
        sqlx::query($statement)
            .bind($items)
            .bind(first.repository.clone())
            .bind(first.user_id.clone())
            .bind(columns.status)
            .bind(columns.transfer_mode)
            .bind(first.metadata.clone())
            .bind(first.created_at)
            .bind(first.expires_at)
            .bind($door)
    }};
}

/// Whether a session of a batch was begun; else why there is no room for it.
pub type Begun = std::result::Result<(), Box<QuotaExceeded>>;

impl Db {
    /// Inserts the sessions of a batch, which have one repository, user, state and end, and each a digest and a size; and
    /// says of each in their order whether that was done. Where anything limits the project their sizes are held for
    /// them: those that fit, one after the other.
    pub async fn insert_uploads(&self, uploads: &[(Upload, String)], door: BatchDoor) -> Result<Vec<Begun>> {
        let Some((first, _)) = uploads.first().cloned() else { return Ok(Vec::new()) };
        let sizes: Vec<i64> =
            uploads.iter().map(|(upload, _)| signed(upload.size.unwrap_or_default())).collect();
        let project = first.repository.project();
        let all = items(uploads);
        let sql = self.text(INSERT_UNLIMITED);
        let inserted = on_pool!(self, pool => bind!(sql, all.clone(), &first, door.as_str())
            .bind(project.as_str())
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        if inserted > 0 {
            return Ok(sizes.iter().map(|_| Ok(())).collect());
        }
        if let Some(mut headroom) = self.quota_headroom(&project).await? {
            let begun = fill(&mut headroom, &sizes)?;
            if begun.iter().all(std::result::Result::is_err) {
                return Ok(begun);
            }
        }
        let (lock, take, sql) = (self.text(LOCK), self.text(TAKE), self.text(INSERT_RESERVED));
        in_transaction!(self, transaction => {
            let begun = match lock_project!(transaction, lock, take, &project) {
                Some(mut headroom) => fill(&mut headroom, &sizes)?,
                None => sizes.iter().map(|_| Ok(())).collect::<Vec<_>>(),
            };
            let chosen: Value = all.as_array().into_iter().flatten().zip(&begun)
                .filter(|(_, begun)| begun.is_ok()).map(|(item, _)| item.clone()).collect();
            bind!(sql, chosen, &first, door.as_str()).execute(&mut *transaction).await?;
            begun
        })
    }

    /// Open sessions that batches of this front door began for a user in a repository, of any of these digests: the
    /// newest first, at most `limit`.
    pub async fn batched_uploads(
        &self,
        repository: &RepositoryName,
        user: Option<&str>,
        digests: &[Digest],
        door: BatchDoor,
        limit: u32,
    ) -> Result<Vec<Upload>> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let (sql, digests) = (self.text(OF_BATCH), as_json(digests));
        let rows: Vec<UploadRow> = on_pool!(self, pool => sqlx::query_as(sql)
            .bind(&digests)
            .bind(repository)
            .bind(user)
            .bind(door.as_str())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        Ok(readable(rows))
    }

    /// Puts off the end of sessions that wait for their bytes to `end`, where it is earlier.
    pub async fn prolong_uploads(
        &self,
        ids: &[UploadId],
        end: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let sql = self.text(PROLONG);
        match self {
            Self::Postgres(pool) => {
                sqlx::query(sql).bind(uuids(ids)).bind(end).bind(now).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                sqlx::query(sql).bind(ids_as_json(ids)).bind(end).bind(now).execute(pool).await?;
            }
        }
        Ok(())
    }
}

fn items(uploads: &[(Upload, String)]) -> Value {
    let item = |(upload, path): &(Upload, String)| {
        json!({
            "id": upload.id.as_uuid().simple().to_string(),
            "path": path,
            "digest": upload.declared_digest.map(|digest| digest.hex()),
            "size": upload.size,
        })
    };
    uploads.iter().map(item).collect()
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
