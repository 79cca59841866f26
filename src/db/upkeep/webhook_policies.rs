//! Policies of webhooks, and when events of theirs were last delivered.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::db::text::{Text, both, lock, now_ms};
use crate::db::{Db, DbError, Inserted, Result, corrupt, in_transaction, on_pool};
use crate::domain::webhook::{AuthHeader, WebhookPolicy, WebhookRules, WebhookTarget, WebhookTrigger};

const TABLE: &str = "webhook_policy";

macro_rules! select_policy {
    ($rest:literal) => {
        concat!(
            "SELECT id, project_id, name, description, is_enabled, event_types, address, auth_header, skip_cert_verify,
                payload_format, creator, created_at, updated_at
            FROM webhook_policy ",
            $rest
        )
    };
}

const LIST: &str = select_policy!("WHERE project_id = $1 ORDER BY name LIMIT $2 OFFSET $3");
const COUNT: &str = "SELECT COUNT(*) FROM webhook_policy WHERE project_id = $1";
const FIND: &str = select_policy!("WHERE project_id = $1 AND id = $2");

/// Of a project that is there.
const INSERT: &str = "
    INSERT INTO webhook_policy (project_id, name, description, is_enabled, event_types, address, auth_header,
        skip_cert_verify, payload_format, creator, created_at, updated_at)
    SELECT project.id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11 FROM project WHERE id = $1
    ON CONFLICT (project_id, name) DO NOTHING RETURNING id";

/// Not where another policy of the project has the name.
const UPDATE: &str = "
    UPDATE webhook_policy SET name = $3, description = $4, is_enabled = $5, event_types = $6, address = $7,
        auth_header = $8, skip_cert_verify = $9, payload_format = $10, updated_at = $11
    WHERE project_id = $1 AND id = $2";

macro_rules! lock_queues {
    ($db:ident) => {
        concat!(
            "SELECT repository FROM webhook_queue WHERE policy_id = $1 ORDER BY repository",
            lock!($db, " FOR UPDATE")
        )
    };
}
/// After the policy, which whoever adds events locks first.
pub(in crate::db) const LOCK_QUEUES: Text = both!(lock_queues);

macro_rules! try_now {
    ($db:ident) => {
        concat!(
            "UPDATE webhook_queue SET attempts = 0, due_at_ms = ",
            now_ms!($db),
            " WHERE policy_id = $1 AND (lease_id IS NULL OR due_at_ms <= ",
            now_ms!($db),
            ")"
        )
    };
}
/// What waits is tried at once, as if it had never failed, where nobody delivers it just now.
const TRY_NOW: Text = both!(try_now);

const DELETE: &str = "DELETE FROM webhook_policy WHERE project_id = $1 AND id = $2";

const TRIGGERS: &str = "
    SELECT policy.name, policy.is_enabled, policy.created_at, webhook_trigger.event_type,
        webhook_trigger.last_delivered_at
    FROM (SELECT id, name, is_enabled, created_at FROM webhook_policy
        WHERE project_id = $1 ORDER BY name LIMIT $2) AS policy
    JOIN webhook_trigger ON webhook_trigger.policy_id = policy.id
    ORDER BY policy.name, webhook_trigger.event_type";

#[derive(Debug, FromRow)]
struct PolicyRow {
    id: i64,
    project_id: i64,
    name: String,
    description: String,
    is_enabled: bool,
    event_types: String,
    #[sqlx(flatten)]
    target: TargetRow,
    creator: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The columns of a target.
#[derive(FromRow)]
pub(in crate::db) struct TargetRow {
    address: String,
    auth_header: Option<String>,
    skip_cert_verify: bool,
    payload_format: String,
}

/// Without the secret.
impl std::fmt::Debug for TargetRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TargetRow").field("address", &self.address).finish_non_exhaustive()
    }
}

impl TargetRow {
    pub fn of_policy(self, id: i64) -> Result<WebhookTarget> {
        let header = self.auth_header.map(|header| header.parse());
        Ok(WebhookTarget {
            address: self.address.parse().map_err(|error| corrupt(TABLE, "address", &id, &error))?,
            auth_header: header.transpose().map_err(|error| corrupt(TABLE, "auth_header", &id, &error))?,
            skip_cert_verify: self.skip_cert_verify,
            format: self
                .payload_format
                .parse()
                .map_err(|error| corrupt(TABLE, "payload_format", &id, &error))?,
        })
    }
}

impl TryFrom<PolicyRow> for WebhookPolicy {
    type Error = DbError;

    fn try_from(row: PolicyRow) -> Result<Self> {
        let event_types = row.event_types.split(',').map(str::parse).collect::<std::result::Result<_, _>>();
        Ok(Self {
            id: row.id,
            project_id: row.project_id,
            rules: WebhookRules {
                name: row.name,
                description: row.description,
                is_enabled: row.is_enabled,
                event_types: event_types.map_err(|error| corrupt(TABLE, "event_types", &row.id, &error))?,
                target: row.target.of_policy(row.id)?,
            },
            creator: row.creator,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

#[derive(Debug, FromRow)]
struct TriggerRow {
    name: String,
    is_enabled: bool,
    created_at: DateTime<Utc>,
    event_type: String,
    last_delivered_at: DateTime<Utc>,
}

fn joined(rules: &WebhookRules) -> String {
    rules.event_types.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Db {
    /// A project's policies in the order of their names, and how many there are in all.
    pub async fn webhook_policies(
        &self,
        project: i64,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<WebhookPolicy>, u64)> {
        let rows: Vec<PolicyRow> = on_pool!(self, pool => sqlx::query_as(LIST)
            .bind(project)
            .bind(i64::from(limit))
            .bind(offset.cast_signed())
            .fetch_all(pool)
            .await)?;
        let count = self.count_webhook_policies(project).await?;
        Ok((rows.into_iter().map(WebhookPolicy::try_from).collect::<Result<_>>()?, count))
    }

    pub async fn count_webhook_policies(&self, project: i64) -> Result<u64> {
        let count: i64 =
            on_pool!(self, pool => sqlx::query_scalar(COUNT).bind(project).fetch_one(pool).await)?;
        Ok(count.unsigned_abs())
    }

    pub async fn find_webhook_policy(&self, project: i64, id: i64) -> Result<Option<WebhookPolicy>> {
        let row: Option<PolicyRow> = on_pool!(self, pool =>
            sqlx::query_as(FIND).bind(project).bind(id).fetch_optional(pool).await)?;
        row.map(WebhookPolicy::try_from).transpose()
    }

    pub async fn insert_webhook_policy(
        &self,
        project: i64,
        rules: &WebhookRules,
        creator: &str,
        now: DateTime<Utc>,
    ) -> Result<Inserted> {
        let target = &rules.target;
        let id: Option<i64> = on_pool!(self, pool => sqlx::query_scalar(INSERT)
            .bind(project)
            .bind(&rules.name)
            .bind(&rules.description)
            .bind(rules.is_enabled)
            .bind(joined(rules))
            .bind(target.address.url().as_str())
            .bind(target.auth_header.as_ref().map(AuthHeader::reveal))
            .bind(target.skip_cert_verify)
            .bind(target.format.as_str())
            .bind(creator)
            .bind(now)
            .fetch_optional(pool)
            .await)?;
        Ok(id.into())
    }

    /// None when there is no such policy; [`Inserted::Exists`] where another one of the project has the name. Events that
    /// wait are tried at once: it may be what they failed by that is mended.
    pub async fn update_webhook_policy(
        &self,
        project: i64,
        id: i64,
        rules: &WebhookRules,
        now: DateTime<Utc>,
    ) -> Result<Option<Inserted>> {
        let (lock_queues, try_now) = (self.text(LOCK_QUEUES), self.text(TRY_NOW));
        let rules = rules.clone();
        in_transaction!(self, transaction => {
            let target = &rules.target;
            // Locks the policy, and then its queues: as whoever adds events.
            let updated = sqlx::query(UPDATE)
                .bind(project)
                .bind(id)
                .bind(&rules.name)
                .bind(&rules.description)
                .bind(rules.is_enabled)
                .bind(joined(&rules))
                .bind(target.address.url().as_str())
                .bind(target.auth_header.as_ref().map(AuthHeader::reveal))
                .bind(target.skip_cert_verify)
                .bind(target.format.as_str())
                .bind(now)
                .execute(&mut *transaction)
                .await
                .map(|done| done.rows_affected());
            match updated {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                    transaction.rollback().await?;
                    return Ok(Some(Inserted::Exists));
                }
                Err(error) => return Err(DbError::from(error)),
            }
            sqlx::query(lock_queues).bind(id).execute(&mut *transaction).await?;
            sqlx::query(try_now).bind(id).execute(&mut *transaction).await?;
            Some(Inserted::Created(id))
        })
    }

    /// With the events that wait for it; false when there is no such policy.
    pub async fn delete_webhook_policy(&self, project: i64, id: i64) -> Result<bool> {
        let deleted = on_pool!(self, pool => sqlx::query(DELETE)
            .bind(project)
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(deleted > 0)
    }

    /// When events of a project were last delivered, by policy and type.
    pub async fn webhook_triggers(&self, project: i64, policies: u32) -> Result<Vec<WebhookTrigger>> {
        let rows: Vec<TriggerRow> = on_pool!(self, pool =>
            sqlx::query_as(TRIGGERS).bind(project).bind(i64::from(policies)).fetch_all(pool).await)?;
        let trigger = |row: TriggerRow| {
            let event_type = row.event_type.parse();
            Ok(WebhookTrigger {
                event_type: event_type
                    .map_err(|error| corrupt("webhook_trigger", "event_type", &row.name, &error))?,
                policy_name: row.name,
                is_enabled: row.is_enabled,
                created_at: row.created_at,
                last_delivered_at: row.last_delivered_at,
            })
        };
        rows.into_iter().map(trigger).collect()
    }
}
