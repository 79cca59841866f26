//! Room in a project: whoever adds to its usage makes sure first that there is.
//!
//! The usage is the sum of a ledger that triggers write to (see `0004_usage.sql`). Who adds locks the project's row
//! before anything else, and sums in a later statement, whose snapshot has what those that were waited for have
//! added. Who gives back locks nothing. What a session has reserved covers what its commit adds: a commit never
//! makes the sum larger, and asks for nothing. Projects without limits are not locked.

use crate::db::rows::signed;
use crate::db::text::Text;
use crate::db::{Db, DbError, Result, corrupt, in_transaction, on_pool};
use crate::domain::access::ProjectName;
use crate::domain::name::RepositoryName;
use crate::domain::quota::{QuotaExceeded, QuotaKind};
use crate::domain::upload::UploadId;

/// Members and robots may be added to the project meanwhile: not `FOR UPDATE`, which their foreign keys wait for.
pub(in crate::db) const LOCK: Text = Text {
    postgres: "SELECT storage_limit, count_limit FROM project
        WHERE name = $1 AND (storage_limit >= 0 OR count_limit >= 0) FOR NO KEY UPDATE",
    sqlite: "SELECT storage_limit, count_limit FROM project
        WHERE name = $1 AND (storage_limit >= 0 OR count_limit >= 0)",
};

pub(in crate::db) const SUM: &str = "
    SELECT CAST(COALESCE(SUM(bytes + reserved), 0) AS BIGINT), CAST(COALESCE(SUM(tags), 0) AS BIGINT), COUNT(*)
    FROM project_usage WHERE project_name = $1";

pub(in crate::db) const IS_LIMITED: &str =
    "SELECT EXISTS (SELECT 1 FROM project WHERE name = $1 AND storage_limit >= 0)";

const RESERVED: &str = "
    SELECT reserved FROM blob_upload_session
    WHERE upload_uuid = $1 AND ended_at IS NULL";

/// The revision stays: whoever works on the session has nothing to read again for this.
pub(in crate::db) const RESERVE: &str = "
    UPDATE blob_upload_session SET reserved = $2
    WHERE upload_uuid = $1 AND ended_at IS NULL AND reserved < $2";

pub(in crate::db) const RELEASE: &str = "
    UPDATE blob_upload_session SET reserved = $2
    WHERE upload_uuid = $1 AND ended_at IS NULL AND reserved > $2";

macro_rules! take_rows {
    ($lock:literal) => {
        concat!(
            "WITH oldest AS (SELECT id FROM project_usage WHERE project_name = $1 ORDER BY id LIMIT $2 ",
            $lock,
            ")
            DELETE FROM project_usage WHERE id IN (SELECT id FROM oldest) RETURNING bytes, reserved, tags"
        )
    };
}

/// Each row goes into exactly one sum: of two that fold at once, one passes over what the other has.
pub(in crate::db) const TAKE: Text =
    Text { postgres: take_rows!("FOR UPDATE SKIP LOCKED"), sqlite: take_rows!("") };

pub(in crate::db) const ADD: &str =
    "INSERT INTO project_usage (project_name, bytes, reserved, tags) VALUES ($1, $2, $3, $4)";

const FOLDABLE: &str = "
    SELECT project_name FROM project_usage WHERE project_name > $1
    GROUP BY project_name HAVING COUNT(*) >= $2 ORDER BY project_name LIMIT $3";

/// Rows from which whoever has to sum them folds them too: a sum of fewer takes less than the round trips do.
pub(in crate::db) const FOLD_AT: i64 = 256;
/// Rows folded at once: some milliseconds' work, while others wait for the project.
pub(in crate::db) const FOLDED_AT_ONCE: i64 = 1_000;

/// What a project that is locked has room for.
#[derive(Debug)]
pub(in crate::db) struct QuotaHeadroom {
    pub project: ProjectName,
    /// Negative for none.
    pub storage_limit: i64,
    pub count_limit: i64,
    /// What is reserved included.
    pub bytes: i64,
    pub tags: i64,
}

impl QuotaHeadroom {
    /// What needs nothing fits also where a limit was set below what is there.
    pub fn check(&self, kind: QuotaKind, needed: i64) -> Result<()> {
        if needed <= self.free(kind).max(0) {
            return Ok(());
        }
        let (limit, used) = self.limit_and_use(kind);
        Err(DbError::QuotaExceeded(Box::new(QuotaExceeded {
            project: self.project.clone(),
            kind,
            limit: unsigned(limit),
            used: unsigned(used),
            needed: unsigned(needed),
        })))
    }

    fn free(&self, kind: QuotaKind) -> i64 {
        let (limit, used) = self.limit_and_use(kind);
        if limit < 0 { i64::MAX } else { limit.saturating_sub(used) }
    }

    const fn limit_and_use(&self, kind: QuotaKind) -> (i64, i64) {
        match kind {
            QuotaKind::Bytes => (self.storage_limit, self.bytes),
            QuotaKind::Tags => (self.count_limit, self.tags),
        }
    }
}

/// Locks a project that has limits for the rest of the transaction, and says what it has room for; nothing for one
/// that has none. Comes before every other lock of a transaction.
macro_rules! lock_project {
    ($transaction:ident, $lock:ident, $take:ident, $project:expr) => {{
        let project: &$crate::domain::access::ProjectName = $project;
        let limits = sqlx::query_as($lock).bind(project.as_str());
        let limits: Option<(i64, i64)> = limits.fetch_optional(&mut *$transaction).await?;
        if let Some((storage_limit, count_limit)) = limits {
            let sum = sqlx::query_as($crate::db::upkeep::quotas::SUM).bind(project.as_str());
            let (bytes, tags, rows): (i64, i64, i64) = sum.fetch_one(&mut *$transaction).await?;
            if rows >= $crate::db::upkeep::quotas::FOLD_AT {
                $crate::db::upkeep::quotas::fold!($transaction, $take, project);
            }
            let project = project.clone();
            Some($crate::db::upkeep::quotas::QuotaHeadroom {
                project,
                storage_limit,
                count_limit,
                bytes,
                tags,
            })
        } else {
            None
        }
    }};
}
pub(in crate::db) use lock_project;

/// Makes the oldest rows of a project their sum, and says how many they were.
macro_rules! fold {
    ($transaction:ident, $take:ident, $project:expr) => {{
        let project: &$crate::domain::access::ProjectName = $project;
        let taken =
            sqlx::query_as($take).bind(project.as_str()).bind($crate::db::upkeep::quotas::FOLDED_AT_ONCE);
        let taken: Vec<(i64, i64, i64)> = taken.fetch_all(&mut *$transaction).await?;
        let (bytes, reserved, tags) = $crate::db::upkeep::quotas::sum_up(project, &taken)?;
        if (bytes, reserved, tags) != (0, 0, 0) {
            sqlx::query($crate::db::upkeep::quotas::ADD)
                .bind(project.as_str())
                .bind(bytes)
                .bind(reserved)
                .bind(tags)
                .execute(&mut *$transaction)
                .await?;
        }
        taken.len() as u64
    }};
}
pub(in crate::db) use fold;

impl Db {
    /// Whether a project has a limit on its bytes.
    pub async fn is_storage_limited(&self, project: &ProjectName) -> Result<bool> {
        Ok(on_pool!(self, pool =>
            sqlx::query_scalar(IS_LIMITED).bind(project.as_str()).fetch_one(pool).await)?)
    }

    /// What a project that has limits has room for, on SQLite: there one writes at a time, and whoever will be refused is
    /// to be it neither before nor after waiting for others. Nothing is locked, so who writes looks again.
    pub(in crate::db) async fn quota_headroom(&self, project: &ProjectName) -> Result<Option<QuotaHeadroom>> {
        let Self::Sqlite(pool) = self else { return Ok(None) };
        let limits = sqlx::query_as(LOCK.sqlite).bind(project.as_str()).fetch_optional(pool).await?;
        let Some((storage_limit, count_limit)) = limits else { return Ok(None) };
        let sum = sqlx::query_as(SUM).bind(project.as_str()).fetch_one(pool);
        let (bytes, tags, _): (i64, i64, i64) = sum.await?;
        Ok(Some(QuotaHeadroom { project: project.clone(), storage_limit, count_limit, bytes, tags }))
    }

    /// Has at least `least` bytes held for an open session, and up to `most` where there is room for them; says how
    /// many are. None where nothing limits the project, and nothing is held.
    ///
    /// # Errors
    ///
    /// [`DbError::QuotaExceeded`] where not even `least` fit.
    pub async fn reserve(
        &self,
        upload: UploadId,
        project: &ProjectName,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>> {
        if !self.is_storage_limited(project).await? {
            return Ok(None);
        }
        let (least, most, project) = (signed(least), signed(most), project.clone());
        if let Some(headroom) = self.quota_headroom(&project).await? {
            let held: Option<i64> = on_pool!(self, pool =>
                sqlx::query_scalar(RESERVED).bind(upload.as_uuid()).fetch_optional(pool).await)?;
            headroom.check(QuotaKind::Bytes, held.map_or(0, |held| (least - held).max(0)))?;
        }
        let (lock, take) = (self.text(LOCK), self.text(TAKE));
        let held: Result<Option<i64>> = in_transaction!(self, transaction => {
            let headroom = lock_project!(transaction, lock, take, &project);
            let held = sqlx::query_scalar(RESERVED).bind(upload.as_uuid());
            let held: Option<i64> = held.fetch_optional(&mut *transaction).await?;
            match (headroom, held) {
                (Some(headroom), Some(held)) => {
                    headroom.check(QuotaKind::Bytes, (least - held).max(0))?;
                    let wanted = most.min(held.saturating_add(headroom.free(QuotaKind::Bytes).max(0)));
                    let wanted = wanted.max(least).max(held);
                    sqlx::query(RESERVE).bind(upload.as_uuid()).bind(wanted).execute(&mut *transaction).await?;
                    Some(wanted)
                }
                // Not limited any more; or ended, which its request finds out by itself.
                _ => None,
            }
        });
        Ok(held?.map(unsigned))
    }

    /// Has no more than `bytes` held for an open session.
    pub async fn release_beyond(&self, upload: UploadId, bytes: u64) -> Result<()> {
        on_pool!(self, pool => sqlx::query(RELEASE)
            .bind(upload.as_uuid())
            .bind(signed(bytes))
            .execute(pool)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Projects after `last` whose usage is the sum of at least `rows` rows, in the order of their names.
    pub async fn projects_to_fold(&self, last: &str, rows: u32, limit: u32) -> Result<Vec<ProjectName>> {
        let names: Vec<String> = on_pool!(self, pool => sqlx::query_scalar(FOLDABLE)
            .bind(last)
            .bind(i64::from(rows))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        names.iter().map(|name| parse_project(name)).collect()
    }

    /// Makes some rows of a project's usage one; false when there were no more.
    pub async fn fold_usage(&self, project: &ProjectName) -> Result<bool> {
        let (take, project) = (self.text(TAKE), project.clone());
        let folded: Result<u64> = in_transaction!(self, transaction => fold!(transaction, take, &project));
        Ok(folded? == FOLDED_AT_ONCE.unsigned_abs())
    }
}

/// The sum of rows of a project's ledger. The database refuses a sum that a BIGINT does not hold; so does this.
pub(in crate::db) fn sum_up(project: &ProjectName, rows: &[(i64, i64, i64)]) -> Result<(i64, i64, i64)> {
    let add = |sum: (i64, i64, i64), row: &(i64, i64, i64)| {
        Some((sum.0.checked_add(row.0)?, sum.1.checked_add(row.1)?, sum.2.checked_add(row.2)?))
    };
    rows.iter().try_fold((0, 0, 0), add).ok_or_else(|| {
        let reason = "the sum is beyond 64 bits; `overside project usage --recount --correct` counts it anew";
        corrupt("project_usage", "bytes, reserved or tags", project, &reason)
    })
}

pub(in crate::db) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// A project that is longer than those that can be created has its repositories' names all the same.
pub(in crate::db) fn parse_project(name: &str) -> Result<ProjectName> {
    let parsed = name.parse::<RepositoryName>();
    parsed.map(|name| name.project()).map_err(|error| corrupt("project_usage", "project_name", &name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_beyond_what_a_row_holds_is_no_small_or_negative_one() {
        let project = "team/app".parse::<crate::domain::name::RepositoryName>().expect("a name").project();
        assert_eq!(sum_up(&project, &[(3, 2, 1), (-1, 0, 1)]).expect("it fits"), (2, 2, 2));
        for rows in [[(i64::MAX, 0, 0), (1, 0, 0)], [(0, i64::MIN, 0), (0, -1, 0)]] {
            assert!(matches!(sum_up(&project, &rows), Err(DbError::Corrupt { .. })));
        }
    }
}
