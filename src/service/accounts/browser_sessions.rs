//! Sessions of browsers: signing in with a password once, by an id that a cookie carries from then on.

use std::net::IpAddr;

use chrono::TimeDelta;

use crate::auth::secret::Secret;
use crate::domain::access::{Authority, Caller};
use crate::domain::account::UserName;
use crate::domain::secret::SecretHash;
use crate::service::accounts::identity::user;
use crate::service::{Result, Service, ServiceError};

/// Without a request a session ends after this: half a working day. A page that uploads asks in between.
const IDLE: TimeDelta = TimeDelta::hours(4);
/// The longest that a session lasts, however much it is used.
const LONGEST_SESSION: TimeDelta = TimeDelta::days(7);
/// A session's end is moved once in this time: not by a statement for every request.
const RENEWAL_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// Sessions of one user at once. Another one ends the oldest, so that nobody fills the table.
const MOST_SESSIONS: u32 = 20;
/// Of an id, in characters: 256 bits in base64url.
const ID_LENGTH: usize = 43;

impl Service {
    /// Signs a user in with a password. The session's id is new, and shown once.
    ///
    /// # Errors
    /// [`ServiceError::CredentialsInvalid`], and [`ServiceError::TooManyRequests`] after too many of those.
    pub async fn begin_browser_session(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<(Caller, Secret)> {
        let auth = self.auth.as_ref().ok_or(ServiceError::Unauthenticated)?;
        // Read before the password is proven: where it is changed meanwhile, no session begins.
        let stored = match name.parse::<UserName>() {
            Ok(name) => self.db.find_user_account(name.as_str()).await?.and_then(|found| found.password_hash),
            Err(_) => None,
        };
        let authority = self.sign_in_with_password(auth, name, password, address).await?;
        let (Authority::User { id: user, .. }, Some(stored)) = (&authority, stored) else {
            return Err(ServiceError::CredentialsInvalid);
        };
        let (id, now) = (Secret::generate(), self.clock.now());
        let ends = (now + IDLE, now + LONGEST_SESSION);
        let begun = self.db.insert_browser_session(&id.hash(), *user, &stored, ends, MOST_SESSIONS).await?;
        if begun { Ok((Caller { authority, address }, id)) } else { Err(ServiceError::CredentialsInvalid) }
    }

    /// Ends a session. One that is unknown has ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_browser_session(&self, id: &str) -> Result<()> {
        if !is_id(id) {
            return Ok(());
        }
        Ok(self.db.end_browser_session(&SecretHash::of(id)).await?)
    }

    /// Whoever has an id that is unknown, or has ended, is nobody in particular: what is public is still shown.
    pub(super) async fn sign_in_with_session(&self, id: &str) -> Result<Authority> {
        if !is_id(id) {
            return Ok(Authority::Anonymous);
        }
        let (hash, now) = (SecretHash::of(id), self.clock.now());
        let Some(session) = self.db.find_browser_session(&hash, now).await? else {
            return Ok(Authority::Anonymous);
        };
        let expires_at = (now + IDLE).min(session.ends_at);
        if expires_at > session.expires_at + RENEWAL_PAUSE {
            self.db.renew_browser_session(&hash, expires_at).await?;
        }
        Ok(user(session.user))
    }

    pub(in crate::service) async fn forget_browser_sessions(&self) -> Result<()> {
        Ok(self.db.forget_browser_sessions(self.clock.now()).await?)
    }
}

/// Whether it looks like one that was made here. The database is asked for no other.
fn is_id(id: &str) -> bool {
    id.len() == ID_LENGTH
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
