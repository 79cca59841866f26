//! Limits on what is under way at once and on how often somebody asks. Each replica decides by itself: its share of a
//! limit is the limit by the number of replicas, rounded up.

mod replicas;
mod slots;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::access::{Authority, Caller};
use crate::domain::address::network;
use crate::domain::settings::Setting;
use crate::service::{Result, Service, ServiceError};
use crate::telemetry::{Allowance, Throttle};
use replicas::Replicas;
use slots::Slots;

pub(crate) use replicas::HEARTBEAT_PAUSE;
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

/// Tokens that whoever did not sign in gets from one network: fifty clients behind one address each begin a pull every
/// second. Each token costs a signature and a look at every project asked for.
const ANONYMOUS_TOKENS: Allowance = Allowance { burst: 100, pause: Duration::from_millis(20) };

/// What this replica has let in, and how many replicas share the limits.
#[derive(Debug)]
pub(in crate::service) struct Admission {
    replicas: Replicas,
    uploads: Slots,
    downloads: Slots,
    requests: Throttle,
    anonymous_tokens: Throttle,
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
            replicas: Replicas::default(),
            uploads: Slots::default(),
            downloads: Slots::default(),
            requests: Throttle::new(),
            anonymous_tokens: Throttle::new(),
            beginning: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }
}

impl Service {
    /// This replica's share of a limit. None where there is no limit.
    fn share_of(&self, limit: Setting) -> Option<u64> {
        Some(self.settings().limit(limit)?.div_ceil(self.admission.replicas.count()))
    }

    /// Counts a request of this caller; fails where that is one too many.
    pub fn admit_request(&self, caller: &Caller) -> Result<()> {
        let Some(rate) = self.share_of(Setting::RequestRate) else { return Ok(()) };
        // Work on the database, within this process.
        if matches!(caller.authority, Authority::Unchecked) && caller.address.is_none() {
            return Ok(());
        }
        let subject = match caller.name() {
            Some(name) => self.account_cache.share(name).to_string(),
            None => format!("address {}", network(caller.address).network),
        };
        let admitted = self.admission.requests.admit(&subject, Allowance::per_second(rate), Instant::now());
        admitted.map(drop).map_err(|wait| ServiceError::TooManyRequests {
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
        let admitted = self.admission.anonymous_tokens.admit(&network, ANONYMOUS_TOKENS, Instant::now());
        admitted.map(drop).map_err(|_| ServiceError::TooManyRequests {
            what: "tokens for one address in a second without signing in",
            retry_after: RETRY_SLOT,
        })
    }

    /// Takes a slot for as long as bytes move; fails where there is none.
    pub async fn admit_load(&self, load: Load) -> Result<Slot> {
        let (slots, limit, what) = match load {
            Load::Upload => (&self.admission.uploads, Setting::UploadConcurrent, "uploads at once"),
            Load::Download => (&self.admission.downloads, Setting::DownloadConcurrent, "downloads at once"),
        };
        let deadline = Instant::now() + SLOT_PATIENCE;
        loop {
            if let Some(slot) = slots.take(self.share_of(limit).unwrap_or(u64::MAX)) {
                return Ok(slot);
            }
            if Instant::now() >= deadline {
                return Err(ServiceError::TooManyRequests { what, retry_after: RETRY_SLOT });
            }
            tokio::time::sleep(SLOT_POLL).await;
        }
    }

    /// Runs `begin` where the caller may have one more upload open.
    pub(in crate::service) async fn within_open_sessions<T>(
        self: &Arc<Self>,
        caller: &Caller,
        begin: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.within_open_sessions_of_many(caller, 1, |_| begin).await
    }

    /// Runs `begin` with how many more uploads the caller may have open, of as many as are wanted; fails where that is
    /// none. Only on this replica does nobody begin another meanwhile: of two replicas that look at the same moment, both
    /// may see room for one. Redirected uploads that nobody has seen to be complete do not keep the caller from the next.
    pub(in crate::service) async fn within_open_sessions_of_many<T, F>(
        self: &Arc<Self>,
        caller: &Caller,
        wanted: usize,
        begin: impl FnOnce(usize) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let most = self.settings().limit(Setting::OpenSessionsPerUser);
        let (Some(most), Some(user)) = (most, caller.name()) else { return begin(wanted).await };
        let share = self.account_cache.share(user);
        let lock = share
            .to_string()
            .bytes()
            .fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        loop {
            let turn = self.admission.beginning[lock % BEGINNING_LOCKS].lock().await;
            let open = self.db.count_open_uploads(&share, self.clock.now(), most).await?;
            let allowed = usize::try_from(most.saturating_sub(open)).unwrap_or(usize::MAX);
            if allowed > 0 {
                return begin(wanted.min(allowed)).await;
            }
            drop(turn);
            if !self.settle_newest_of(user).await? {
                return Err(Self::too_many_sessions());
            }
        }
    }

    /// Why one upload more is refused.
    pub(in crate::service) const fn too_many_sessions() -> ServiceError {
        let what = "open uploads of one user";
        ServiceError::TooManyRequests { what, retry_after: RETRY_SESSION }
    }
}
