//! Limits on what is under way at once and on how often somebody asks. Each replica decides by itself, from what it
//! has let in and what the others have told it within the last second; while nothing is limited nobody tells anything.

mod exchange;
mod rate;
mod slots;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::access::{Authority, Caller};
use crate::domain::address::network;
use crate::domain::settings::{Setting, Settings};
use crate::service::{Result, Service, ServiceError};
use crate::telemetry::Throttle;
use rate::Rates;
use slots::Slots;

pub(crate) use exchange::EXCHANGE_PAUSE;
pub use slots::Slot;

/// When a request that met a full house is worth another try, by when some of what is under way has ended.
const RETRY_SLOT: Duration = Duration::from_secs(1);
/// How long a request waits for a slot before it is refused. Docker, containerd, crane and oras give a whole push up for
/// one `429`.
const SLOT_PATIENCE: Duration = Duration::from_secs(5);
const SLOT_POLL: Duration = Duration::from_millis(100);
/// An upload takes longer than that to end, and asking costs little.
const RETRY_SESSION: Duration = Duration::from_secs(5);
/// Begins of one user that wait for each other share a lock with few other users.
const BEGINNING_LOCKS: usize = 64;
/// Stands in for no limit.
const UNLIMITED: u64 = u64::MAX;

/// Tokens that whoever did not sign in gets from one network at once, and the pause between those beyond: fifty clients
/// behind one address each begin a pull every second. Each token costs a signature and a look at every project asked for.
const ANONYMOUS_TOKENS: u32 = 100;
const ANONYMOUS_TOKENS_PAUSE: Duration = Duration::from_millis(20);

/// What this replica has let in, and what it knows of the others.
#[derive(Debug)]
pub(in crate::service) struct Admission {
    replica: Uuid,
    uploads: Slots,
    downloads: Slots,
    request_rate: AtomicU64,
    rates: Mutex<Rates>,
    anonymous_tokens: Throttle,
    /// Whether the table has a row of this replica that says more than nothing.
    has_told: AtomicBool,
    beginning: [tokio::sync::Mutex<()>; BEGINNING_LOCKS],
}

/// Bytes that a request moves through this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    Upload,
    Download,
}

impl Admission {
    pub fn new() -> Self {
        Self {
            replica: Uuid::new_v4(),
            uploads: Slots::default(),
            downloads: Slots::default(),
            request_rate: AtomicU64::new(UNLIMITED),
            rates: Mutex::default(),
            anonymous_tokens: Throttle::new(ANONYMOUS_TOKENS, ANONYMOUS_TOKENS_PAUSE),
            has_told: AtomicBool::new(false),
            beginning: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }

    pub fn limit(&self, settings: &Settings) {
        self.uploads.limit(settings.limit(Setting::UploadConcurrent));
        self.downloads.limit(settings.limit(Setting::DownloadConcurrent));
        let rate = settings.limit(Setting::RequestRate).unwrap_or(UNLIMITED);
        self.request_rate.store(rate, Ordering::Relaxed);
    }

    fn rate(&self) -> Option<u64> {
        Some(self.request_rate.load(Ordering::Relaxed)).filter(|rate| *rate != UNLIMITED)
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Counts a request of this caller; fails where that is one too many.
    pub fn admit_request(&self, caller: &Caller) -> Result<()> {
        let Some(rate) = self.admission.rate() else { return Ok(()) };
        // Work on the database, within this process.
        if matches!(caller.authority, Authority::Unchecked) && caller.address.is_none() {
            return Ok(());
        }
        let subject = match caller.name() {
            Some(name) => self.standings.share(name).to_string(),
            None => format!("address {}", network(caller.address).network),
        };
        let admitted = self.admission.rates().admit(&subject, rate, Instant::now());
        admitted.map_err(|wait| ServiceError::TooManyRequests {
            what: "requests of one user in a second",
            retry_after: Duration::from_secs(wait.as_secs() + 1),
        })
    }

    /// Counts a token that somebody wants who may not have signed in; fails where that is one too many. Whoever has signed
    /// in was counted then.
    pub fn admit_token(&self, caller: &Caller) -> Result<()> {
        if caller.name().is_some() {
            return Ok(());
        }
        self.admit_request(caller)?;
        let network = network(caller.address).network;
        match self.admission.anonymous_tokens.admit(&network, Instant::now()) {
            Some(_) => Ok(()),
            None => Err(ServiceError::TooManyRequests {
                what: "tokens for one address in a second without signing in",
                retry_after: RETRY_SLOT,
            }),
        }
    }

    /// Takes a slot for as long as bytes move; fails where there is none.
    pub async fn admit_load(&self, load: Load) -> Result<Slot> {
        let (slots, what) = match load {
            Load::Upload => (&self.admission.uploads, "uploads at once"),
            Load::Download => (&self.admission.downloads, "downloads at once"),
        };
        let deadline = Instant::now() + SLOT_PATIENCE;
        loop {
            if let Some(slot) = slots.take() {
                return Ok(slot);
            }
            if Instant::now() >= deadline {
                return Err(ServiceError::TooManyRequests { what, retry_after: RETRY_SLOT });
            }
            tokio::time::sleep(SLOT_POLL).await;
        }
    }

    /// Runs `begin` where the caller may have one more upload open. Only on this replica does nobody begin another
    /// meanwhile: of two replicas that look at the same moment, both may see room for one.
    pub(in crate::service) async fn within_open_sessions<T>(
        &self,
        caller: &Caller,
        begin: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let most = self.settings().limit(Setting::OpenSessionsPerUser);
        let (Some(most), Some(user)) = (most, caller.name()) else { return begin.await };
        let share = self.standings.share(user);
        let lock = share
            .to_string()
            .bytes()
            .fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let _turn = self.admission.beginning[lock % BEGINNING_LOCKS].lock().await;
        if self.db.count_open_uploads(&share, self.clock.now(), most).await? >= most {
            let what = "open uploads of one user";
            return Err(ServiceError::TooManyRequests { what, retry_after: RETRY_SESSION });
        }
        begin.await
    }
}
