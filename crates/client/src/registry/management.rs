//! The management API of Harbor and Overside: users, projects, robots and settings, as JSON below `/api/v2.0/`.

use overside_protocol::wire::{IS_NAME, MANAGEMENT_PATH, TOTAL_COUNT};
use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::transport::CALL_TIMEOUT;
use crate::transport::auth::Scope;
use crate::{Error, Registry, Repository, Result};

/// The API's answer to a request that it has carried out.
#[derive(Debug, Clone)]
pub struct ManagementAnswer {
    /// `Location`: the path of what a POST has created.
    pub location: Option<String>,
    /// `null` where the answer has no body.
    pub json: Value,
    /// Number of entries in all pages of a list.
    pub total: Option<u64>,
}

impl Registry {
    /// Sends a request to `/api/v2.0/{path}`, with name and password if there are any. Projects in the path are given by
    /// name.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's own words if it does not carry the request out. Besides that what
    /// [any request](Error#any-request) can fail with. A POST is sent once: whether one that got no answer has been carried
    /// out is for the caller to look up.
    pub async fn manage(&self, method: Method, path: &str, body: Option<&Value>) -> Result<ManagementAnswer> {
        let url = self.join(&format!("{}{path}", &MANAGEMENT_PATH[1..]))?;
        let request = || {
            let request = self.http.request(method.clone(), url.clone()).header(IS_NAME, "true");
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        let answer = if method == Method::POST {
            self.attempt(&self.base, &Scope::Password, || request().timeout(CALL_TIMEOUT)).await?
        } else {
            self.call(&Scope::Password, request).await?
        };
        let answer = answer.expect_success()?;
        Ok(ManagementAnswer {
            location: answer.header(LOCATION.as_str()).map(str::to_owned),
            json: if answer.body.is_empty() { Value::Null } else { answer.json()? },
            total: answer.parsed(TOTAL_COUNT.as_str()),
        })
    }

    /// The password that requests to this API are sent with.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.authenticator.password()
    }
}

impl Repository {
    /// Creates the project that the repository is in; false if it exists.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the registry has no projects, [`Error::Refused`] if it does not let the caller create one.
    /// Besides that what [any request](Error#any-request) can fail with.
    pub async fn create_project(&self) -> Result<bool> {
        let name = self.name.as_str().split('/').next().unwrap_or_default();
        let body = json!({ "project_name": name });
        match self.registry.manage(Method::POST, "projects", Some(&body)).await {
            Err(Error::Refused(refusal)) if refusal.status == StatusCode::CONFLICT => Ok(false),
            Err(Error::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                Err(self.registry.unexpected("404; it has no projects to create"))
            }
            created => created.map(|_| true),
        }
    }
}
