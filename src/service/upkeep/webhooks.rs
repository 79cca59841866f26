//! Delivers the events of webhooks: at least once, those of one repository for one policy in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::EventEnd;
use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::webhook::{Occasion, WebhookEvent, WebhookQueue, retry_pause};
use crate::log_text::chain;
use crate::service::{Result, Service};
use crate::telemetry::Allowance;
use crate::webhook::WebhookSender;

/// Queues that a replica delivers at once: a receiver that hangs holds one for as long as a delivery may take.
const QUEUES_AT_ONCE: usize = 64;
/// Those of one project among them: it may have many policies.
const QUEUES_OF_PROJECT: u32 = 8;
/// Those of one policy among these.
const QUEUES_OF_POLICY: u32 = 4;
/// Looked at in one round: some are of policies and projects that have their share. Of each project there are at most
/// [`QUEUES_OF_PROJECT`], and at most 16 projects have a policy that has its share: half of these are for others.
const QUEUES_LOOKED_AT: u32 = 256;
/// Events of a queue that are read at once. Its place goes to another queue after the time of one delivery.
const EVENTS_AT_ONCE: u32 = 16;
/// A lease is so many times what a delivery may take: for the delivery, and for the statements around it.
const LEASE_FACTOR: u32 = 3;
/// Transactions, each of as many events as are dropped at once, in one look at a policy.
const DROPS_AT_ONCE: usize = 4;
/// Events that wait for one policy: some MiB of rows, and at a delivery each 10 ms two minutes' work.
const MOST_WAITING: u32 = 10_000;

/// Events of exceeded quotas: of each project, on each replica.
const QUOTA_EVENTS: Allowance = Allowance { burst: 1, pause: Duration::from_mins(10) };

/// Deliveries of this replica that are under way.
#[derive(Debug, Default)]
pub struct WebhookDeliveries {
    /// Each gives its project and its policy.
    tasks: JoinSet<(i64, i64)>,
    by_project: BTreeMap<i64, u32>,
    by_policy: BTreeMap<i64, u32>,
}

impl WebhookDeliveries {
    fn has_room_for(&self, project: i64, policy: i64) -> bool {
        self.tasks.len() < QUEUES_AT_ONCE
            && self.by_project.get(&project).is_none_or(|count| *count < QUEUES_OF_PROJECT)
            && self.by_policy.get(&policy).is_none_or(|count| *count < QUEUES_OF_POLICY)
    }

    fn forget_finished(&mut self) {
        while let Some(finished) = self.tasks.try_join_next() {
            self.forget(finished.ok());
        }
    }

    fn forget(&mut self, finished: Option<(i64, i64)>) {
        if let Some((project, policy)) = finished {
            for (counts, id) in [(&mut self.by_project, project), (&mut self.by_policy, policy)] {
                if let Some(count) = counts.get_mut(&id) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        self.by_project.retain(|_, count| *count > 0);
        self.by_policy.retain(|_, count| *count > 0);
        // Nothing is left of one that panicked.
        if self.tasks.is_empty() {
            self.by_project.clear();
            self.by_policy.clear();
        }
    }

    /// Returns when one has ended; never, where none is under way.
    pub async fn one_ends(&mut self) {
        match self.tasks.join_next().await {
            Some(finished) => self.forget(finished.ok()),
            None => std::future::pending().await,
        }
    }

    /// Waits for the deliveries that are under way.
    pub async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Service {
    /// Begins to deliver the queues whose turn it is, as far as there is room; says whether more wait for that.
    pub async fn deliver_webhooks(
        self: &Arc<Self>,
        sender: &Arc<WebhookSender>,
        deliveries: &mut WebhookDeliveries,
        stop: &CancellationToken,
    ) -> Result<bool> {
        deliveries.forget_finished();
        if deliveries.tasks.len() >= QUEUES_AT_ONCE {
            return Ok(true);
        }
        let mut is_more = false;
        let due = self.db.due_webhook_queues(QUEUES_OF_POLICY, QUEUES_OF_PROJECT, QUEUES_LOOKED_AT).await?;
        for (project, policy, repository) in due {
            if !deliveries.has_room_for(project, policy) {
                is_more = true;
                continue;
            }
            let (service, sender, stop) = (Arc::clone(self), Arc::clone(sender), stop.clone());
            *deliveries.by_project.entry(project).or_default() += 1;
            *deliveries.by_policy.entry(policy).or_default() += 1;
            deliveries.tasks.spawn(async move {
                if let Err(error) = service.deliver_queue(&sender, policy, &repository, &stop).await {
                    tracing::warn!(policy, %repository, error = %chain(&error), "a webhook's events wait for the lease's end");
                }
                (project, policy)
            });
        }
        Ok(is_more)
    }

    /// Delivers a queue's events, one after another, until one fails or the turn has taken as long as one delivery may.
    async fn deliver_queue(
        &self,
        sender: &WebhookSender,
        policy: i64,
        repository: &str,
        stop: &CancellationToken,
    ) -> Result<()> {
        let (lease_id, lease) = (Uuid::new_v4(), sender.timeout() * LEASE_FACTOR);
        let mut held_since = Instant::now();
        let Some(queue) = self.db.claim_webhook_queue(policy, repository, lease_id, lease).await? else {
            return Ok(());
        };
        let mut failures = queue.attempts;
        let mut events = self.db.webhook_events(&queue, EVENTS_AT_ONCE).await?.into_iter();
        // From here on, so that each turn delivers something, however slow the database is.
        let begun = Instant::now();
        let mut can_be_more = events.len() >= EVENTS_AT_ONCE as usize;
        loop {
            // Another replica may begin where this one was held up.
            let is_held_up = held_since.elapsed() + sender.timeout() >= lease;
            if stop.is_cancelled() || is_held_up || begun.elapsed() >= sender.timeout() {
                break;
            }
            let Some(event) = events.next() else {
                if !can_be_more {
                    break;
                }
                events = self.db.webhook_events(&queue, EVENTS_AT_ONCE).await?.into_iter();
                can_be_more = events.len() >= EVENTS_AT_ONCE as usize;
                continue;
            };
            let end = match sender.deliver(&queue, &event).await {
                Ok(()) => EventEnd::Delivered(self.clock.now()),
                Err(error) if event.is_given_up(self.clock.now()) => {
                    say_given_up(&queue, &event, failures, &chain(&error));
                    EventEnd::GivenUp
                }
                Err(error) => {
                    let pause = retry_pause(failures.saturating_add(1), rand::rng().random_range(0.0..1.0));
                    tracing::info!(
                        policy, repository, event = event.id, failures = failures.saturating_add(1),
                        next_in = ?pause, error = %chain(&error), "a webhook was not delivered"
                    );
                    return Ok(self.db.release_webhook_queue(&queue, lease_id, pause, true).await?);
                }
            };
            held_since = Instant::now();
            if !self.db.end_webhook_event(&queue, &event, end, lease_id, lease).await? {
                return Ok(());
            }
            failures = 0;
        }
        Ok(self.db.release_webhook_queue(&queue, lease_id, Duration::ZERO, false).await?)
    }

    /// Tells webhooks that something did not fit into its project, now and then: a client tries again and again. Whoever was
    /// refused waits for no write.
    pub async fn tell_of_quota(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        details: &str,
    ) {
        let project = repository.project();
        let is_told = self.db.is_quota_told(&project).await.unwrap_or_default();
        if !is_told || self.quota_events.admit(project.as_str(), QUOTA_EVENTS, Instant::now()).is_err() {
            return;
        }
        let (service, repository, details) = (Arc::clone(self), repository.clone(), details.to_owned());
        let occasion = Occasion::new(caller, self.clock.now());
        self.tasks.spawn(async move {
            if let Err(error) = service.db.add_quota_event(&repository, &details, &occasion).await {
                tracing::warn!(%repository, error = %chain(&error), "webhooks are not told of a quota that is exceeded");
            }
        });
    }

    /// Drops the oldest events of policies for which too many wait.
    pub async fn drop_webhook_events(&self) -> Result<()> {
        for (policy, waiting) in self.db.full_webhook_outboxes(MOST_WAITING).await? {
            let excess = waiting.saturating_sub(i64::from(MOST_WAITING)).unsigned_abs();
            let mut dropped = 0;
            for _ in 0..DROPS_AT_ONCE {
                let count = self.db.drop_webhook_events(policy, MOST_WAITING).await?;
                dropped += count;
                if count == 0 || dropped >= excess {
                    break;
                }
            }
            // Another replica was faster.
            if dropped == 0 {
                continue;
            }
            tracing::warn!(
                policy,
                dropped,
                waiting,
                "the oldest events of a webhook are dropped: its receiver does not keep up, or is down"
            );
        }
        Ok(())
    }
}

fn say_given_up(queue: &WebhookQueue, event: &WebhookEvent, failures: u32, error: &str) {
    let (policy, project, repository) = (queue.policy_id, &queue.project, &queue.repository);
    tracing::warn!(
        policy, %project, %repository, event = event.id, event_type = %event.event_type, failures, error,
        "an event of a webhook is given up: it could not be delivered for a day"
    );
}
