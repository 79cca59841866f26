//! Who a request comes from: what it signs in with becomes a [`Caller`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use super::{Result, Service, ServiceError};
use crate::auth::password;
use crate::auth::secret::{PersonalToken, SecretHash};
use crate::auth::token::{StoredKey, TokenIssuer, TokenKeys, key_id};
use crate::db::{Db, UserAccount};
use crate::domain::access::{Authority, Caller, TokenGrants};
use crate::domain::account::RobotName;

/// Passwords hashed at once: each takes 19 MiB and a core for tens of milliseconds.
const HASHES_AT_ONCE: usize = 2;
/// How long a password that was right is not hashed again. It is looked up by the stored hash, so that one that was
/// changed is hashed at once.
const PASSWORD_CACHE_TIME: Duration = Duration::from_mins(5);
/// Passwords remembered at once: 64 bytes each.
const PASSWORD_CACHE_SIZE: usize = 10_000;
/// Between two looks for keys that other replicas may have made.
const KEY_RELOAD_PAUSE: Duration = Duration::from_secs(1);
/// Failed sign-ins as one user from one address that cost nothing: people mistype.
const FREE_FAILURES: i64 = 5;
/// The same from one address, whoever it tries to be: many people may be behind one.
const FREE_FAILURES_OF_ADDRESS: i64 = 50;
/// The longest a failed sign-in keeps the next one waiting.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);
/// After so long without a failure all is forgotten.
pub(super) const FAILURES_KEPT: TimeDelta = TimeDelta::minutes(30);

/// What a request signs in with.
#[derive(Clone)]
pub enum Credentials {
    None,
    Basic { name: String, secret: String },
    Bearer(String),
}

/// What `--auth token` needs.
#[derive(Debug)]
pub struct Auth {
    pub issuer: TokenIssuer,
    /// Where clients reach this service: where tokens are to be had.
    pub public_url: Url,
    /// Age at which a signing key gets a successor.
    pub key_lifetime: Duration,
    keys: RwLock<(Arc<TokenKeys>, DateTime<Utc>, Instant)>,
    hashing: Semaphore,
    known_passwords: Mutex<HashMap<[u8; 32], Instant>>,
    /// Known passwords are kept as hashes that mean nothing elsewhere.
    pepper: [u8; 32],
}

impl Auth {
    /// Loads the signing keys, and makes the first one where there is none.
    pub async fn open(
        db: &Db,
        issuer: TokenIssuer,
        public_url: Url,
        key_lifetime: Duration,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let keys = load_keys(db, &issuer, key_lifetime, now).await?;
        let mut pepper = [0; 32];
        rand::rng().fill_bytes(&mut pepper);
        Ok(Self {
            issuer,
            public_url,
            key_lifetime,
            keys: RwLock::new(keys),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            known_passwords: Mutex::default(),
            pepper,
        })
    }

    fn keys(&self) -> (Arc<TokenKeys>, DateTime<Utc>, Instant) {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys to sign with: with one that is not too old.
    async fn signing_keys(&self, db: &Db, now: DateTime<Utc>) -> Result<Arc<TokenKeys>> {
        let (keys, newest, _) = self.keys();
        if now < newest + delta(self.key_lifetime) { Ok(keys) } else { self.reload(db, now).await }
    }

    /// The keys to verify a token with that names `key_id`: another replica may just have made it.
    async fn verifying_keys(&self, db: &Db, key_id: &str, now: DateTime<Utc>) -> Result<Arc<TokenKeys>> {
        let (keys, _, loaded) = self.keys();
        if keys.knows(key_id) || loaded.elapsed() < KEY_RELOAD_PAUSE {
            return Ok(keys);
        }
        self.reload(db, now).await
    }

    async fn reload(&self, db: &Db, now: DateTime<Utc>) -> Result<Arc<TokenKeys>> {
        let loaded = load_keys(db, &self.issuer, self.key_lifetime, now).await?;
        let keys = Arc::clone(&loaded.0);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(keys)
    }

    fn cache_key(&self, password: &str, stored: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.pepper);
        hash.update(stored.as_bytes());
        hash.update([0]);
        hash.update(password.as_bytes());
        hash.finalize().into()
    }

    fn is_known(&self, key: &[u8; 32]) -> bool {
        let known = self.known_passwords.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).is_some_and(|since| since.elapsed() < PASSWORD_CACHE_TIME)
    }

    fn remember(&self, key: [u8; 32]) {
        let mut known = self.known_passwords.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PASSWORD_CACHE_SIZE {
            known.clear();
        }
        known.insert(key, Instant::now());
    }
}

/// All keys that may have signed what is still valid, after adding one where the newest is too old.
async fn load_keys(
    db: &Db,
    issuer: &TokenIssuer,
    key_lifetime: Duration,
    now: DateTime<Utc>,
) -> Result<(Arc<TokenKeys>, DateTime<Utc>, Instant)> {
    let mut keys = db.token_keys().await?;
    let newest = |keys: &[StoredKey]| keys.iter().map(|key| key.created_at).max();
    let due = now - delta(key_lifetime);
    if newest(&keys).is_none_or(|newest| newest <= due) {
        // Twice, so that a token signed by a replica that had not reloaded yet is still good.
        let forgotten = now - delta(key_lifetime) * 2 - delta(issuer.lifetime) * 2;
        db.rotate_token_key(StoredKey::generate(now)?, due, forgotten).await?;
        keys = db.token_keys().await?;
    }
    Ok((Arc::new(TokenKeys::new(&keys)?), newest(&keys).unwrap_or(now), Instant::now()))
}

impl Service {
    /// Who signs in with these credentials. Without any it is nobody in particular.
    pub async fn authenticate(&self, credentials: Credentials, address: Option<IpAddr>) -> Result<Caller> {
        let Some(auth) = &self.auth else {
            return Ok(Caller { authority: Authority::Unchecked, address });
        };
        let authority = match credentials {
            Credentials::None => Authority::Anonymous,
            Credentials::Basic { name, secret } => self.sign_in(auth, &name, &secret, address).await?,
            Credentials::Bearer(token) => match token.parse() {
                Ok(personal) => self.sign_in_with_token(&personal, None, address).await?,
                Err(_) => self.bearer(auth, &token).await?,
            },
        };
        Ok(Caller { authority, address })
    }

    /// Signs a token that says `grants`; with it the seconds it lives.
    pub async fn issue_token(&self, grants: &TokenGrants) -> Result<(String, u64)> {
        let auth = self.auth.as_ref().ok_or(ServiceError::Unauthenticated)?;
        let now = self.clock.now();
        let keys = auth.signing_keys(&self.db, now).await?;
        Ok((auth.issuer.issue(&keys, grants, now)?, auth.issuer.lifetime.as_secs()))
    }

    async fn bearer(&self, auth: &Auth, token: &str) -> Result<Authority> {
        let now = self.clock.now();
        let Ok(key_id) = key_id(token) else { return Err(ServiceError::CredentialsInvalid) };
        let keys = auth.verifying_keys(&self.db, &key_id, now).await?;
        let verified = auth.issuer.verify(&keys, token);
        verified.map(Authority::Token).map_err(|_| ServiceError::CredentialsInvalid)
    }

    async fn sign_in(
        &self,
        auth: &Auth,
        name: &str,
        secret: &str,
        address: Option<IpAddr>,
    ) -> Result<Authority> {
        if let Ok(robot) = name.parse::<RobotName>() {
            return self.sign_in_as_robot(robot, secret, address).await;
        }
        if let Ok(personal) = secret.parse::<PersonalToken>() {
            return self.sign_in_with_token(&personal, Some(name), address).await;
        }
        self.sign_in_with_password(auth, name, secret, address).await
    }

    async fn sign_in_as_robot(
        &self,
        robot: RobotName,
        secret: &str,
        address: Option<IpAddr>,
    ) -> Result<Authority> {
        let found = self.db.find_robot_account(&robot).await?;
        // Compared with something where there is no such robot.
        let hash = found.as_ref().map_or(SecretHash([0; 32]), |found| found.secret_hash);
        let (fits, is_known) = (hash.is_of(secret), found.is_some());
        let alive = found.filter(|found| !found.is_disabled && self.is_unexpired(found.expires_at));
        match alive {
            Some(found) if fits => Ok(Authority::Robot {
                name: robot.to_string(),
                project: robot.project,
                actions: found.actions,
            }),
            _ => {
                if is_known {
                    self.record_failed_sign_in(&robot.to_string(), address).await;
                }
                Err(ServiceError::CredentialsInvalid)
            }
        }
    }

    async fn sign_in_with_token(
        &self,
        token: &PersonalToken,
        name: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Authority> {
        let found = self.db.find_token_account(token.id).await?;
        let hash = found.as_ref().map_or(SecretHash([0; 32]), |found| found.secret_hash);
        let fits = hash.is_of(token.secret.reveal());
        match found {
            Some(found)
                if fits
                    && self.is_unexpired(found.expires_at)
                    && name.is_none_or(|name| name == found.user.name) =>
            {
                Ok(user(found.user))
            }
            Some(found) => {
                self.record_failed_sign_in(&found.user.name, address).await;
                Err(ServiceError::CredentialsInvalid)
            }
            None => Err(ServiceError::CredentialsInvalid),
        }
    }

    async fn sign_in_with_password(
        &self,
        auth: &Auth,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Authority> {
        let found = self.db.find_user_account(name).await?;
        let stored = found.as_ref().and_then(|found| found.password_hash.clone());
        let cached = stored.as_ref().map(|stored| auth.cache_key(password, stored));
        if let (Some(account), Some(key)) = (&found, &cached)
            && auth.is_known(key)
        {
            return Ok(user(account.clone()));
        }
        let place = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        // Names that are none are all one: a guesser must not fill the table.
        let who = found.as_ref().map_or_else(|| "?".to_owned(), |found| found.name.clone());
        let subjects = [(format!("{who} {place}"), FREE_FAILURES), (place, FREE_FAILURES_OF_ADDRESS)];
        for (subject, free) in &subjects {
            self.check_patience(subject, *free).await?;
        }
        let fits = {
            let _turn = auth.hashing.acquire().await.map_err(|_| ServiceError::Stopping)?;
            let (password, stored) = (password.to_owned(), stored);
            tokio::task::spawn_blocking(move || password::verify(&password, stored.as_deref())).await?
        };
        match (found, cached) {
            (Some(account), Some(key)) if fits => {
                auth.remember(key);
                self.db.clear_login_failures(&subjects[0].0).await?;
                Ok(user(account))
            }
            _ => {
                let now = self.clock.now();
                for (subject, _) in &subjects {
                    self.db.record_login_failure(subject, now, now - FAILURES_KEPT).await?;
                }
                tracing::info!(user = who, address = %subjects[1].0, "a sign-in failed");
                self.record_failed_sign_in(&who, address).await;
                Err(ServiceError::CredentialsInvalid)
            }
        }
    }

    /// Each failure beyond the free ones doubles the wait, from a second up.
    async fn check_patience(&self, subject: &str, free: i64) -> Result<()> {
        let Some((failures, last)) = self.db.login_failures(subject).await? else { return Ok(()) };
        let Ok(doublings) = u32::try_from(failures - free) else { return Ok(()) };
        let wait =
            TimeDelta::seconds(1_i64.checked_shl(doublings.min(30)).unwrap_or(i64::MAX)).min(LONGEST_WAIT);
        let (until, now) = (last + wait, self.clock.now());
        if now >= until || last <= now - FAILURES_KEPT {
            return Ok(());
        }
        let seconds = (until - now).num_seconds().unsigned_abs() + 1;
        Err(ServiceError::TooManyRequests {
            what: "sign-ins have failed",
            retry_after: Duration::from_secs(seconds),
        })
    }

    fn is_unexpired(&self, expires_at: Option<DateTime<Utc>>) -> bool {
        expires_at.is_none_or(|expires_at| self.clock.now() < expires_at)
    }
}

fn user(account: UserAccount) -> Authority {
    Authority::User { id: account.id, name: account.name, is_admin: account.is_admin }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Basic { .. } => "basic",
            Self::Bearer(_) => "bearer",
        })
    }
}
