//! Projects, by the API that Harbor has and Overside too.

use reqwest::StatusCode;
use serde_json::json;

use super::auth::Scope;
use super::{CALL_TIMEOUT, Client, Result};
use crate::domain::name::RepositoryName;

impl Client {
    /// Makes the project that a repository is in, unless it is there. False where it was.
    pub async fn create_project(&self, repository: &RepositoryName) -> Result<bool> {
        let name = repository.as_str().split('/').next().unwrap_or_default();
        let url = self.url("api/v2.0/projects")?;
        let request = || self.http.post(url.clone()).json(&json!({ "project_name": name }));
        let answer = self.call(Some(CALL_TIMEOUT), &Scope::Password, request).await?;
        match answer.status {
            StatusCode::CONFLICT => Ok(false),
            StatusCode::NOT_FOUND => Err(answer.unexpected("404; it has no projects to create")),
            _ => answer.expect(StatusCode::CREATED).map(|_| true),
        }
    }
}
