//! The management API of Harbor and Overside: users, projects, robots and settings, as JSON below `/api/v2.0/`.

use overside_protocol::name::RepositoryName;
use overside_protocol::wire::{IS_NAME, MANAGEMENT_PATH, TOTAL_COUNT};
use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::transport::CALL_TIMEOUT;
use crate::transport::auth::Scope;
use crate::{Client, Error, Result};

/// What the API says to a request that it has carried out.
#[derive(Debug, Clone)]
pub struct ManagementAnswer {
    /// Where that is which a POST has made.
    pub location: Option<String>,
    /// `null` where the answer has no body.
    pub json: Value,
    /// Entries of a list in all pages.
    pub total: Option<u64>,
}

impl Client {
    /// Sends a request to `/api/v2.0/{path}`, with name and password if there are any. Projects in the path are named.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's own words where it does not do it. A POST is sent once: whether one that got
    /// no answer has been carried out is for the caller to look up.
    pub async fn manage(&self, method: Method, path: &str, body: Option<&Value>) -> Result<ManagementAnswer> {
        let url = self.url(&format!("{}{path}", &MANAGEMENT_PATH[1..]))?;
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
        let answer = answer.expect_done()?;
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

    /// Makes the project that a repository is in, unless it is there. False where it was.
    pub async fn create_project(&self, repository: &RepositoryName) -> Result<bool> {
        let name = repository.as_str().split('/').next().unwrap_or_default();
        let made = self.manage(Method::POST, "projects", Some(&json!({ "project_name": name }))).await;
        match made {
            Err(Error::Refused(refusal)) if refusal.status == StatusCode::CONFLICT => Ok(false),
            Err(Error::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                Err(self.unexpected("404; it has no projects to create"))
            }
            made => made.map(|_| true),
        }
    }
}
