//! Robots: what they may, and the hashes of their secrets.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::accounts::authorization::NOBODY;
use crate::db::accounts::ends::{OF_USER, end_all};
use crate::db::text::Text;
use crate::db::{Db, DbError, Inserted, Result, corrupt, in_transaction, on_pool};
use crate::domain::access::{Actions, ProjectName};
use crate::domain::account::{Robot, RobotName};
use crate::domain::secret::SecretHash;

macro_rules! select_robot {
    ($rest:literal) => {
        concat!(
            "SELECT robot.id, project.name AS project_name, robot.name, robot.description, robot.actions,
                robot.is_disabled, robot.created_at, robot.expires_at
            FROM robot JOIN project ON project.id = robot.project_id ",
            $rest
        )
    };
}

/// `$1` to `$4`: who looks, whether they see all, in which projects besides, and the one that is meant; empty for any.
macro_rules! managed {
    ($names:literal) => {
        concat!(
            "LEFT JOIN project_member ON project_member.project_id = project.id AND project_member.user_id = $1
            WHERE ($2 OR project_member.role = 'admin' OR project.name IN (",
            $names,
            ")) AND ($4 = '' OR project.name = $4)"
        )
    };
}

macro_rules! page {
    ($names:literal) => {
        concat!(select_robot!(""), managed!($names), " ORDER BY project.name, robot.name LIMIT $5 OFFSET $6")
    };
}

macro_rules! count {
    ($names:literal) => {
        concat!("SELECT COUNT(*) FROM robot JOIN project ON project.id = robot.project_id ", managed!($names))
    };
}

const LIST: Text = Text {
    postgres: page!("SELECT jsonb_array_elements_text($3)"),
    sqlite: page!("SELECT value FROM json_each($3)"),
};
const COUNT: Text = Text {
    postgres: count!("SELECT jsonb_array_elements_text($3)"),
    sqlite: count!("SELECT value FROM json_each($3)"),
};

const FIND: &str = select_robot!("WHERE robot.id = $1");
const INSERT: &str = "
    INSERT INTO robot (project_id, name, description, actions, secret_hash, created_at, expires_at)
    SELECT project.id, $2, $3, $4, $5, $6, $7 FROM project WHERE project.name = $1
    ON CONFLICT (project_id, name) DO NOTHING RETURNING id";

const SET_SECRET: &str = "UPDATE robot SET secret_hash = $2 WHERE id = $1";
const UPDATE: &str = "
    UPDATE robot SET description = COALESCE($2, description), is_disabled = COALESCE($3, is_disabled) WHERE id = $1";
const DELETE: &str = "
    DELETE FROM robot WHERE id = $1
    RETURNING name, (SELECT project.name FROM project WHERE project.id = robot.project_id)";

/// Who looks at robots, and at which.
#[derive(Debug, Clone, Default)]
pub struct RobotFilter {
    /// Sees all of them.
    pub is_all: bool,
    /// Sees those of projects that this user is an admin of.
    pub user: Option<i64>,
    /// Sees those of these projects as well.
    pub names: Vec<ProjectName>,
    /// Of this project alone.
    pub project: Option<ProjectName>,
}

#[derive(Debug, FromRow)]
struct RobotRow {
    id: i64,
    project_name: String,
    name: String,
    description: String,
    actions: String,
    is_disabled: bool,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

impl TryFrom<RobotRow> for Robot {
    type Error = DbError;

    fn try_from(row: RobotRow) -> Result<Self> {
        let project = row
            .project_name
            .parse()
            .map_err(|error| corrupt("project", "name", &row.project_name, &error))?;
        Ok(Self {
            id: row.id,
            name: RobotName::new(project, &row.name)
                .map_err(|error| corrupt("robot", "name", &row.id, &error))?,
            description: row.description,
            actions: row.actions.parse().map_err(|error| corrupt("robot", "actions", &row.id, &error))?,
            is_disabled: row.is_disabled,
            created_at: row.created_at,
            expires_at: row.expires_at,
        })
    }
}

impl Db {
    /// Robots in the order of their names, and how many there are in all.
    pub async fn robots(&self, filter: &RobotFilter, limit: u32, offset: u64) -> Result<(Vec<Robot>, u64)> {
        let user = filter.user.unwrap_or(NOBODY);
        let names = serde_json::json!(filter.names);
        let project = filter.project.as_ref().map_or("", ProjectName::as_str);
        let (list, count) = (self.text(LIST), self.text(COUNT));
        let rows: Vec<RobotRow> = on_pool!(self, pool => sqlx::query_as(list)
            .bind(user)
            .bind(filter.is_all)
            .bind(&names)
            .bind(project)
            .bind(i64::from(limit))
            .bind(offset.cast_signed())
            .fetch_all(pool)
            .await)?;
        let count: i64 = on_pool!(self, pool => sqlx::query_scalar(count)
            .bind(user)
            .bind(filter.is_all)
            .bind(&names)
            .bind(project)
            .fetch_one(pool)
            .await)?;
        Ok((rows.into_iter().map(Robot::try_from).collect::<Result<_>>()?, count.unsigned_abs()))
    }

    pub async fn find_robot(&self, id: i64) -> Result<Option<Robot>> {
        let row: Option<RobotRow> =
            on_pool!(self, pool => sqlx::query_as(FIND).bind(id).fetch_optional(pool).await)?;
        row.map(Robot::try_from).transpose()
    }

    /// `Exists` also where the project has just gone.
    pub async fn insert_robot(
        &self,
        name: &RobotName,
        (description, actions): (&str, Actions),
        secret_hash: &SecretHash,
        now: DateTime<Utc>,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<Inserted> {
        let (name, description, secret_hash) = (name.clone(), description.to_owned(), *secret_hash);
        in_transaction!(self, transaction => {
            let id: Option<i64> = sqlx::query_scalar(INSERT)
                .bind(name.project.as_str())
                .bind(&name.name)
                .bind(&description)
                .bind(actions.to_string())
                .bind(secret_hash.0.as_slice())
                .bind(now)
                .bind(expires_at)
                .fetch_optional(&mut *transaction)
                .await?;
            if id.is_some() {
                end_all!(transaction, OF_USER, name.to_string(), now);
            }
            Inserted::from(id)
        })
    }

    /// False when there is no such robot.
    pub async fn set_robot_secret(&self, id: i64, secret_hash: &SecretHash) -> Result<bool> {
        let updated = on_pool!(self, pool => sqlx::query(SET_SECRET)
            .bind(id)
            .bind(secret_hash.0.as_slice())
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(updated > 0)
    }

    /// None stays as it is; false when there is no such robot.
    pub async fn update_robot(
        &self,
        id: i64,
        description: Option<&str>,
        is_disabled: Option<bool>,
    ) -> Result<bool> {
        let updated = on_pool!(self, pool => sqlx::query(UPDATE)
            .bind(id)
            .bind(description)
            .bind(is_disabled)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(updated > 0)
    }

    /// With its open sessions; false when there is no such robot.
    pub async fn delete_robot(&self, id: i64, now: DateTime<Utc>) -> Result<bool> {
        in_transaction!(self, transaction => {
            let deleted: Option<(String, String)> =
                sqlx::query_as(DELETE).bind(id).fetch_optional(&mut *transaction).await?;
            if let Some((name, project)) = &deleted {
                let project = project.parse().map_err(|error| corrupt("project", "name", project, &error))?;
                let robot =
                    RobotName::new(project, name).map_err(|error| corrupt("robot", "name", &id, &error))?;
                end_all!(transaction, OF_USER, robot.to_string(), now);
            }
            deleted.is_some()
        })
    }
}
