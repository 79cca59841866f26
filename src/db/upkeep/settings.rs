//! What an administrator has set: texts, which the domain reads.

use chrono::{DateTime, Utc};

use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::settings::{Setting, Value};

const ALL: &str = "SELECT name, value FROM config_entry";

const SET: &str = "
    INSERT INTO config_entry (name, value, updated_at) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";

const UNSET: &str = "DELETE FROM config_entry WHERE name = $1";

impl Db {
    /// Every entry there is, also of settings that another version knows.
    pub async fn settings(&self) -> Result<Vec<(String, String)>> {
        Ok(on_pool!(self, pool => sqlx::query_as(ALL).fetch_all(pool).await)?)
    }

    /// Sets these, or takes an entry away where there is no value: all of them or none.
    pub async fn change_settings(
        &self,
        changes: &[(Setting, Option<Value>)],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut changes = changes.to_vec();
        // All lock in one order.
        changes.sort_unstable_by_key(|(setting, _)| setting.name());
        in_transaction!(self, transaction => {
            for (setting, value) in changes {
                let query = match value {
                    Some(value) => sqlx::query(SET).bind(setting.name()).bind(value.to_string()).bind(now),
                    None => sqlx::query(UNSET).bind(setting.name()),
                };
                query.execute(&mut *transaction).await?;
            }
        })
    }
}
