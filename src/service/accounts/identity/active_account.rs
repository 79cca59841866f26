//! Whether an account that somebody has signed in to before still is one: a token is good for minutes, and its user may be
//! gone a moment later. Asked of the database now and then, and remembered in between.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::access::Share;
use crate::domain::account::RobotName;
use crate::service::{Result, Service};

/// How long an answer is good for: for so long a token may outlive its account.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Accounts remembered at once, some hundred bytes each.
const MOST_REMEMBERED: usize = 10_000;
/// In the names of whoever is known by another issuer's token alone: no account's has one.
const OF_ISSUERS: char = ':';

/// Whether a name is that of somebody who has no account, and is known by another issuer's token alone.
pub(in crate::service) fn is_of_issuer(name: &str) -> bool {
    name.contains(OF_ISSUERS)
}

/// What is known of an account that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct ActiveAccount {
    /// Its id; none for whoever has no row.
    pub account: Option<i64>,
    /// Whose limits count what it does.
    pub share: Share,
}

/// What the database said of an account, and when.
#[derive(Debug, Clone)]
struct Answer {
    active_account: Option<ActiveAccount>,
    at: Instant,
}

#[derive(Debug, Default)]
pub(in crate::service) struct AccountCache(Mutex<HashMap<String, Answer>>);

impl AccountCache {
    fn recall(&self, name: &str) -> Option<Answer> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|answer| answer.at.elapsed() < REMEMBERED).cloned()
    }

    fn remember(&self, name: &str, active_account: Option<ActiveAccount>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(name.to_owned(), Answer { active_account, at: Instant::now() });
    }

    /// The share that somebody counts against who has been let in a moment ago.
    pub fn share(&self, name: &str) -> Share {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(name).and_then(|answer| answer.active_account.as_ref());
        known.map_or_else(|| Share::User(name.to_owned()), |active_account| active_account.share.clone())
    }

    /// Accounts have changed here.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Service {
    /// What an account is now; none where it is gone, disabled or has expired.
    pub(in crate::service) async fn active_account(&self, name: &str) -> Result<Option<ActiveAccount>> {
        if let Some(known) = self.account_cache.recall(name) {
            return Ok(known.active_account);
        }
        let own = Share::User(name.to_owned());
        let active_account = if let Ok(robot) = name.parse::<RobotName>() {
            let found = self.db.find_robot_account(&robot).await?;
            let alive = found.filter(|found| !found.is_disabled && self.is_unexpired(found.expires_at));
            alive.map(|found| ActiveAccount {
                account: Some(found.id),
                share: found.owner.map_or(Share::Project(robot.project), Share::User),
            })
        } else if is_of_issuer(name) {
            Some(ActiveAccount { account: None, share: own })
        } else {
            let found = self.db.find_user_account(name).await?;
            found.map(|found| ActiveAccount { account: Some(found.id), share: own })
        };
        self.account_cache.remember(name, active_account.clone());
        Ok(active_account)
    }
}
