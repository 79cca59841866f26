//! What signs and checks on a replica: keys, issuers, passwords that were right a moment ago.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use crate::auth::oidc::Oidc;
use crate::auth::token::{TokenIssuer, TokenKeys, generate_key};
use crate::db::Db;
use crate::domain::address::network;
use crate::domain::secret::StoredKey;
use crate::service::Result;

/// How long a password that was right, or wrong, is not hashed again. It is looked up by the stored hash, so that one
/// that was changed is hashed at once.
const PASSWORD_CACHE_TIME: Duration = Duration::from_mins(5);
/// Passwords remembered at once: 64 bytes each.
const PASSWORD_CACHE_SIZE: usize = 10_000;
/// Sign-ins of one name from one network wait for each other, and share a lock with few others.
const TURNS: usize = 256;
/// Between two looks for keys that other replicas may have made.
const KEY_RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// What `--auth token` needs.
#[derive(Debug)]
pub struct Auth {
    pub issuer: TokenIssuer,
    /// Others whose tokens are taken.
    pub oidc: Oidc,
    /// Age at which a signing key gets a successor.
    pub key_lifetime: Duration,
    keys: RwLock<(Arc<TokenKeys>, DateTime<Utc>, Instant)>,
    known_passwords: Mutex<HashMap<[u8; 32], Instant>>,
    /// Those that were wrong, under the names that they came with.
    wrong_passwords: Mutex<HashMap<[u8; 32], Instant>>,
    /// Whose failures were counted since they last signed in, name by network.
    failed: Mutex<HashSet<[u8; 32]>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    /// Known passwords are kept as hashes that mean nothing elsewhere.
    pepper: [u8; 32],
}

impl Auth {
    /// Loads the signing keys, and makes the first one where there is none.
    pub async fn open(
        db: &Db,
        issuer: TokenIssuer,
        oidc: Oidc,
        key_lifetime: Duration,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let keys = load_keys(db, &issuer, key_lifetime, now).await?;
        let mut pepper = [0; 32];
        rand::rng().fill_bytes(&mut pepper);
        Ok(Self {
            issuer,
            oidc,
            key_lifetime,
            keys: RwLock::new(keys),
            known_passwords: Mutex::default(),
            wrong_passwords: Mutex::default(),
            failed: Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            pepper,
        })
    }

    fn keys(&self) -> (Arc<TokenKeys>, DateTime<Utc>, Instant) {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys to sign with: with one that is not too old.
    pub(super) async fn signing_keys(&self, db: &Db, now: DateTime<Utc>) -> Result<Arc<TokenKeys>> {
        let (keys, newest, _) = self.keys();
        if now < newest + delta(self.key_lifetime) { Ok(keys) } else { self.reload(db, now).await }
    }

    /// The keys to verify a token with that names `key_id`: another replica may just have made it.
    pub(super) async fn verifying_keys(
        &self,
        db: &Db,
        key_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<TokenKeys>> {
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

    /// A password that was right is known where it came from, and nowhere else: whoever guesses from another place is
    /// not to be told by it, however often they were refused.
    pub(super) fn cache_key(&self, password: &str, stored: &str, address: Option<IpAddr>) -> [u8; 32] {
        self.keyed_hash(&[stored, &network(address).network, password])
    }

    /// Of a name too: for whoever nobody is, nothing is stored.
    pub(super) fn wrong_key(
        &self,
        name: &str,
        password: &str,
        stored: Option<&str>,
        address: Option<IpAddr>,
    ) -> [u8; 32] {
        self.keyed_hash(&[name, stored.unwrap_or_default(), &network(address).network, password])
    }

    /// Held while a sign-in of this name from this network is looked at.
    pub(super) async fn turn(&self, name: &str, address: Option<IpAddr>) -> MutexGuard<'_, ()> {
        let [first, ..] = self.name_key(name, address);
        self.turns[usize::from(first) % TURNS].lock().await
    }

    fn name_key(&self, name: &str, address: Option<IpAddr>) -> [u8; 32] {
        self.keyed_hash(&[name, &network(address).network])
    }

    /// Each text with its length: no two lists of them give one hash.
    fn keyed_hash(&self, texts: &[&str]) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(self.pepper);
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }

    pub(super) fn is_known(&self, key: &[u8; 32]) -> bool {
        is_recent(&self.known_passwords, key)
    }

    pub(super) fn remember(&self, key: [u8; 32]) {
        insert(&self.known_passwords, key);
    }

    pub(super) fn is_known_to_be_wrong(&self, key: &[u8; 32]) -> bool {
        is_recent(&self.wrong_passwords, key)
    }

    /// A password was wrong, and that was counted.
    pub(super) fn remember_failure(&self, key: [u8; 32], name: &str, address: Option<IpAddr>) {
        insert(&self.wrong_passwords, key);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= PASSWORD_CACHE_SIZE {
            failed.clear();
        }
        failed.insert(self.name_key(name, address));
    }

    /// Whether failures were counted here since this was asked last.
    pub(super) fn take_failure(&self, name: &str, address: Option<IpAddr>) -> bool {
        let key = self.name_key(name, address);
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)
    }
}

fn is_recent(passwords: &Mutex<HashMap<[u8; 32], Instant>>, key: &[u8; 32]) -> bool {
    let passwords = passwords.lock().unwrap_or_else(PoisonError::into_inner);
    passwords.get(key).is_some_and(|since| since.elapsed() < PASSWORD_CACHE_TIME)
}

fn insert(passwords: &Mutex<HashMap<[u8; 32], Instant>>, key: [u8; 32]) {
    let mut passwords = passwords.lock().unwrap_or_else(PoisonError::into_inner);
    if passwords.len() >= PASSWORD_CACHE_SIZE {
        passwords.clear();
    }
    passwords.insert(key, Instant::now());
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
        db.rotate_token_key(generate_key(now)?, due, forgotten).await?;
        keys = db.token_keys().await?;
    }
    Ok((Arc::new(TokenKeys::new(&keys)?), newest(&keys).unwrap_or(now), Instant::now()))
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
