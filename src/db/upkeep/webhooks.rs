//! The outbox of webhooks: events are added in the transaction of what they tell of. What takes them out again is in
//! `webhook_queues`.
//!
//! Events of one repository for one policy are a queue. Whoever adds one locks the policy (shared) and then the queue's row,
//! as the last locks of its transaction, repository by repository and policy by policy: so ids rise in the order of the
//! commits, and nobody waits in a circle.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::db::text::{Text, both, is_one_of, lock, now_ms};
use crate::db::{Db, Result, in_transaction, on_pool};
use crate::domain::access::ProjectName;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::webhook::{EventType, Occasion, Pull};

/// Policies of the project `$2` that want events of the type `$3`.
macro_rules! wanting {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM webhook_policy JOIN project ON project.id = webhook_policy.project_id
            WHERE project.name = $2 AND webhook_policy.is_enabled
                AND ',' || webhook_policy.event_types || ',' LIKE '%,' || $3 || ',%'"
        )
    };
}

macro_rules! enqueue {
    ($db:ident) => {
        concat!(
            "INSERT INTO webhook_queue (policy_id, repository, pending, due_at_ms)
            SELECT policy.id, $1, $4, ",
            now_ms!($db),
            " FROM (",
            wanting!("webhook_policy.id"),
            " ORDER BY webhook_policy.id",
            lock!($db, " FOR KEY SHARE OF webhook_policy"),
            ") AS policy WHERE true
            ON CONFLICT (policy_id, repository) DO UPDATE SET pending = webhook_queue.pending + excluded.pending
            RETURNING policy_id"
        )
    };
}
/// Makes room in the queues of the repository `$1` for `$4` events.
pub(in crate::db) const ENQUEUE: Text = both!(enqueue);

/// One event for each policy in `$1` and each tag in `$6`.
pub(in crate::db) const INSERT_EVENTS: Text = Text {
    postgres: "
        INSERT INTO webhook_event (policy_id, repository, event_type, digest, operator, occurred_at, tag, details)
        SELECT CAST(policy.value AS BIGINT), $2, $3, $4, $5, $7, tag.value, $8
        FROM jsonb_array_elements_text($1) AS policy (value) CROSS JOIN jsonb_array_elements_text($6) AS tag (value)",
    sqlite: "
        INSERT INTO webhook_event (policy_id, repository, event_type, digest, operator, occurred_at, tag, details)
        SELECT policy.value, $2, $3, $4, $5, $7, tag.value, $8
        FROM json_each($1) AS policy CROSS JOIN json_each($6) AS tag",
};

/// One event for each policy in `$1` and each pull in `$4`, in the order of these.
const INSERT_PULLS: Text = Text {
    postgres: "
        INSERT INTO webhook_event (policy_id, repository, event_type, digest, operator, occurred_at, tag)
        SELECT CAST(policy.value AS BIGINT), CAST($2 AS TEXT), CAST($3 AS TEXT),
            decode(pull.value ->> 'digest', 'hex'), pull.value ->> 'operator',
            CAST(pull.value ->> 'at' AS TIMESTAMPTZ), pull.value ->> 'tag'
        FROM jsonb_array_elements_text($1) AS policy (value)
            CROSS JOIN jsonb_array_elements($4) WITH ORDINALITY AS pull (value, place)
        ORDER BY pull.place",
    sqlite: "
        INSERT INTO webhook_event (policy_id, repository, event_type, digest, operator, occurred_at, tag)
        SELECT policy.value, $2, $3, unhex(pull.value ->> 'digest'), pull.value ->> 'operator',
            pull.value ->> 'at', pull.value ->> 'tag'
        FROM json_each($1) AS policy CROSS JOIN json_each($4) AS pull
        ORDER BY pull.key",
};

macro_rules! listening {
    ($db:ident) => {
        concat!(
            "SELECT DISTINCT project.name FROM webhook_policy JOIN project ON project.id = webhook_policy.project_id
            WHERE project.name ",
            is_one_of!($db, texts "$1"),
            " AND webhook_policy.is_enabled AND ',' || webhook_policy.event_types || ',' LIKE '%,' || $2 || ',%'"
        )
    };
}
/// Of these projects those that want events of a type.
const LISTENING: Text = both!(listening);

/// Whether a project has policies that are enabled; for the end of a statement that binds the project's name as `$9`.
macro_rules! has_policies {
    () => {
        "(SELECT EXISTS (SELECT 1 FROM webhook_policy WHERE is_enabled
            AND project_id = (SELECT id FROM project WHERE name = $9)))"
    };
}
pub(in crate::db) use has_policies;

/// Adds events to the outbox of each policy that wants them, in the transaction of what they tell of. With no tag there is
/// none.
macro_rules! add_events {
    ($transaction:ident, ($enqueue:ident, $insert:ident), $news:expr) => {{
        let news: &$crate::db::upkeep::webhooks::News<'_> = $news;
        let count = i64::try_from(news.tags.len()).unwrap_or(i64::MAX);
        let queues = sqlx::query_scalar($enqueue)
            .bind(news.repository)
            .bind(news.project)
            .bind(news.event_type)
            .bind(count);
        let policies: Vec<i64> = queues.fetch_all(&mut *$transaction).await?;
        if !policies.is_empty() {
            sqlx::query($insert)
                .bind(serde_json::json!(policies))
                .bind(news.repository)
                .bind(news.event_type)
                .bind(news.digest)
                .bind(&news.occasion.operator)
                .bind(serde_json::json!(news.tags))
                .bind(news.occasion.at)
                .bind(news.details)
                .execute(&mut *$transaction)
                .await?;
        }
    }};
}
pub(in crate::db) use add_events;

/// What [`add_events`] tells of.
#[derive(Debug)]
pub(in crate::db) struct News<'a> {
    pub event_type: &'static str,
    pub project: &'a str,
    pub repository: &'a str,
    pub digest: Option<Digest>,
    /// One event for each; the digest where there is no tag.
    pub tags: &'a [String],
    pub details: Option<&'a str>,
    pub occasion: &'a Occasion,
}

impl<'a> News<'a> {
    /// What was done to a manifest of the project's repository; see [`told_tags`].
    pub const fn of_artifact(
        event_type: EventType,
        (project, repository): (&'a str, &'a str),
        digest: Digest,
        tags: &'a [String],
        occasion: &'a Occasion,
    ) -> Self {
        let (event_type, digest) = (event_type.as_str(), Some(digest));
        Self { event_type, project, repository, digest, tags, details: None, occasion }
    }
}

/// The tags of a manifest that events tell of: its digest where it has none.
pub(in crate::db) fn told_tags(mut tags: Vec<String>, digest: &Digest) -> Vec<String> {
    if tags.is_empty() {
        tags.push(digest.to_string());
    }
    tags
}

/// Pulls of these projects by repository, as queues are locked: the project's name, and what [`INSERT_PULLS`] takes.
fn by_repository(pulls: &[Pull], projects: &[String]) -> BTreeMap<String, (String, Vec<Value>)> {
    let mut found = BTreeMap::<String, (String, Vec<Value>)>::new();
    for pull in pulls {
        let project = pull.repository.project().to_string();
        if projects.contains(&project) {
            let repository = found.entry(pull.repository.to_string());
            let (_, events) = repository.or_insert_with(|| (project, Vec::new()));
            events.push(json!({
                "digest": pull.digest.hex(),
                "tag": pull.tag.clone().unwrap_or_else(|| pull.digest.to_string()),
                "operator": pull.occasion.operator,
                "at": pull.occasion.at.to_rfc3339(),
            }));
        }
    }
    found
}

impl Db {
    /// Tells of pulls: one statement for each repository makes room, and one adds all of its events.
    pub async fn add_pull_events(&self, pulls: &[Pull]) -> Result<()> {
        let event_type = EventType::Pull.as_str();
        let projects: BTreeSet<_> = pulls.iter().map(|pull| pull.repository.project().to_string()).collect();
        if projects.is_empty() {
            return Ok(());
        }
        let listening = self.listening(json!(projects), event_type).await?;
        let pulls = by_repository(pulls, &listening);
        if pulls.is_empty() {
            return Ok(());
        }
        let (enqueue, insert) = (self.text(ENQUEUE), self.text(INSERT_PULLS));
        in_transaction!(self, transaction => {
            for (repository, (project, events)) in &pulls {
                let queues = sqlx::query_scalar(enqueue)
                    .bind(repository)
                    .bind(project)
                    .bind(event_type)
                    .bind(i64::try_from(events.len()).unwrap_or(i64::MAX));
                let policies: Vec<i64> = queues.fetch_all(&mut *transaction).await?;
                if !policies.is_empty() {
                    sqlx::query(insert)
                        .bind(json!(policies))
                        .bind(repository)
                        .bind(event_type)
                        .bind(json!(events))
                        .execute(&mut *transaction)
                        .await?;
                }
            }
        })
    }

    /// Whether a project has somebody told of exceeded quotas.
    pub async fn is_quota_told(&self, project: &ProjectName) -> Result<bool> {
        let told = self.listening(json!([project.as_str()]), EventType::QuotaExceed.as_str()).await?;
        Ok(!told.is_empty())
    }

    /// Those of a list of projects that have policies for events of this type.
    async fn listening(&self, projects: Value, event_type: &str) -> Result<Vec<String>> {
        let listening = self.text(LISTENING);
        Ok(on_pool!(self, pool =>
            sqlx::query_scalar(listening).bind(projects).bind(event_type).fetch_all(pool).await)?)
    }

    /// Tells of an upload or a push that did not fit into its project.
    pub async fn add_quota_event(
        &self,
        repository: &RepositoryName,
        details: &str,
        occasion: &Occasion,
    ) -> Result<()> {
        let (enqueue, insert) = (self.text(ENQUEUE), self.text(INSERT_EVENTS));
        let (project, repository) = (repository.project(), repository.to_string());
        let (occasion, details) = (occasion.clone(), details.to_owned());
        in_transaction!(self, transaction => {
            let news = News {
                event_type: EventType::QuotaExceed.as_str(),
                project: project.as_str(),
                repository: &repository,
                digest: None,
                tags: &[String::new()],
                details: Some(&details),
                occasion: &occasion,
            };
            add_events!(transaction, (enqueue, insert), &news);
        })
    }
}
