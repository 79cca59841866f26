//! Users, projects and what belongs to them: the API in Harbor's shape, and the same from the command line.

mod commands;
mod ends;
mod envelope;
mod first;
mod logged;
mod members;
mod open;
mod projects;
mod quotas;
mod robots;
mod secrets;
mod tokens;
mod users;

use reqwest::{Client, Method};
use serde_json::Value;

use crate::support::api::Answer;
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{self, Login};

pub fn cases() -> Vec<Story> {
    [
        projects::cases(),
        members::cases(),
        robots::cases(),
        users::cases(),
        tokens::cases(),
        quotas::cases(),
        ends::cases(),
        envelope::cases(),
        open::cases(),
        first::cases(),
        commands::cases(),
        secrets::cases(),
        logged::cases(),
    ]
    .concat()
}

/// The API as somebody calls it.
#[derive(Debug, Clone)]
struct Api {
    http: Client,
    base: String,
    login: Option<Login>,
}

impl Api {
    fn of(server: &Server) -> Self {
        Self { http: support::http(), base: format!("{}/api/v2.0/", server.base_url()), login: None }
    }

    fn with(&self, login: &Login) -> Self {
        Self { login: Some(login.clone()), ..self.clone() }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(login) = &self.login {
            request = login.sign(request);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        Answer::to(request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    async fn head(&self, path: &str) -> Answer {
        self.call(Method::HEAD, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// Whether somebody is let in with a name and this secret, to be told that there is no such project.
    async fn lets_in(&self, name: &str, secret: &str) -> bool {
        let login = Login { name: name.to_owned(), secret: secret.to_owned() };
        self.with(&login).head("projects?project_name=x").await.status == 404
    }
}

/// The id at the end of where something was made.
#[track_caller]
fn id_of(created: &Answer) -> i64 {
    let location = created.header("location").expect("where it is");
    location.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id at the end")
}

/// The values of a field in a list.
#[track_caller]
fn field(list: &Answer, name: &str) -> Vec<Value> {
    let list = list.json();
    list.as_array().expect("a list").iter().map(|entry| entry[name].clone()).collect()
}
