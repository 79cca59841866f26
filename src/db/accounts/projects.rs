//! Projects, and what is in them.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::accounts::ends::{OF_PROJECT, end_all};
use crate::db::text::{Text, both, has_content, lock};
use crate::db::{Db, DbError, Inserted, Result, corrupt, in_transaction, on_pool};
use crate::domain::access::{ProjectName, ProjectReference};
use crate::domain::project::{NewProject, Project, ProjectChanges, QuotaLimit};

macro_rules! project_columns {
    () => {
        "project.id, project.name, project.is_public, project.storage_limit, project.count_limit, project.owner_name,
        project.created_at, project.updated_at"
    };
}
pub(in crate::db) use project_columns;

/// Whether a repository of this project has anything.
macro_rules! has_repositories {
    ($name:literal) => {
        concat!("EXISTS (SELECT 1 FROM repository WHERE project_name = ", $name, " AND ", has_content!(), ")")
    };
}

const FIND: &str = concat!("SELECT ", project_columns!(), " FROM project WHERE id = $1");
const FIND_BY_NAME: &str = concat!("SELECT ", project_columns!(), " FROM project WHERE name = $1");

/// What was pushed while nobody had to sign in does not go to whoever asks for the name first.
const INSERT: &str = concat!(
    "INSERT INTO project (name, is_public, storage_limit, count_limit, storage_granted, count_granted, owner_name,
        created_at, updated_at)
    SELECT $1, $2, $3, $4, $3, $4, $5, $6, $6 WHERE $7 OR NOT ",
    has_repositories!("$1"),
    " ON CONFLICT (name) DO NOTHING RETURNING id"
);

const INSERT_ADMIN: &str =
    "INSERT INTO project_member (project_id, user_id, role, created_at) VALUES ($1, $2, 'admin', $3)";

const UPDATE: &str = "
    UPDATE project SET is_public = COALESCE($2, is_public), storage_limit = COALESCE($3, storage_limit),
        count_limit = COALESCE($4, count_limit), updated_at = $5,
        storage_granted = CASE WHEN $6 THEN COALESCE($3, storage_granted) ELSE storage_granted END,
        count_granted = CASE WHEN $6 THEN COALESCE($4, count_granted) ELSE count_granted END
    WHERE id = $1 AND ($6 OR (
        ($3 IS NULL OR storage_granted < 0 OR $3 BETWEEN 0 AND storage_granted)
        AND ($4 IS NULL OR count_granted < 0 OR $4 BETWEEN 0 AND count_granted)))";

/// Who reserves room in a project with limits locks it before the session: so does whoever ends both.
macro_rules! lock_name {
    ($db:ident) => {
        concat!("SELECT name FROM project WHERE id = $1", lock!($db, " FOR UPDATE"))
    };
}
const LOCK_NAME: Text = both!(lock_name);

/// Whoever ends a robot or a member holds its row before their sessions.
macro_rules! lock_of_project {
    ($table:literal, $db:ident) => {
        concat!("SELECT id FROM ", $table, " WHERE project_id = $1", lock!($db, " ORDER BY id FOR UPDATE"))
    };
}
macro_rules! lock_robots {
    ($db:ident) => {
        lock_of_project!("robot", $db)
    };
}
macro_rules! lock_members {
    ($db:ident) => {
        lock_of_project!("project_member", $db)
    };
}
/// Whoever adds events of webhooks locks policies by their ids, as the last of their locks but for the queues.
macro_rules! lock_policies {
    ($db:ident) => {
        lock_of_project!("webhook_policy", $db)
    };
}
const LOCK_ROBOTS: Text = both!(lock_robots);
const LOCK_MEMBERS: Text = both!(lock_members);
const LOCK_POLICIES: Text = both!(lock_policies);

const DELETE: &str = concat!(
    "DELETE FROM project WHERE id = $1 AND NOT ",
    has_repositories!("project.name"),
    " RETURNING storage_granted, count_granted"
);

/// After the project's row: whoever waited there for the end of an earlier project sees here what that left.
const TAKE_FORMER: &str =
    "DELETE FROM former_project WHERE name = $1 RETURNING storage_granted, count_granted";
const GRANT: &str = "
    UPDATE project SET storage_limit = $2, storage_granted = $2, count_limit = $3, count_granted = $3 WHERE id = $1";
const KEEP_FORMER: &str = "
    INSERT INTO former_project (name, storage_granted, count_granted) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE
    SET storage_granted = excluded.storage_granted, count_granted = excluded.count_granted";

const COUNT_REPOSITORIES: &str =
    concat!("SELECT COUNT(*) FROM repository WHERE project_name = $1 AND ", has_content!());

/// What became of a wish to end a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedProject {
    Done,
    Absent,
    /// It has repositories.
    InUse,
}

#[derive(Debug, FromRow)]
pub(in crate::db) struct ProjectRow {
    id: i64,
    name: String,
    is_public: bool,
    storage_limit: i64,
    count_limit: i64,
    owner_name: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<ProjectRow> for Project {
    type Error = DbError;

    fn try_from(row: ProjectRow) -> Result<Self> {
        let limit = |column: &'static str, limit: i64| {
            QuotaLimit::try_from(limit).map_err(|error| corrupt("project", column, &row.id, &error))
        };
        Ok(Self {
            id: row.id,
            name: row.name.parse().map_err(|error| corrupt("project", "name", &row.id, &error))?,
            is_public: row.is_public,
            storage_limit: limit("storage_limit", row.storage_limit)?,
            count_limit: limit("count_limit", row.count_limit)?,
            owner_name: row.owner_name,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The lower of two limits, each negative for none.
fn narrower(one: i64, other: i64) -> i64 {
    if one < 0 || other < 0 { one.max(other) } else { one.min(other) }
}

impl Db {
    pub async fn find_project(&self, project: &ProjectReference) -> Result<Option<Project>> {
        let row: Option<ProjectRow> = match project {
            ProjectReference::Id(id) => {
                on_pool!(self, pool => sqlx::query_as(FIND).bind(id).fetch_optional(pool).await)?
            }
            ProjectReference::Name(name) => on_pool!(self, pool =>
                sqlx::query_as(FIND_BY_NAME).bind(name.as_str()).fetch_optional(pool).await)?,
        };
        row.map(Project::try_from).transpose()
    }

    /// Its owner becomes its admin. A project whose name has repositories already is made only where `adopt` says so; and
    /// unless it does, what was granted to an earlier project of the name is the most that this one may have, and uploads
    /// that were begun there are at their end.
    pub async fn insert_project(
        &self,
        project: &NewProject,
        owner: Option<(i64, &str)>,
        adopt: bool,
        now: DateTime<Utc>,
    ) -> Result<Inserted> {
        let project = project.clone();
        let (owner, name) = (owner.map(|(id, _)| id), owner.map_or("", |(_, name)| name).to_owned());
        in_transaction!(self, transaction => {
            let (storage, count) = (project.storage_limit.get(), project.count_limit.get());
            let id: Option<i64> = sqlx::query_scalar(INSERT)
                .bind(project.name.as_str())
                .bind(project.is_public)
                .bind(storage)
                .bind(count)
                .bind(name)
                .bind(now)
                .bind(adopt)
                .fetch_optional(&mut *transaction)
                .await?;
            if let Some((id, owner)) = id.zip(owner) {
                sqlx::query(INSERT_ADMIN).bind(id).bind(owner).bind(now).execute(&mut *transaction).await?;
            }
            if let Some(id) = id {
                let former = sqlx::query_as(TAKE_FORMER).bind(project.name.as_str());
                let former: Option<(i64, i64)> = former.fetch_optional(&mut *transaction).await?;
                if let Some((granted_storage, granted_count)) = former.filter(|_| !adopt) {
                    sqlx::query(GRANT)
                        .bind(id)
                        .bind(narrower(storage, granted_storage))
                        .bind(narrower(count, granted_count))
                        .execute(&mut *transaction)
                        .await?;
                }
                if !adopt {
                    end_all!(transaction, OF_PROJECT, project.name.as_str(), now);
                }
            }
            Inserted::from(id)
        })
    }

    /// With `is_grant` the limits are what the project's admins may set from then on. False when there is no such
    /// project, or when the limits are beyond what it was granted.
    pub async fn update_project(
        &self,
        id: i64,
        changes: &ProjectChanges,
        is_grant: bool,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let updated = on_pool!(self, pool => sqlx::query(UPDATE)
            .bind(id)
            .bind(changes.is_public)
            .bind(changes.storage_limit.map(QuotaLimit::get))
            .bind(changes.count_limit.map(QuotaLimit::get))
            .bind(now)
            .bind(is_grant)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(updated > 0)
    }

    /// With its members, robots and open sessions, if it has no repository. What it was granted is kept for its name, as
    /// far as a new project would get more bytes than that: so many, or -1.
    pub async fn delete_project(
        &self,
        id: i64,
        given_to_new: i64,
        now: DateTime<Utc>,
    ) -> Result<DeletedProject> {
        let [lock, lock_robots, lock_members, lock_policies] =
            [LOCK_NAME, LOCK_ROBOTS, LOCK_MEMBERS, LOCK_POLICIES].map(|statement| self.text(statement));
        in_transaction!(self, transaction => {
            let name: Option<String> =
                sqlx::query_scalar(lock).bind(id).fetch_optional(&mut *transaction).await?;
            let Some(name) = name else { return Ok(DeletedProject::Absent) };
            sqlx::query(lock_robots).bind(id).execute(&mut *transaction).await?;
            sqlx::query(lock_members).bind(id).execute(&mut *transaction).await?;
            // First: what is being committed there meanwhile has either ended here or is a repository below.
            end_all!(transaction, OF_PROJECT, &name, now);
            sqlx::query(lock_policies).bind(id).execute(&mut *transaction).await?;
            let granted: Option<(i64, i64)> =
                sqlx::query_as(DELETE).bind(id).fetch_optional(&mut *transaction).await?;
            let Some((storage, count)) = granted else {
                transaction.rollback().await?;
                return Ok(DeletedProject::InUse);
            };
            let storage = if narrower(storage, given_to_new) == given_to_new { -1 } else { storage };
            if storage >= 0 || count >= 0 {
                let keep = sqlx::query(KEEP_FORMER).bind(&name).bind(storage).bind(count);
                keep.execute(&mut *transaction).await?;
            }
            DeletedProject::Done
        })
    }

    pub async fn count_repositories(&self, project: &ProjectName) -> Result<u64> {
        let count: i64 = on_pool!(self, pool =>
            sqlx::query_scalar(COUNT_REPOSITORIES).bind(project.as_str()).fetch_one(pool).await)?;
        Ok(count.unsigned_abs())
    }
}
