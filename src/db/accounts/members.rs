//! Who is in which project, as what.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::{Db, DbError, Inserted, Result, corrupt, on_pool};
use crate::domain::access::Role;
use crate::domain::project::Member;

macro_rules! select_member {
    ($rest:literal) => {
        concat!(
            "SELECT project_member.id, project_member.project_id, project_member.user_id, user_account.name AS user_name,
                project_member.role
            FROM project_member JOIN user_account ON user_account.id = project_member.user_id ",
            $rest
        )
    };
}

const LIST: &str =
    select_member!("WHERE project_member.project_id = $1 ORDER BY user_account.name LIMIT $2 OFFSET $3");
const COUNT: &str = "SELECT COUNT(*) FROM project_member WHERE project_id = $1";
const FIND: &str = select_member!("WHERE project_member.project_id = $1 AND project_member.id = $2");

/// Of a user and a project that are there.
const INSERT: &str = "
    INSERT INTO project_member (project_id, user_id, role, created_at)
    SELECT project.id, user_account.id, $3, $4 FROM project CROSS JOIN user_account
    WHERE project.id = $1 AND user_account.id = $2
    ON CONFLICT (project_id, user_id) DO NOTHING RETURNING id";

const UPDATE: &str = "UPDATE project_member SET role = $3 WHERE project_id = $1 AND id = $2";
const DELETE: &str = "DELETE FROM project_member WHERE project_id = $1 AND id = $2";

#[derive(Debug, FromRow)]
struct MemberRow {
    id: i64,
    project_id: i64,
    user_id: i64,
    user_name: String,
    role: String,
}

impl TryFrom<MemberRow> for Member {
    type Error = DbError;

    fn try_from(row: MemberRow) -> Result<Self> {
        Ok(Self {
            role: row.role.parse().map_err(|error| corrupt("project_member", "role", &row.id, &error))?,
            id: row.id,
            project_id: row.project_id,
            user_id: row.user_id,
            user_name: row.user_name,
        })
    }
}

impl Db {
    /// A project's members in the order of their names, and how many there are in all.
    pub async fn members(&self, project: i64, limit: u32, offset: u64) -> Result<(Vec<Member>, u64)> {
        let rows: Vec<MemberRow> = on_pool!(self, pool => sqlx::query_as(LIST)
            .bind(project)
            .bind(i64::from(limit))
            .bind(offset.cast_signed())
            .fetch_all(pool)
            .await)?;
        let count: i64 =
            on_pool!(self, pool => sqlx::query_scalar(COUNT).bind(project).fetch_one(pool).await)?;
        Ok((rows.into_iter().map(Member::try_from).collect::<Result<_>>()?, count.unsigned_abs()))
    }

    pub async fn find_member(&self, project: i64, id: i64) -> Result<Option<Member>> {
        let row: Option<MemberRow> = on_pool!(self, pool =>
            sqlx::query_as(FIND).bind(project).bind(id).fetch_optional(pool).await)?;
        row.map(Member::try_from).transpose()
    }

    pub async fn insert_member(
        &self,
        project: i64,
        user: i64,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<Inserted> {
        let id: Option<i64> = on_pool!(self, pool => sqlx::query_scalar(INSERT)
            .bind(project)
            .bind(user)
            .bind(role.as_str())
            .bind(now)
            .fetch_optional(pool)
            .await)?;
        Ok(id.into())
    }

    /// False when there is no such member.
    pub async fn update_member(&self, project: i64, id: i64, role: Role) -> Result<bool> {
        let updated = on_pool!(self, pool => sqlx::query(UPDATE)
            .bind(project)
            .bind(id)
            .bind(role.as_str())
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(updated > 0)
    }

    /// False when there is no such member.
    pub async fn delete_member(&self, project: i64, id: i64) -> Result<bool> {
        let deleted = on_pool!(self, pool => sqlx::query(DELETE)
            .bind(project)
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }
}
