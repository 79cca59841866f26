//! What projects have: as it is kept, and counted anew.

use sqlx::FromRow;

use crate::db::text::Text;
use crate::db::upkeep::quotas::{ADD, parse_project, unsigned};
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::access::ProjectName;
use crate::domain::quota::{Recount, Usage};

pub(in crate::db) const USAGE: &str = "
    SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes, CAST(COALESCE(SUM(reserved), 0) AS BIGINT) AS reserved,
        CAST(COALESCE(SUM(tags), 0) AS BIGINT) AS tags,
        (SELECT storage_limit FROM project WHERE name = $1) AS storage_limit,
        (SELECT count_limit FROM project WHERE name = $1) AS count_limit
    FROM project_usage WHERE project_name = $1";

/// A project's links, by blob.
macro_rules! linked {
    () => {
        "SELECT blob_id, COUNT(*) AS links
        FROM repository JOIN repository_blob ON repository_blob.repository_id = repository.id
        WHERE project_name = $1 GROUP BY blob_id"
    };
}

/// One statement, one snapshot: what is pushed meanwhile is in both or in neither.
const RECOUNT: &str = concat!(
    "WITH linked AS (",
    linked!(),
    ")
    SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes, CAST(COALESCE(SUM(reserved), 0) AS BIGINT) AS reserved,
        CAST(COALESCE(SUM(tags), 0) AS BIGINT) AS tags,
        (SELECT storage_limit FROM project WHERE name = $1) AS storage_limit,
        (SELECT count_limit FROM project WHERE name = $1) AS count_limit,
        (SELECT CAST(COALESCE(SUM(blob.size), 0) AS BIGINT) FROM linked JOIN blob ON blob.id = linked.blob_id)
            + (SELECT CAST(COALESCE(SUM(LENGTH(payload)), 0) AS BIGINT) FROM repository
                JOIN manifest ON manifest.repository_id = repository.id WHERE project_name = $1) AS counted_bytes,
        (SELECT CAST(COALESCE(SUM(reserved), 0) AS BIGINT) FROM blob_upload_session
            WHERE ended_at IS NULL AND reserved > 0
                AND SUBSTR(repository_name || '/', 1, LENGTH($1) + 1) = $1 || '/') AS counted_reserved,
        (SELECT COUNT(*) FROM repository JOIN tag ON tag.repository_id = repository.id
            WHERE project_name = $1) AS counted_tags,
        (SELECT COUNT(*) FROM linked
            FULL JOIN (SELECT blob_id, links FROM project_blob WHERE project_name = $1) AS kept
                ON kept.blob_id = linked.blob_id
            WHERE kept.links IS DISTINCT FROM linked.links) AS miscounted_blobs
    FROM project_usage WHERE project_name = $1"
);

/// One correction at a time, and nobody counts a link of the project meanwhile: the triggers share this lock before they
/// count. Whoever waits for it has linked what the recount does not see yet, and counts it afterwards.
const LOCK_COUNT: Text =
    Text { postgres: "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", sqlite: "SELECT $1" };

const CLEAR_BLOBS: &str = "DELETE FROM project_blob WHERE project_name = $1";

const RECOUNT_BLOBS: &str = concat!(
    "INSERT INTO project_blob (project_name, blob_id, size, links)
    SELECT $1, linked.blob_id, blob.size, linked.links
    FROM (",
    linked!(),
    ") AS linked JOIN blob ON blob.id = linked.blob_id"
);

const PROJECTS: &str = "
    SELECT name FROM (
        SELECT name FROM project UNION SELECT project_name FROM project_usage
        UNION SELECT project_name FROM project_blob) AS known
    ORDER BY name";

#[derive(Debug, FromRow)]
struct UsageRow {
    bytes: i64,
    reserved: i64,
    tags: i64,
    storage_limit: Option<i64>,
    count_limit: Option<i64>,
}

#[derive(Debug, FromRow)]
struct RecountRow {
    #[sqlx(flatten)]
    kept: UsageRow,
    counted_bytes: i64,
    counted_reserved: i64,
    counted_tags: i64,
    miscounted_blobs: i64,
}

impl From<&UsageRow> for Usage {
    fn from(row: &UsageRow) -> Self {
        let limit = |limit: Option<i64>| limit.and_then(|limit| u64::try_from(limit).ok());
        Self {
            bytes: unsigned(row.bytes),
            reserved: unsigned(row.reserved),
            tags: unsigned(row.tags),
            storage_limit: limit(row.storage_limit),
            count_limit: limit(row.count_limit),
        }
    }
}

impl RecountRow {
    /// How much of each is missing in what was kept.
    const fn missing(&self) -> [i64; 3] {
        [
            self.counted_bytes.saturating_sub(self.kept.bytes),
            self.counted_reserved.saturating_sub(self.kept.reserved),
            self.counted_tags.saturating_sub(self.kept.tags),
        ]
    }
}

impl From<&RecountRow> for Recount {
    fn from(row: &RecountRow) -> Self {
        let kept = Usage::from(&row.kept);
        let counted = Usage {
            bytes: unsigned(row.counted_bytes),
            reserved: unsigned(row.counted_reserved),
            tags: unsigned(row.counted_tags),
            ..kept.clone()
        };
        let agrees = row.missing() == [0; 3] && row.miscounted_blobs == 0;
        Self { kept, counted, miscounted_blobs: unsigned(row.miscounted_blobs), agrees }
    }
}

impl Db {
    pub async fn project_usage(&self, project: &ProjectName) -> Result<Usage> {
        let row: UsageRow =
            on_pool!(self, pool => sqlx::query_as(USAGE).bind(project.as_str()).fetch_one(pool).await)?;
        Ok((&row).into())
    }

    /// Counts a project's usage from what it is made of.
    pub async fn recount(&self, project: &ProjectName) -> Result<Recount> {
        let row: RecountRow =
            on_pool!(self, pool => sqlx::query_as(RECOUNT).bind(project.as_str()).fetch_one(pool).await)?;
        Ok((&row).into())
    }

    /// As [`Self::recount`], and has the usage right afterwards, whatever is pushed meanwhile: what was missing at
    /// one moment is missing for good.
    pub async fn correct_usage(&self, project: &ProjectName) -> Result<Recount> {
        let (lock, project) = (self.text(LOCK_COUNT), project.to_string());
        let row: Result<RecountRow> = in_transaction!(self, transaction => {
            sqlx::query(lock).bind(&project).execute(&mut *transaction).await?;
            let row: RecountRow =
                sqlx::query_as(RECOUNT).bind(&project).fetch_one(&mut *transaction).await?;
            let [bytes, reserved, tags] = row.missing();
            if row.missing() != [0; 3] {
                let add = sqlx::query(ADD).bind(&project).bind(bytes).bind(reserved).bind(tags);
                add.execute(&mut *transaction).await?;
            }
            if row.miscounted_blobs > 0 {
                sqlx::query(CLEAR_BLOBS).bind(&project).execute(&mut *transaction).await?;
                sqlx::query(RECOUNT_BLOBS).bind(&project).execute(&mut *transaction).await?;
            }
            row
        });
        Ok((&row?).into())
    }

    /// Projects that have a row or a usage, in the order of their names.
    pub async fn projects_with_usage(&self) -> Result<Vec<ProjectName>> {
        let names: Vec<String> = on_pool!(self, pool => sqlx::query_scalar(PROJECTS).fetch_all(pool).await)?;
        names.iter().map(|name| parse_project(name)).collect()
    }
}
