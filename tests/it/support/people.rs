//! Users with a token each, and projects with members, written past the service.

use overside::auth::secret::{PersonalToken, SecretHash};
use overside::domain::clock::Clock;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::Stack;
use super::api::Repository;
use super::database::Database;

/// Somebody who signs in with a personal access token.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: &'static str,
    pub token: String,
    pub http: Client,
}

impl Person {
    /// As this person sees it.
    pub fn repository(&self, base_url: &str, name: &str) -> Repository {
        let mut repository = Repository::of(base_url, name);
        repository.http = self.http.clone();
        repository
    }
}

/// A user, once a server has made the tables.
pub async fn user(stack: &Stack, name: &'static str, is_admin: bool) -> Person {
    let now = Clock::System.now().to_rfc3339();
    let user = format!(
        "INSERT INTO user_account (name, is_admin, created_at) VALUES ('{name}', {is_admin}, '{now}')"
    );
    assert_eq!(stack.database.run(user).await, 1);
    let token = PersonalToken::generate();
    let SecretHash(hash) = token.secret.hash();
    let (id, hash) = (bytes(stack, token.id.as_bytes(), "uuid"), bytes(stack, &hash, "bytea"));
    let stored = format!(
        "INSERT INTO access_token (id, user_id, name, secret_hash, created_at)
         SELECT {id}, id, 'test', {hash}, '{now}' FROM user_account WHERE name = '{name}'"
    );
    assert_eq!(stack.database.run(stored).await, 1);
    let token = token.reveal();
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("ASCII"));
    Person { name, token, http: super::http_with(|builder| builder.default_headers(headers)) }
}

/// A private project with these members.
pub async fn project(stack: &Stack, name: &str, members: &[(&Person, &str)]) {
    let now = Clock::System.now().to_rfc3339();
    let project = format!(
        "INSERT INTO project (name, is_public, owner_name, created_at, updated_at)
         VALUES ('{name}', FALSE, 'nobody', '{now}', '{now}')"
    );
    assert_eq!(stack.database.run(project).await, 1);
    for (person, role) in members {
        let member = format!(
            "INSERT INTO project_member (project_id, user_id, role, created_at)
             SELECT project.id, user_account.id, '{role}', '{now}' FROM project, user_account
             WHERE project.name = '{name}' AND user_account.name = '{}'",
            person.name
        );
        assert_eq!(stack.database.run(member).await, 1);
    }
}

/// A literal of either database.
fn bytes(stack: &Stack, bytes: &[u8], postgres_type: &str) -> String {
    let hex = hex::encode(bytes);
    match (&stack.database, postgres_type) {
        (Database::Sqlite { .. }, _) => format!("x'{hex}'"),
        (Database::Postgres { .. }, "uuid") => format!("'{hex}'::uuid"),
        (Database::Postgres { .. }, _) => format!("'\\x{hex}'::bytea"),
    }
}
