//! The audit log. What changes something is in it before it is answered; what only reads is written in batches.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::Instant;

use crate::domain::access::{Caller, ProjectName, ProjectReference};
use crate::domain::audit::{AuditEntry, AuditedAction, Operation, ResourceType, StoredAuditEntry};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::webhook::{Occasion, Pull};
use crate::log_text::chain;
use crate::service::{Result, Service, ServiceError};
use crate::telemetry::{Allowance, Throttle};

/// Entries that wait to be written: half a second of thousands of pulls a second.
const WAITING: usize = 4_096;
/// Written in one statement.
const BATCH: usize = 512;
/// The longest an entry waits while the database is there.
const FLUSH_PAUSE: Duration = Duration::from_millis(500);

/// Failed sign-ins by one name that are written: at once six people's whole patience, and some thousand a day on each
/// replica, which show that it goes on.
const FAILED_SIGN_INS: Allowance = Allowance { burst: 30, pause: Duration::from_secs(30) };

/// An entry, and the pull that webhooks tell of.
type Waiting = (AuditEntry, Option<Pull>);
type Batch = (Vec<AuditEntry>, Vec<Pull>);

/// Entries on their way into the table.
#[derive(Debug)]
pub(in crate::service) struct AuditBuffer {
    sender: mpsc::Sender<Waiting>,
    /// Who has it writes; entries that could not be written stay in the batch, and so do pulls.
    waiting: Mutex<(mpsc::Receiver<Waiting>, Batch)>,
    /// Half of the room is taken.
    hurry: Notify,
    failed_sign_ins: Throttle,
}

impl AuditBuffer {
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let waiting = Mutex::new((receiver, Batch::default()));
        Self { sender, waiting, hurry: Notify::new(), failed_sign_ins: Throttle::new() }
    }
}

impl Service {
    /// Writes down what somebody has just done. It has happened: where it cannot be written now it is written later,
    /// and the log of this process has it.
    pub async fn record(
        &self,
        caller: &Caller,
        operation: Operation,
        resource_type: ResourceType,
        resource: impl Into<String>,
        project: Option<ProjectName>,
    ) {
        let action = AuditedAction { operation, resource_type, resource: resource.into(), project };
        self.record_all(caller, vec![action]).await;
    }

    /// The same of several things that were one request.
    pub async fn record_all(&self, caller: &Caller, actions: Vec<AuditedAction>) {
        let now = self.clock.now();
        self.write_down(actions.into_iter().map(|action| AuditEntry::by(caller, action, now)).collect())
            .await;
    }

    async fn write_down(&self, entries: Vec<AuditEntry>) {
        if entries.is_empty() {
            return;
        }
        if let Err(error) = self.db.insert_audit_entries(&entries).await {
            for entry in entries {
                tracing::error!(?entry, error = %chain(&error), "an audit entry is written later");
                // With thousands of them waiting already, the line above is all there will be.
                let _ = self.audit.sender.try_send((entry, None));
            }
        }
    }

    /// Writes down what changed nothing, soon. Where too many entries wait it waits with them: none is dropped.
    pub async fn record_soon(&self, caller: &Caller, action: AuditedAction) {
        self.write_soon((AuditEntry::by(caller, action, self.clock.now()), None)).await;
    }

    /// Writes down a pull of a manifest, soon, and with it the events of webhooks.
    pub async fn record_pull(
        &self,
        caller: &Caller,
        action: AuditedAction,
        repository: RepositoryName,
        digest: Digest,
        tag: Option<String>,
    ) {
        let occasion = Occasion::new(caller, self.clock.now());
        let entry = AuditEntry::by(caller, action, occasion.at);
        self.write_soon((entry, Some(Pull { repository, digest, tag, occasion }))).await;
    }

    /// By a name that is somebody's: what else people type there may be their password. These are the only entries that
    /// strangers can cause, so of each name only so many are written, from wherever they come, and none waits for room.
    pub(in crate::service) fn record_failed_sign_in(&self, name: &str, address: Option<IpAddr>) {
        let admitted = self.audit.failed_sign_ins.admit(name, FAILED_SIGN_INS, Instant::now());
        let Ok(held_back) = admitted else { return };
        tracing::info!(
            user = name,
            address = address.map(tracing::field::display),
            held_back,
            "a sign-in failed"
        );
        let action = AuditedAction {
            operation: Operation::Login,
            resource_type: ResourceType::User,
            resource: name.to_owned(),
            project: None,
        };
        let entry = AuditEntry::new(name, address, action, self.clock.now());
        let _ = self.audit.sender.try_send((entry, None));
    }

    async fn write_soon(&self, entry: Waiting) {
        if self.audit.sender.capacity() < WAITING / 2 {
            self.audit.hurry.notify_one();
        }
        // The other end is this service's own.
        let _ = self.audit.sender.send(entry).await;
    }

    /// Returns when entries should be written.
    pub async fn audit_entries_wait(&self) {
        tokio::select! {
            () = tokio::time::sleep(FLUSH_PAUSE) => {}
            () = self.audit.hurry.notified() => {}
        }
    }

    /// Writes what waits, and then tells webhooks of the pulls among it. What cannot be written goes on waiting.
    pub async fn flush_audit_entries(&self) -> Result<()> {
        let mut waiting = self.audit.waiting.lock().await;
        let (receiver, (batch, pulls)) = &mut *waiting;
        loop {
            while batch.len() < BATCH
                && let Ok((entry, pull)) = receiver.try_recv()
            {
                batch.push(entry);
                pulls.extend(pull);
            }
            let is_last = batch.is_empty();
            if !is_last {
                self.db.insert_audit_entries(batch).await?;
                batch.clear();
            }
            self.tell_of_pulls(pulls).await;
            if is_last {
                return Ok(());
            }
        }
    }

    /// A failure here does not hold the log back: pulls that webhooks cannot be told of now wait by themselves, and not too
    /// many.
    async fn tell_of_pulls(&self, pulls: &mut Vec<Pull>) {
        match self.db.add_pull_events(pulls).await {
            Ok(()) => pulls.clear(),
            Err(error) if pulls.len() >= WAITING => {
                let (count, error) = (pulls.len(), chain(&error));
                tracing::warn!(count, %error, "webhooks are not told of pulls: too many wait");
                pulls.clear();
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "webhooks are told of pulls later");
            }
        }
    }

    /// All entries, newest first, or those before the entry `before`; with them how many there are.
    pub async fn audit_entries(
        &self,
        before: Option<i64>,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<StoredAuditEntry>, u64)> {
        Ok(self.db.audit_entries(None, before, limit, offset).await?)
    }

    /// A project's entries, and none of another that had its name before: whoever makes a project is not to read who did
    /// what in one that is gone. Of a name that no project has, all of them, for whoever may see everything.
    pub async fn audit_entries_of_project(
        &self,
        project: &ProjectReference,
        before: Option<i64>,
        limit: u32,
        offset: u64,
    ) -> Result<(Vec<StoredAuditEntry>, u64)> {
        let reference = match (self.db.find_project(project).await?, project) {
            (Some(found), _) => ProjectReference::Id(found.id),
            (None, ProjectReference::Name(name)) => ProjectReference::Name(name.clone()),
            (None, ProjectReference::Id(_)) => return Err(ServiceError::Unknown("project")),
        };
        Ok(self.db.audit_entries(Some(&reference), before, limit, offset).await?)
    }

    /// Forgets entries older than they are kept, on SQLite at most `limit` in one statement; says how many.
    pub(in crate::service) async fn forget_audit_entries(&self, limit: u32) -> Result<u64> {
        let before = self.before(self.settings().audit_retention());
        let mut forgotten = 0;
        while !self.handover.is_cancelled() {
            let begun = Instant::now();
            let batch = self.db.forget_audit_entries(before, limit).await?;
            forgotten += batch;
            if batch < u64::from(limit) {
                break;
            }
            self.rest(begun.elapsed()).await;
        }
        Ok(forgotten)
    }
}
