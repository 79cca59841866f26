//! Queues of webhooks' events, as they are delivered: one by one, by one replica at a time, whose lease is in the queue's row.
//! How events come into them is in `webhooks`.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::text::{Text, both, lock, now_ms};
use crate::db::upkeep::webhook_policies::{LOCK_QUEUES, TargetRow};
use crate::db::{Db, DbError, Result, corrupt, in_transaction, on_pool};
use crate::domain::access::ProjectName;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::webhook::{EventSubject, Occasion, WebhookEvent, WebhookQueue};

/// Queues whose turn it is, at most `$1` of each policy, `$2` of each project and `$3` in all.
const DUE: Text = Text {
    // Steps from policy to policy by the index, and reads no queue that it does not give.
    postgres: concat!(
        "WITH RECURSIVE policy (id) AS (
            SELECT MIN(policy_id) FROM webhook_queue
            UNION ALL
            SELECT (SELECT MIN(policy_id) FROM webhook_queue WHERE policy_id > policy.id)
            FROM policy WHERE policy.id IS NOT NULL)
        SELECT project_id, policy_id, repository FROM (
            SELECT webhook_policy.project_id, due.policy_id, due.repository, due.due_at_ms,
                ROW_NUMBER() OVER (PARTITION BY webhook_policy.project_id ORDER BY due.due_at_ms) AS place
            FROM policy CROSS JOIN LATERAL (
                SELECT policy_id, repository, due_at_ms FROM webhook_queue
                WHERE policy_id = policy.id AND due_at_ms <= ",
        now_ms!(postgres),
        " ORDER BY due_at_ms LIMIT $1) AS due
                JOIN webhook_policy ON webhook_policy.id = due.policy_id) AS ranked
        WHERE place <= $2 ORDER BY due_at_ms LIMIT $3"
    ),
    sqlite: concat!(
        "SELECT project_id, policy_id, repository FROM (
            SELECT webhook_policy.project_id, due.policy_id, due.repository, due.due_at_ms,
                ROW_NUMBER() OVER (PARTITION BY webhook_policy.project_id ORDER BY due.due_at_ms) AS place
            FROM (
                SELECT policy_id, repository, due_at_ms,
                    ROW_NUMBER() OVER (PARTITION BY policy_id ORDER BY due_at_ms) AS place_in_policy
                FROM webhook_queue WHERE due_at_ms <= ",
        now_ms!(sqlite),
        ") AS due
                JOIN webhook_policy ON webhook_policy.id = due.policy_id
            WHERE due.place_in_policy <= $1) AS ranked
        WHERE place <= $2 ORDER BY due_at_ms LIMIT $3"
    ),
};

macro_rules! claim {
    ($db:ident) => {
        concat!(
            "UPDATE webhook_queue SET lease_id = $3, due_at_ms = ",
            now_ms!($db),
            " + $4 WHERE policy_id = $1 AND repository = $2 AND due_at_ms <= ",
            now_ms!($db)
        )
    };
}
const CLAIM: Text = both!(claim);

const FIND_CLAIMED: &str = "
    SELECT webhook_queue.policy_id, webhook_queue.repository, webhook_queue.attempts, project.id AS project_id,
        project.name AS project_name, project.is_public, address, auth_header, skip_cert_verify, payload_format
    FROM webhook_queue JOIN webhook_policy ON webhook_policy.id = webhook_queue.policy_id
        JOIN project ON project.id = webhook_policy.project_id
    WHERE webhook_queue.policy_id = $1 AND webhook_queue.repository = $2 AND webhook_queue.lease_id = $3";

const EVENTS: &str = "
    SELECT id, event_type, digest, tag, details, operator, occurred_at FROM webhook_event
    WHERE policy_id = $1 AND repository = $2 ORDER BY id LIMIT $3";

macro_rules! delivered {
    ($db:ident) => {
        concat!(
            "INSERT INTO webhook_trigger (policy_id, event_type, last_delivered_at)
            SELECT id, $2, $3 FROM (SELECT id FROM webhook_policy WHERE id = $1",
            lock!($db, " FOR KEY SHARE"),
            ") AS policy WHERE true
            ON CONFLICT (policy_id, event_type) DO UPDATE SET last_delivered_at = excluded.last_delivered_at"
        )
    };
}
/// Before the queue's row: the policy is locked before it, as by whoever adds events.
const DELIVERED: Text = both!(delivered);

const DELETE_EVENT: &str = "DELETE FROM webhook_event WHERE id = $1 AND policy_id = $2";

macro_rules! advance {
    ($db:ident) => {
        concat!(
            "UPDATE webhook_queue SET pending = pending - 1, attempts = 0, due_at_ms = ",
            now_ms!($db),
            " + $4 WHERE policy_id = $1 AND repository = $2 AND lease_id = $3"
        )
    };
}
/// Takes the first event off its queue, and renews the lease.
const ADVANCE: Text = both!(advance);

macro_rules! put_off {
    ($db:ident) => {
        concat!(
            "UPDATE webhook_queue SET lease_id = NULL, attempts = attempts + $5, due_at_ms = ",
            now_ms!($db),
            " + $4 WHERE policy_id = $1 AND repository = $2 AND lease_id = $3"
        )
    };
}
/// Gives the lease back; the queue's turn comes again after a pause.
const PUT_OFF: Text = both!(put_off);

const DELETE_EMPTY: &str = "
    DELETE FROM webhook_queue WHERE policy_id = $1 AND repository = $2 AND lease_id = $3 AND pending <= 0";

const FULL: &str = "
    SELECT policy_id, CAST(SUM(pending) AS BIGINT) FROM webhook_queue GROUP BY policy_id HAVING SUM(pending) > $1";

macro_rules! lock_policy {
    ($db:ident) => {
        concat!("SELECT id FROM webhook_policy WHERE id = $1", lock!($db, " FOR KEY SHARE"))
    };
}
/// Before its queues, as whoever adds events.
const LOCK_POLICY: Text = both!(lock_policy);

/// Dropped in one transaction, which keeps pushes waiting that have events for the policy.
const MOST_DROPPED: i64 = 1_000;

const WAITING: &str =
    "SELECT CAST(COALESCE(SUM(pending), 0) AS BIGINT) FROM webhook_queue WHERE policy_id = $1";

const DROP_OLDEST: &str = "
    DELETE FROM webhook_event WHERE id IN
        (SELECT id FROM webhook_event WHERE policy_id = $1 ORDER BY id LIMIT $2)
    RETURNING repository";

const DROPPED: &str = "
    UPDATE webhook_queue SET pending = pending - $3, attempts = 0 WHERE policy_id = $1 AND repository = $2";

#[derive(Debug, FromRow)]
struct QueueRow {
    policy_id: i64,
    repository: String,
    attempts: i64,
    project_id: i64,
    project_name: String,
    is_public: bool,
    #[sqlx(flatten)]
    target: TargetRow,
}

impl TryFrom<QueueRow> for WebhookQueue {
    type Error = DbError;

    fn try_from(row: QueueRow) -> Result<Self> {
        let repository: std::result::Result<RepositoryName, _> = row.repository.parse();
        let project: std::result::Result<ProjectName, _> = row.project_name.parse();
        Ok(Self {
            policy_id: row.policy_id,
            repository: repository
                .map_err(|error| corrupt("webhook_queue", "repository", &row.policy_id, &error))?,
            project_id: row.project_id,
            project: project.map_err(|error| corrupt("project", "name", &row.project_id, &error))?,
            is_public: row.is_public,
            attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
            target: row.target.of_policy(row.policy_id)?,
        })
    }
}

#[derive(Debug, FromRow)]
struct EventRow {
    id: i64,
    event_type: String,
    digest: Option<Digest>,
    tag: Option<String>,
    details: Option<String>,
    operator: String,
    occurred_at: DateTime<Utc>,
}

impl TryFrom<EventRow> for WebhookEvent {
    type Error = DbError;

    fn try_from(row: EventRow) -> Result<Self> {
        let subject = match (row.digest, row.tag) {
            (Some(digest), Some(tag)) => EventSubject::Artifact { digest, tag },
            _ => EventSubject::Quota { details: row.details.unwrap_or_default() },
        };
        let event_type = row.event_type.parse();
        Ok(Self {
            id: row.id,
            event_type: event_type
                .map_err(|error| corrupt("webhook_event", "event_type", &row.id, &error))?,
            subject,
            occasion: Occasion { operator: row.operator, at: row.occurred_at },
        })
    }
}

/// What became of an event that leaves its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventEnd {
    Delivered(DateTime<Utc>),
    GivenUp,
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

impl Db {
    /// Queues with an event that may be delivered now, the longest due first: at most `limit`, of each policy at most
    /// `of_policy` and of each project at most `of_project`. Projects, policies and repositories.
    pub async fn due_webhook_queues(
        &self,
        of_policy: u32,
        of_project: u32,
        limit: u32,
    ) -> Result<Vec<(i64, i64, String)>> {
        let due = self.text(DUE);
        Ok(on_pool!(self, pool => sqlx::query_as(due)
            .bind(i64::from(of_policy))
            .bind(i64::from(of_project))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?)
    }

    /// Takes a queue for so long; none where another replica was faster, or its policy is gone.
    pub async fn claim_webhook_queue(
        &self,
        policy: i64,
        repository: &str,
        lease_id: Uuid,
        lease: Duration,
    ) -> Result<Option<WebhookQueue>> {
        let claim = self.text(CLAIM);
        let row: Option<QueueRow> = on_pool!(self, pool => {
            sqlx::query(claim)
                .bind(policy)
                .bind(repository)
                .bind(lease_id)
                .bind(milliseconds(lease))
                .execute(pool)
                .await?;
            let found = sqlx::query_as(FIND_CLAIMED).bind(policy).bind(repository).bind(lease_id);
            found.fetch_optional(pool).await
        })?;
        row.map(WebhookQueue::try_from).transpose()
    }

    /// A queue's first events.
    pub async fn webhook_events(&self, queue: &WebhookQueue, limit: u32) -> Result<Vec<WebhookEvent>> {
        let rows: Vec<EventRow> = on_pool!(self, pool => sqlx::query_as(EVENTS)
            .bind(queue.policy_id)
            .bind(queue.repository.as_str())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(WebhookEvent::try_from).collect()
    }

    /// Takes an event off its queue and renews the lease; false when the lease is another's by now.
    pub async fn end_webhook_event(
        &self,
        queue: &WebhookQueue,
        event: &WebhookEvent,
        end: EventEnd,
        lease_id: Uuid,
        lease: Duration,
    ) -> Result<bool> {
        let (advance, delivered) = (self.text(ADVANCE), self.text(DELIVERED));
        let (policy, repository) = (queue.policy_id, queue.repository.to_string());
        let (event_type, event) = (event.event_type, event.id);
        in_transaction!(self, transaction => {
            if let EventEnd::Delivered(now) = end {
                let delivered = sqlx::query(delivered).bind(policy).bind(event_type.as_str()).bind(now);
                delivered.execute(&mut *transaction).await?;
            }
            let advanced = sqlx::query(advance)
                .bind(policy)
                .bind(&repository)
                .bind(lease_id)
                .bind(milliseconds(lease))
                .execute(&mut *transaction)
                .await?;
            if advanced.rows_affected() == 0 {
                return Ok(false);
            }
            let deleted = sqlx::query(DELETE_EVENT).bind(event).bind(policy).execute(&mut *transaction).await?;
            // Dropped meanwhile, for want of room in the outbox: it was counted then.
            if deleted.rows_affected() == 0 {
                sqlx::query(DROPPED).bind(policy).bind(&repository).bind(-1_i64).execute(&mut *transaction).await?;
            }
            true
        })
    }

    /// Gives a queue back. Its turn comes again after `pause`; one that is empty goes.
    pub async fn release_webhook_queue(
        &self,
        queue: &WebhookQueue,
        lease_id: Uuid,
        pause: Duration,
        has_failed: bool,
    ) -> Result<()> {
        let put_off = self.text(PUT_OFF);
        let (policy, repository) = (queue.policy_id, queue.repository.as_str());
        on_pool!(self, pool => {
            let deleted = sqlx::query(DELETE_EMPTY).bind(policy).bind(repository).bind(lease_id);
            if deleted.execute(pool).await?.rows_affected() == 0 {
                sqlx::query(put_off)
                    .bind(policy)
                    .bind(repository)
                    .bind(lease_id)
                    .bind(milliseconds(pause))
                    .bind(i64::from(has_failed))
                    .execute(pool)
                    .await?;
            }
        });
        Ok(())
    }

    /// Policies for which more than `most` events wait, and how many.
    pub async fn full_webhook_outboxes(&self, most: u32) -> Result<Vec<(i64, i64)>> {
        Ok(on_pool!(self, pool =>
            sqlx::query_as(FULL).bind(i64::from(most)).fetch_all(pool).await)?)
    }

    /// Drops the oldest events that wait for a policy, if more than `most` do: some of those that are too many. Says how
    /// many; none when there were no more.
    pub async fn drop_webhook_events(&self, policy: i64, most: u32) -> Result<u64> {
        let (lock_policy, lock_queues) = (self.text(LOCK_POLICY), self.text(LOCK_QUEUES));
        in_transaction!(self, transaction => {
            sqlx::query(lock_policy).bind(policy).execute(&mut *transaction).await?;
            sqlx::query(lock_queues).bind(policy).execute(&mut *transaction).await?;
            // Counted under the locks: whoever waited for them finds what another replica has left.
            let waiting: i64 = sqlx::query_scalar(WAITING).bind(policy).fetch_one(&mut *transaction).await?;
            let count = waiting.saturating_sub(i64::from(most)).min(MOST_DROPPED);
            if count <= 0 {
                return Ok(0);
            }
            let dropped = sqlx::query_scalar(DROP_OLDEST).bind(policy).bind(count);
            let dropped: Vec<String> = dropped.fetch_all(&mut *transaction).await?;
            let mut by_repository = BTreeMap::<&str, i64>::new();
            for repository in &dropped {
                *by_repository.entry(repository).or_default() += 1;
            }
            for (repository, count) in by_repository {
                let counted = sqlx::query(DROPPED).bind(policy).bind(repository).bind(count);
                counted.execute(&mut *transaction).await?;
            }
            dropped.len() as u64
        })
    }
}
