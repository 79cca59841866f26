//! What requests are signed with: the SDK's provider chain, asked once and then shortly before what it gave runs
//! out; and the key that a day's signatures are made with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_s3::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::SIGN;
use crate::domain::clock::Clock;
use crate::storage::{Result, StorageError};

/// Temporary credentials are there in a new edition at least so long before the old one ends (Amazon EC2 User
/// Guide, "Retrieve security credentials from instance metadata").
const REFRESH_BEFORE: TimeDelta = TimeDelta::minutes(5);
/// Between two questions while what is held is still good: an ailing provider is not pressed with every request.
const REFRESH_PAUSE: TimeDelta = TimeDelta::seconds(10);
/// What the SDK gives its providers (aws-smithy-runtime, identity cache).
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is nothing to sign with, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
enum CredentialError {
    #[error(
        "no AWS credentials could be had: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or check AWS_PROFILE or \
         this machine's role"
    )]
    Failed(#[source] Option<Arc<dyn std::error::Error + Send + Sync>>),
    #[error("the AWS credential provider did not answer in time; check the network to it")]
    Silent,
    #[error("the AWS credentials expired at {0}; renew them, and check this machine's clock")]
    Expired(DateTime<Utc>),
}

impl From<CredentialError> for StorageError {
    fn from(error: CredentialError) -> Self {
        Self::unavailable(SIGN)(error)
    }
}

/// Credentials, for as long as they are good.
pub(in crate::storage::s3) struct CredentialCache {
    provider: Option<SharedCredentialsProvider>,
    clock: Clock,
    state: RwLock<State>,
    /// One question at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    held: Option<Arc<Held>>,
    refresh_at: DateTime<Utc>,
    /// When the last question ended in this, since there was an answer.
    failure: Option<(DateTime<Utc>, CredentialError)>,
}

impl CredentialCache {
    pub fn new(provider: Option<SharedCredentialsProvider>, clock: Clock) -> Self {
        Self { provider, clock, state: RwLock::default(), turn: tokio::sync::Mutex::default() }
    }

    pub(super) async fn get(&self) -> Result<Arc<Held>> {
        let asked = self.clock.now();
        let good = match self.held(asked) {
            (Some(held), true) => return Ok(held),
            (good, _) => good,
        };
        // Whoever can still sign does not wait for the one who asks.
        let _turn = match (self.turn.try_lock(), good) {
            (Ok(turn), _) => turn,
            (Err(_), Some(held)) => return Ok(held),
            (Err(_), None) => self.turn.lock().await,
        };
        if let (Some(held), true) = self.held(self.clock.now()) {
            return Ok(held);
        }
        // Those who waited while it failed do not each wait for their own failure.
        if let Some((at, error)) = &self.read().failure
            && *at >= asked
        {
            return Err(error.clone().into());
        }
        let answer = self.ask().await;
        self.take(answer)
    }

    /// What is held and has not expired, and whether it will do without asking for new.
    fn held(&self, now: DateTime<Utc>) -> (Option<Arc<Held>>, bool) {
        let state = self.read();
        let good = state.held.as_ref().filter(|held| held.lives(now));
        (good.cloned(), good.is_some() && now < state.refresh_at)
    }

    async fn ask(&self) -> std::result::Result<Held, CredentialError> {
        let provider = self.provider.as_ref().ok_or(CredentialError::Failed(None))?;
        let credentials = tokio::time::timeout(PROVIDER_TIMEOUT, provider.provide_credentials())
            .await
            .map_err(|_| CredentialError::Silent)?
            .map_err(|error| CredentialError::Failed(Some(Arc::new(error))))?;
        let held = Held::new(credentials);
        match held.expires_at {
            Some(expires_at) if !held.lives(self.clock.now()) => Err(CredentialError::Expired(expires_at)),
            _ => Ok(held),
        }
    }

    /// Keeps an answer. After a failure what is held is used to its end.
    fn take(&self, answer: std::result::Result<Held, CredentialError>) -> Result<Arc<Held>> {
        let now = self.clock.now();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let (held, failure) = match answer {
            Ok(held) => (Some(Arc::new(held)), None),
            Err(error) => (state.held.take().filter(|held| held.lives(now)), Some((now, error))),
        };
        state.refresh_at = held
            .as_ref()
            .and_then(|held| held.expires_at)
            .map_or(DateTime::<Utc>::MAX_UTC, |end| (end - REFRESH_BEFORE).max(now + REFRESH_PAUSE));
        if let (Some(_), Some((_, error))) = (&held, &failure) {
            tracing::warn!(error = %crate::log_text::chain(error), "AWS credentials could not be renewed");
        }
        state.failure = failure;
        state.held.clone_from(&held);
        match (held, &state.failure) {
            (Some(held), _) => Ok(held),
            (None, Some((_, error))) => Err(error.clone().into()),
            (None, None) => Err(CredentialError::Failed(None).into()),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialCache").finish_non_exhaustive()
    }
}

/// One edition of the credentials.
pub(super) struct Held {
    credentials: Credentials,
    /// In whole seconds; none for those that last.
    expires_at: Option<DateTime<Utc>>,
    /// The latest day's signing key, with its day.
    key: Mutex<Option<(String, Hmac<Sha256>)>>,
}

impl Held {
    pub fn new(credentials: Credentials) -> Self {
        // A date beyond the calendar is as good as none.
        let seconds =
            credentials.expiry().map(|end| end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let expires_at = seconds.and_then(|end| DateTime::from_timestamp(end.try_into().ok()?, 0));
        Self { credentials, expires_at, key: Mutex::default() }
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub fn access_key_id(&self) -> &str {
        self.credentials.access_key_id()
    }

    pub fn session_token(&self) -> Option<&str> {
        self.credentials.session_token()
    }

    /// As much of `wanted`, in whole seconds, as these credentials live to see.
    pub fn lifetime(&self, now: DateTime<Utc>, wanted: Duration) -> Result<Duration> {
        let wanted = Duration::from_secs(wanted.as_secs());
        match self.expires_at {
            None => Ok(wanted),
            Some(end) if self.lives(now) => Ok((end - now).to_std().map_or(wanted, |left| left.min(wanted))),
            Some(end) => Err(CredentialError::Expired(end).into()),
        }
    }

    /// Whether a URL can live for a second of theirs.
    fn lives(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now + TimeDelta::seconds(1) <= end)
    }

    /// The signing key of a day and a scope (S3 API Reference, "Calculate the Signing Key"). All that these sign
    /// has one scope but for the bucket's endpoints, so the latest key is the one that is asked for.
    pub fn key(&self, date: &str, scope: &str) -> Result<Hmac<Sha256>> {
        let name = format!("{date}/{scope}");
        let mut latest = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, key)) = &*latest
            && *of == name
        {
            return Ok(key.clone());
        }
        let secret = format!("AWS4{}", self.credentials.secret_access_key());
        let mut key = keyed(secret.as_bytes())?;
        for step in name.split('/') {
            key.update(step.as_bytes());
            key = keyed(&key.finalize().into_bytes())?;
        }
        *latest = Some((name, key.clone()));
        Ok(key)
    }
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>> {
    // It takes keys of any length.
    Hmac::new_from_slice(key).map_err(StorageError::unavailable(SIGN))
}
