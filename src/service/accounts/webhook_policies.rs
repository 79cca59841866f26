//! Whom projects tell of what happens in them.

use crate::db::Inserted;
use crate::domain::access::{Caller, ProjectReference};
use crate::domain::webhook::{InvalidPolicy, WebhookPolicy, WebhookRules, WebhookTrigger};
use crate::service::{Result, Service, ServiceError};

const UNKNOWN: ServiceError = ServiceError::Unknown("webhook policy");
/// Of one project: each adds a row to every push.
const MOST_POLICIES: u32 = 50;

impl Service {
    /// A project's policies in the order of their names, and how many there are in all.
    pub async fn webhook_policies(
        &self,
        project: &ProjectReference,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<WebhookPolicy>, u64)> {
        let project = self.find_project(project).await?;
        Ok(self.db.webhook_policies(project.id, limit, offset).await?)
    }

    pub async fn webhook_policy(&self, project: &ProjectReference, id: i64) -> Result<WebhookPolicy> {
        let project = self.find_project(project).await?;
        self.db.find_webhook_policy(project.id, id).await?.ok_or(UNKNOWN)
    }

    /// The ids of the project and the new policy.
    pub async fn create_webhook_policy(
        &self,
        caller: &Caller,
        project: &ProjectReference,
        rules: &WebhookRules,
    ) -> Result<(i64, i64)> {
        rules.check()?;
        let project = self.find_project(project).await?;
        if self.db.count_webhook_policies(project.id).await? >= u64::from(MOST_POLICIES) {
            let text = format!("a project has at most {MOST_POLICIES} webhook policies; delete one first");
            return Err(ServiceError::Invalid(text));
        }
        let creator = caller.name().unwrap_or_default();
        match self.db.insert_webhook_policy(project.id, rules, creator, self.clock.now()).await? {
            Inserted::Created(id) => Ok((project.id, id)),
            Inserted::Exists => Err(exists(rules)),
        }
    }

    pub async fn update_webhook_policy(
        &self,
        project: &ProjectReference,
        id: i64,
        rules: &WebhookRules,
    ) -> Result<()> {
        rules.check()?;
        let project = self.find_project(project).await?;
        match self.db.update_webhook_policy(project.id, id, rules, self.clock.now()).await? {
            Some(Inserted::Created(_)) => Ok(()),
            Some(Inserted::Exists) => Err(exists(rules)),
            None => Err(UNKNOWN),
        }
    }

    /// With the events that wait for it.
    pub async fn delete_webhook_policy(&self, project: &ProjectReference, id: i64) -> Result<()> {
        let project = self.find_project(project).await?;
        if self.db.delete_webhook_policy(project.id, id).await? { Ok(()) } else { Err(UNKNOWN) }
    }

    /// When events of each type were last delivered, policy by policy.
    pub async fn webhook_triggers(&self, project: &ProjectReference) -> Result<Vec<WebhookTrigger>> {
        let project = self.find_project(project).await?;
        Ok(self.db.webhook_triggers(project.id, MOST_POLICIES).await?)
    }
}

impl From<InvalidPolicy> for ServiceError {
    fn from(error: InvalidPolicy) -> Self {
        Self::Invalid(error.to_string())
    }
}

fn exists(rules: &WebhookRules) -> ServiceError {
    ServiceError::Exists(format!("the project has a webhook policy {} already", rules.name))
}
