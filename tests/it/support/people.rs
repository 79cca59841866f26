//! Users with a token each, for stories in which nobody types a password.

use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::api::Repository;
use super::{Accounts, Stack};

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

/// A user in no project.
pub async fn user(stack: &Stack, name: &'static str, is_admin: bool) -> Person {
    let accounts = Accounts::of(stack).await;
    if is_admin {
        accounts.administrator(name).await;
    } else {
        accounts.user(name).await;
    }
    let token = accounts.token(name).await;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("ASCII"));
    Person { name, token, http: super::http_with(|builder| builder.default_headers(headers)) }
}

/// A private project with these members.
pub async fn project(stack: &Stack, name: &str, members: &[(&Person, &str)]) {
    let accounts = Accounts::of(stack).await;
    accounts.project(name, false).await;
    for (person, role) in members {
        accounts.member(name, person.name, role.parse().expect("a role")).await;
    }
}
