//! What a sign-in and a permission are decided by. Who keeps these rows: `users.rs`, `projects.rs`, `robots.rs`.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, Result, corrupt, on_pool};
use crate::domain::access::{Actions, ProjectName, ProjectReference, Role};
use crate::domain::account::RobotName;
use crate::domain::secret::SecretHash;

pub(in crate::db) const FIND_USER: &str =
    "SELECT id, name, password_hash, is_admin FROM user_account WHERE name = $1";

pub(in crate::db) const FIND_FEDERATED: &str = "
    SELECT id, name, password_hash, is_admin FROM user_account WHERE oidc_issuer = $1 AND oidc_subject = $2";

pub(in crate::db) const FIND_TOKEN: &str = "
    SELECT user_account.id, user_account.name, user_account.password_hash, user_account.is_admin,
        access_token.secret_hash, access_token.expires_at
    FROM access_token JOIN user_account ON user_account.id = access_token.user_id WHERE access_token.id = $1";

pub(in crate::db) const FIND_ROBOT: &str = "
    SELECT robot.id, robot.actions, robot.secret_hash, robot.expires_at, robot.is_disabled,
        (SELECT owner.name FROM user_account AS owner
            WHERE owner.name = project.owner_name AND NOT owner.is_admin) AS owner_name
    FROM robot JOIN project ON project.id = robot.project_id WHERE project.name = $1 AND robot.name = $2";

/// One look for everybody, a member or not, there or not: it takes the same time.
pub(in crate::db) const PROJECT_ACCESS: &str = "
    SELECT project.id, project.name, project.is_public, project_member.role
    FROM project LEFT JOIN project_member ON project_member.project_id = project.id AND project_member.user_id = $2
    WHERE project.name = $1";

const PROJECT_ACCESS_BY_ID: &str = "
    SELECT project.id, project.name, project.is_public, project_member.role
    FROM project LEFT JOIN project_member ON project_member.project_id = project.id AND project_member.user_id = $2
    WHERE project.id = $1";

/// No user has this id.
pub(in crate::db) const NOBODY: i64 = -1;

/// A user, as a sign-in is decided by.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UserAccount {
    pub id: i64,
    pub name: String,
    /// None for whoever signs in with tokens alone.
    pub password_hash: Option<String>,
    pub is_admin: bool,
}

/// A personal access token and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAccount {
    pub user: UserAccount,
    pub secret_hash: SecretHash,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A robot, as a sign-in is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotAccount {
    pub id: i64,
    /// Who has made its project, unless they run the service or are gone.
    pub owner: Option<String>,
    pub actions: Actions,
    pub secret_hash: SecretHash,
    pub expires_at: Option<DateTime<Utc>>,
    pub is_disabled: bool,
}

/// A project as one user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectAccess {
    pub id: i64,
    pub name: ProjectName,
    pub is_public: bool,
    pub role: Option<Role>,
}

#[derive(Debug, FromRow)]
struct TokenRow {
    #[sqlx(flatten)]
    user: UserAccount,
    secret_hash: Vec<u8>,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
struct RobotRow {
    id: i64,
    owner_name: Option<String>,
    actions: String,
    secret_hash: Vec<u8>,
    expires_at: Option<DateTime<Utc>>,
    is_disabled: bool,
}

#[derive(Debug, FromRow)]
struct ProjectAccessRow {
    id: i64,
    name: String,
    is_public: bool,
    role: Option<String>,
}

impl Db {
    pub async fn find_user_account(&self, name: &str) -> Result<Option<UserAccount>> {
        Ok(on_pool!(self, pool => sqlx::query_as(FIND_USER).bind(name).fetch_optional(pool).await)?)
    }

    /// The user whose OIDC tokens have this issuer and subject.
    pub async fn find_federated_user(&self, issuer: &str, subject: &str) -> Result<Option<UserAccount>> {
        Ok(on_pool!(self, pool =>
            sqlx::query_as(FIND_FEDERATED).bind(issuer).bind(subject).fetch_optional(pool).await)?)
    }

    pub async fn find_token_account(&self, id: Uuid) -> Result<Option<TokenAccount>> {
        let row: Option<TokenRow> =
            on_pool!(self, pool => sqlx::query_as(FIND_TOKEN).bind(id).fetch_optional(pool).await)?;
        let account = |TokenRow { user, secret_hash, expires_at }| {
            let secret_hash = secret("access_token", &id, secret_hash)?;
            Ok(TokenAccount { user, secret_hash, expires_at })
        };
        row.map(account).transpose()
    }

    pub async fn find_robot_account(&self, robot: &RobotName) -> Result<Option<RobotAccount>> {
        let row: Option<RobotRow> = on_pool!(self, pool => sqlx::query_as(FIND_ROBOT)
            .bind(robot.project.as_str())
            .bind(&robot.name)
            .fetch_optional(pool)
            .await)?;
        let account = |row: RobotRow| {
            Ok(RobotAccount {
                id: row.id,
                owner: row.owner_name,
                actions: row.actions.parse().map_err(|error| corrupt("robot", "actions", robot, &error))?,
                secret_hash: secret("robot", robot, row.secret_hash)?,
                expires_at: row.expires_at,
                is_disabled: row.is_disabled,
            })
        };
        row.map(account).transpose()
    }

    /// A project, and what a user is in it.
    pub async fn project_access(
        &self,
        project: &ProjectReference,
        user: Option<i64>,
    ) -> Result<Option<ProjectAccess>> {
        let user = user.unwrap_or(NOBODY);
        let row: Option<ProjectAccessRow> = match project {
            ProjectReference::Name(name) => on_pool!(self, pool =>
                sqlx::query_as(PROJECT_ACCESS).bind(name.as_str()).bind(user).fetch_optional(pool).await)?,
            ProjectReference::Id(id) => on_pool!(self, pool =>
                sqlx::query_as(PROJECT_ACCESS_BY_ID).bind(id).bind(user).fetch_optional(pool).await)?,
        };
        let access = |row: ProjectAccessRow| {
            let role = row.role.as_deref().map(str::parse).transpose();
            Ok(ProjectAccess {
                id: row.id,
                role: role.map_err(|error| corrupt("project_member", "role", &row.id, &error))?,
                name: row.name.parse().map_err(|error| corrupt("project", "name", &row.id, &error))?,
                is_public: row.is_public,
            })
        };
        row.map(access).transpose()
    }
}

pub(in crate::db) fn secret(
    table: &'static str,
    row: &dyn std::fmt::Display,
    bytes: Vec<u8>,
) -> Result<SecretHash> {
    let bytes = bytes.try_into();
    bytes.map(SecretHash).map_err(|_| corrupt(table, "secret_hash", row, &"has another length"))
}
