//! What an administrator has set: read again and again, so that it holds on all replicas within a second.

use std::sync::{Arc, PoisonError};

use crate::domain::access::Caller;
use crate::domain::audit::{Operation, ResourceType};
use crate::domain::settings::{Setting, Settings, Value};
use crate::service::{Result, Service};

impl Service {
    /// The settings as this replica last read them.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the settings. While the database is away the old ones hold.
    pub async fn refresh_settings(&self) -> Result<()> {
        let mut settings = self.limits.settings();
        for (name, text) in self.db.settings().await? {
            // A newer replica may know more names and values than this one.
            let known = name.parse::<Setting>().and_then(|setting| Ok((setting, setting.parse(&text)?)));
            match known {
                Ok((setting, value)) => settings.set(setting, value),
                Err(error) => tracing::debug!(%error, "a stored setting is passed over"),
            }
        }
        if *self.settings() != settings {
            *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
            tracing::info!("the settings have changed");
        }
        Ok(())
    }

    /// Sets these, or what holds by default where there is no value: all of them or none.
    pub async fn change_settings(&self, caller: &Caller, changes: &[(Setting, Option<Value>)]) -> Result<()> {
        self.db.change_settings(changes, self.clock.now()).await?;
        for (setting, value) in changes {
            let value = value.map_or_else(|| "default".to_owned(), |value| value.to_string());
            let resource = format!("{setting}={value}");
            self.record(caller, Operation::Update, ResourceType::Configuration, resource, None).await;
        }
        self.refresh_settings().await
    }
}
