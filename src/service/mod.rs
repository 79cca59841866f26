//! The use cases: one file, one verb. No headers, no SQL, no store's types.

// Who is there, who somebody is, and what they may do.
mod accounts;
// Memory for bodies that are held whole.
mod bodies;
// What can go wrong, whatever the front door.
mod error;
// Blobs, manifests, tags and files.
mod registry;
// Cleaning up, the audit log, settings, quotas and limits.
mod upkeep;
// From a session's first request to the blob in its place.
mod uploads;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::db::Db;
use crate::domain::access::{Authority, Caller};
use crate::domain::clock::Clock;
use crate::domain::limits::Limits;
use crate::domain::name::RepositoryName;
use crate::domain::settings::Settings;
use crate::domain::upload::{Upload, UploadId};
use crate::log_text::chain;
use crate::memory::MemoryBudget;
use crate::storage::Storage;
use crate::telemetry::Throttle;
use accounts::identity::AccountCache;
use accounts::passwords;
use bodies::BodyMemory;
use registry::blobs;
use upkeep::admission::Admission;
use upkeep::audit::AuditBuffer;
use upkeep::readiness::LastReadiness;
use uploads::finalize::{place, read_back};
use uploads::settle;
use uploads::together::InsertQueue;

pub use accounts::access::{ProjectRight, Requirement};
pub use accounts::identity::{Auth, Credentials, SignedRequest};
pub use accounts::members::NewMember;
pub use accounts::projects::{ProjectDescription, Quota};
pub use accounts::robots::NewRobot;
pub use accounts::users::{FirstAdministrator, NewUser};
pub use bodies::UNCOUNTED_BODY;
pub use error::ServiceError;
pub use registry::blobs::BlobContent;
pub use registry::file_locks::Locking;
pub use registry::files::FileName;
pub use registry::hub::{HubChange, HubCommitted, NewHubCommit, TreeWalk};
pub use registry::listings::MAX_PAGE;
pub(crate) use upkeep::admission::HEARTBEAT_PAUSE;
pub use upkeep::admission::{Load, Slot};
pub use upkeep::cleanup::CleanupReport;
pub use upkeep::collect::CollectReport;
pub use upkeep::readiness::Readiness;
pub use upkeep::scrub::{Inconsistency, ScrubReport, ScrubTerms};
pub(crate) use upkeep::webhooks::WebhookDeliveries;
pub use uploads::append::{Chunk, ChunkChecksum};
pub use uploads::batch::{BatchOrigin, BatchWay, BatchedUpload, WantedBlob};
pub use uploads::finalize::{ClientHints, Finalized, NamedPart};
pub use uploads::open_parts::OpenParts;
pub use uploads::resumable::{NewResumable, ResumableChunk};
pub use uploads::sign::{ArrivedPart, Presigned, SignMode, SignRequest, SignedPart, SignedParts};

type Result<T> = std::result::Result<T, ServiceError>;

/// Tries of a compare-and-swap before a session counts as contended; each lost one means another won.
const SWAP_ATTEMPTS: usize = 32;

/// Between two looks at the database's clock: a quartz is off by some milliseconds after it.
pub(crate) const CLOCK_PAUSE: Duration = Duration::from_secs(10);
/// More than a quartz and NTP move a clock in [`CLOCK_PAUSE`], by far.
const NOTABLE_CLOCK_STEP: TimeDelta = TimeDelta::seconds(1);

/// The use cases over one database and one store. Replicas share both and nothing else.
#[derive(Debug)]
pub struct Service {
    db: Db,
    storage: Storage,
    clock: Clock,
    limits: Limits,
    /// None where nobody has to sign in.
    auth: Option<Auth>,
    settings: RwLock<Arc<Settings>>,
    admission: Admission,
    audit: AuditBuffer,
    quota_events: Throttle,
    account_cache: AccountCache,
    readiness: LastReadiness,
    /// Work that goes on when the request that began it is gone.
    tasks: TaskTracker,
    /// Cancelled when work in flight must be handed over.
    handover: CancellationToken,
    /// Threads that hash what is read back.
    hashers: Arc<MemoryBudget>,
    /// Finalizes whose copy is not done yet, and copies under way.
    placings: Arc<MemoryBudget>,
    copies: Arc<MemoryBudget>,
    /// Looks at the objects of blobs that are being read.
    looks: Arc<Semaphore>,
    /// Questions whether what redirected clients send is there, and finalizes of it that nobody has asked for.
    arrivals: Semaphore,
    unasked: Arc<Semaphore>,
    bodies: BodyMemory,
    hashing: Semaphore,
    inserts: InsertQueue,
}

impl Service {
    #[must_use]
    pub fn new(db: Db, storage: Storage, clock: Clock, limits: Limits, auth: Option<Auth>) -> Arc<Self> {
        let settings = limits.settings();
        Arc::new(Self {
            db,
            storage,
            clock,
            limits,
            auth,
            settings: RwLock::new(Arc::new(settings)),
            admission: Admission::new(),
            audit: AuditBuffer::new(),
            quota_events: Throttle::new(),
            account_cache: AccountCache::default(),
            readiness: LastReadiness::default(),
            tasks: TaskTracker::new(),
            handover: CancellationToken::new(),
            hashers: MemoryBudget::new(read_back::HASHERS_AT_ONCE, read_back::HASHERS_AT_ONCE),
            placings: MemoryBudget::new(place::PLACINGS_AT_ONCE, place::PLACINGS_AT_ONCE / 2),
            looks: Arc::new(Semaphore::new(blobs::LOOKS_AT_ONCE)),
            arrivals: Semaphore::new(settle::ARRIVALS_AT_ONCE),
            unasked: Arc::new(Semaphore::new(settle::UNASKED_AT_ONCE)),
            copies: MemoryBudget::new(place::COPIES_AT_ONCE as usize, place::COPIES_AT_ONCE as usize),
            bodies: BodyMemory::new(),
            hashing: Semaphore::new(passwords::HASHES_AT_ONCE),
            inserts: InsertQueue::default(),
        })
    }

    /// Whether the database and the store answer.
    pub async fn check(&self) -> Result<()> {
        self.db.check().await?;
        self.storage.check().await?;
        Ok(())
    }

    /// Where clients send bytes that do not come here, as browsers name a site; none where all of them come here.
    pub async fn store_origin(&self) -> Option<String> {
        self.storage.origin().await
    }

    /// Ends in good order: what is in flight saves its state and gives its lease back, so that a client or
    /// another replica goes on at once.
    pub async fn hand_over(&self, patience: Duration) {
        self.tasks.close();
        self.handover.cancel();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("work in flight did not end in time; its leases run out by themselves");
        }
        if let Err(error) = self.flush_audit_entries().await {
            tracing::error!(error = %chain(&error), "the last entries of the audit log are lost");
        }
        self.leave_replicas().await;
        self.db.close().await;
    }

    /// Runs to its end what must not be dropped half-way when its client is gone.
    pub async fn outlive<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        match self.tasks.spawn(work.instrument(tracing::Span::current())).await {
            Ok(done) => Ok(done),
            // The request's own handler answers for it.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(error.into()),
        }
    }

    /// A session by its UUID, if it belongs to this repository and this caller.
    pub async fn upload(&self, caller: &Caller, repository: &RepositoryName, id: UploadId) -> Result<Upload> {
        let upload = self.db.find_upload(id).await?.ok_or(ServiceError::UploadUnknown)?;
        let is_own =
            matches!(caller.authority, Authority::Unchecked) || upload.user_id.as_deref() == caller.name();
        // Nothing tells a session of another repository or user from one that does not exist.
        if is_own && upload.repository == *repository { Ok(upload) } else { Err(ServiceError::UploadUnknown) }
    }

    /// None where nobody has to sign in.
    #[must_use]
    pub const fn auth(&self) -> Option<&Auth> {
        self.auth.as_ref()
    }

    /// The time that expiry is decided by.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Looks at the database's clock again.
    pub async fn correct_clock(&self) -> Result<()> {
        let moved = self.db.correct_clock(&self.clock).await?;
        if moved.abs() > NOTABLE_CLOCK_STEP {
            let seconds = moved.as_seconds_f64();
            tracing::warn!(
                seconds,
                "the database's clock was set, or this machine's stood still; leases and expiry follow the database"
            );
        }
        Ok(())
    }

    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes `step` from the session as this request has read it and persists it: one statement. Reads it again
    /// only where somebody else was faster.
    async fn transition(
        &self,
        mut before: Upload,
        step: impl Fn(Upload) -> Result<Upload> + Send,
    ) -> Result<Upload> {
        for _ in 0..SWAP_ATTEMPTS {
            let after = step(before.clone())?;
            if after == before {
                return Ok(after);
            }
            let now = self.clock.now();
            if self.db.swap_upload(&before, &after, now).await? {
                return Ok(after.persisted(now));
            }
            before = self.read_again(before.id).await?;
        }
        Err(ServiceError::Contended)
    }

    /// A session that this request has read before, as it is now.
    async fn read_again(&self, id: UploadId) -> Result<Upload> {
        self.db.find_upload(id).await?.ok_or(ServiceError::UploadUnknown)
    }

    /// As long as the last batch took: at most half of the database's time goes to what can wait.
    async fn rest(&self, worked: Duration) {
        tokio::select! {
            () = tokio::time::sleep(worked) => {}
            () = self.handover.cancelled() => {}
        }
    }

    fn after(&self, lifetime: Duration) -> DateTime<Utc> {
        let now = self.clock.now();
        TimeDelta::from_std(lifetime)
            .ok()
            .and_then(|lifetime| now.checked_add_signed(lifetime))
            .unwrap_or(now)
    }

    fn before(&self, age: Duration) -> DateTime<Utc> {
        let now = self.clock.now();
        TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age)).unwrap_or(now)
    }
}
