//! Users, projects and robots for a story, written past the service.

use std::fmt::Display;
use std::sync::LazyLock;

use overside::auth::password;
use overside::auth::secret::Secret;
use overside::domain::access::{Actions, Role};
use overside::domain::clock::Clock;
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::Stack;
use super::database::Database;

/// Every user's.
pub const PASSWORD: &str = "correct horse battery staple";

/// Hashed once: it takes as long as several stories' other sign-ins.
static PASSWORD_HASH: LazyLock<String> =
    LazyLock::new(|| password::hash_new(PASSWORD).expect("a password of a good length"));

/// Of a stack whose tables are there.
#[derive(Debug)]
pub struct Accounts<'a> {
    database: &'a Database,
}

macro_rules! execute {
    ($database:expr, $sql:expr $(, $value:expr)*) => {{
        let sql: &'static str = $sql;
        match $database {
            Database::Postgres { .. } => {
                let mut connection = PgConnection::connect(&$database.url()).await.expect("PostgreSQL answers");
                sqlx::query(sql)$(.bind($value))*.execute(&mut connection).await.expect(sql);
            }
            Database::Sqlite { url } => {
                let mut connection = SqliteConnection::connect(url).await.expect("SQLite opens");
                sqlx::query(sql)$(.bind($value))*.execute(&mut connection).await.expect(sql);
            }
        }
    }};
}

impl<'a> Accounts<'a> {
    pub fn of(stack: &'a Stack) -> Self {
        Self { database: &stack.database }
    }

    /// A user with [`PASSWORD`].
    pub async fn user(&self, name: &str) -> &'static str {
        self.insert_user(name, false).await
    }

    /// Somebody who runs the service, with [`PASSWORD`].
    pub async fn administrator(&self, name: &str) -> &'static str {
        self.insert_user(name, true).await
    }

    async fn insert_user(&self, name: &str, is_admin: bool) -> &'static str {
        const SQL: &str =
            "INSERT INTO user_account (name, password_hash, is_admin, created_at) VALUES ($1, $2, $3, $4)";
        execute!(self.database, SQL, name, PASSWORD_HASH.as_str(), is_admin, Clock::System.now());
        PASSWORD
    }

    /// A user without a password, whose OIDC tokens say so.
    pub async fn federated(&self, name: &str, issuer: &str, subject: &str) {
        const SQL: &str =
            "INSERT INTO user_account (name, oidc_issuer, oidc_subject, created_at) VALUES ($1, $2, $3, $4)";
        execute!(self.database, SQL, name, issuer, subject, Clock::System.now());
    }

    pub async fn project(&self, name: &str, is_public: bool) {
        const SQL: &str = "INSERT INTO project (name, is_public, owner_name, created_at, updated_at)
            VALUES ($1, $2, '', $3, $3)";
        execute!(self.database, SQL, name, is_public, Clock::System.now());
    }

    /// Makes a user a member, or another kind of member.
    pub async fn member(&self, project: &str, user: &str, role: Role) {
        const SQL: &str = "INSERT INTO project_member (project_id, user_id, role, created_at)
            SELECT project.id, user_account.id, $3, $4 FROM project CROSS JOIN user_account
            WHERE project.name = $1 AND user_account.name = $2
            ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role";
        execute!(self.database, SQL, project, user, role.as_str(), Clock::System.now());
    }

    /// `robot$PROJECT+NAME`, and its secret.
    pub async fn robot(&self, project: &str, name: &str, actions: Actions) -> String {
        const SQL: &str = "INSERT INTO robot (project_id, name, actions, secret_hash, created_at)
            SELECT id, $2, $3, $4, $5 FROM project WHERE name = $1";
        let secret = Secret::generate();
        let hash = secret.hash().0.to_vec();
        execute!(self.database, SQL, project, name, actions.to_string(), hash, Clock::System.now());
        secret.reveal().to_owned()
    }
}

/// `Authorization` of somebody who signs in with a name and a secret.
pub fn basic(name: impl Display, secret: impl Display) -> String {
    use base64::Engine;
    let credentials = format!("{name}:{secret}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}
