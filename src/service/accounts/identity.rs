//! Who a request comes from: what it signs in with becomes a [`Caller`].

mod active_account;
mod auth;
mod key;
mod patience;

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::auth::oidc::OidcError;
use crate::auth::password::Password;
use crate::auth::secret::PersonalToken;
use crate::auth::token::key_id;
use crate::db::UserAccount;
use crate::domain::access::{Action, Actions, Authority, Caller, TokenGrants};
use crate::domain::account::{RobotName, UserName};
use crate::domain::name::RepositoryName;
use crate::domain::secret::SecretHash;
use crate::log_text::chain;
use crate::service::{Requirement, Result, Service, ServiceError};
use crate::telemetry::line_of_many;
use patience::{Kind, Subjects};

pub(in crate::service) use active_account::{AccountCache, is_of_issuer};
pub use auth::Auth;
pub use key::SignedRequest;

/// Stands in the audit log for every name that nobody has.
const NOBODY: &str = "?";

/// What a request signs in with.
#[derive(Clone)]
pub enum Credentials {
    None,
    Basic {
        name: String,
        secret: String,
    },
    Bearer(String),
    /// A request that a key has signed.
    Key(SignedRequest),
    /// The id of a browser's session.
    Session(String),
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
            Credentials::Key(request) => self.sign_in_with_key(&request, address).await?,
            Credentials::Session(id) => self.sign_in_with_session(&id).await?,
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

    /// A token that lets a user or a robot do this in a repository, for whoever knows who they are. With it the seconds it
    /// lives.
    ///
    /// # Errors
    /// [`ServiceError::NotPermitted`] where they may not.
    pub async fn token_of(
        &self,
        name: &str,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<(String, u64)> {
        let caller = Caller { authority: self.account_named(name).await?, address: None };
        let requirement = Requirement::Repository(repository.clone(), action);
        self.authorize(&caller, &requirement).await?;
        let actions = Actions::NONE.with(Action::Pull).with(action);
        let repositories = vec![(repository.clone(), actions)];
        let asked = TokenGrants { name: None, account: None, repositories, catalog: false };
        self.issue_token(&self.grants(&caller, asked).await?).await
    }

    async fn bearer(&self, auth: &Auth, token: &str) -> Result<Authority> {
        if auth.oidc.is_of_issuer(token) {
            return self.sign_in_as_bearer(auth, token).await;
        }
        let now = self.clock.now();
        let Ok(key_id) = key_id(token) else { return Err(ServiceError::CredentialsInvalid) };
        let keys = auth.verifying_keys(&self.db, &key_id, now).await?;
        let grants = auth.issuer.verify(&keys, token).map_err(|_| ServiceError::CredentialsInvalid)?;
        // Whom it was issued to may be gone, and somebody else have the name.
        if let Some(name) = &grants.name {
            let active_account = self.active_account(name).await?.ok_or(ServiceError::CredentialsInvalid)?;
            if grants.account.is_some() && grants.account != active_account.account {
                return Err(ServiceError::CredentialsInvalid);
            }
        }
        Ok(Authority::Token(grants))
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
        // Clients that know names and passwords alone carry it as one, under whatever name.
        if auth.oidc.is_of_issuer(secret) {
            return self.sign_in_as_bearer(auth, secret).await;
        }
        self.sign_in_with_password(auth, name, secret, address).await
    }

    /// As the user whose token it is, or as whatever its claims say.
    async fn sign_in_as_bearer(&self, auth: &Auth, token: &str) -> Result<Authority> {
        let bearer = match auth.oidc.verify(token).await {
            Ok(bearer) => bearer,
            // Who asked the issuer in vain has written it down.
            Err(OidcError::Unreachable { .. }) => {
                return Err(ServiceError::Busy("the token's issuer does not answer".to_owned()));
            }
            Err(error) => {
                if let Some(others) = line_of_many("token refused") {
                    tracing::info!(error = %chain(&error), others, "a token of another issuer was refused");
                }
                return Err(ServiceError::CredentialsInvalid);
            }
        };
        let linked = self.db.find_federated_user(&bearer.issuer, &bearer.subject).await?;
        Ok(linked
            .map_or_else(|| Authority::Federated { name: bearer.name(), roles: bearer.roles.clone() }, user))
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
            Some(found) if fits => {
                let name = robot.to_string();
                // Whose limits it counts against.
                self.active_account(&name).await?;
                Ok(Authority::Robot { name, project: robot.project, actions: found.actions })
            }
            _ => Err(self.refuse_secret(&robot.to_string(), is_known, address).await),
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
            Some(found) => Err(self.refuse_secret(&found.user.name, true, address).await),
            None => Err(self.refuse_secret(&token.id.to_string(), false, address).await),
        }
    }

    /// What is answered to a wrong secret, or one that has expired: it is counted, and beyond what is free it is not
    /// written down any more. A right one is taken whatever has been counted: there is nothing to guess.
    async fn refuse_secret(&self, name: &str, is_known: bool, address: Option<IpAddr>) -> ServiceError {
        match self.count_attempt(&Subjects::new(Kind::Secret, name, address)).await {
            Ok(()) if is_known => self.record_failed_sign_in(name, address),
            Ok(()) => {}
            Err(error) => return error,
        }
        ServiceError::CredentialsInvalid
    }

    /// Takes as long, is counted and is answered alike for a name that nobody has.
    pub(in crate::service) async fn sign_in_with_password(
        &self,
        auth: &Auth,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<Authority> {
        // What is no name cannot be asked for: PostgreSQL takes no text with a NUL.
        let found = match name.parse::<UserName>() {
            Ok(name) => self.db.find_user_account(name.as_str()).await?,
            Err(_) => None,
        };
        let stored = found.as_ref().and_then(|found| found.password_hash.clone());
        let cached = stored.as_ref().map(|stored| auth.cache_key(password, stored, address));
        let is_known = || cached.as_ref().is_some_and(|key| auth.is_known(key));
        let subjects = Subjects::new(Kind::Password, name, address);
        if let Some(account) = found.as_ref().filter(|_| is_known()) {
            if auth.take_failure(name, address) {
                self.forget_failures(&subjects).await?;
            }
            return Ok(user(account.clone()));
        }
        // A client that sends the right one many times at once makes one attempt here: the others find it known.
        let _turn = auth.turn(name, address).await;
        if let Some(account) = found.as_ref().filter(|_| is_known()) {
            return Ok(user(account.clone()));
        }
        // Nor is the same wrong one again another guess: clients send what they keep with every request of a push, and
        // whoever then types the right one is not to be kept waiting for that.
        let wrong = auth.wrong_key(name, password, stored.as_deref(), address);
        if auth.is_known_to_be_wrong(&wrong) {
            return Err(ServiceError::CredentialsInvalid);
        }
        self.count_attempt(&subjects).await?;
        let fits = self.verify_password(Password::new(password.to_owned()), stored).await?;
        match (found, cached) {
            (Some(account), Some(key)) if fits => {
                auth.remember(key);
                self.give_attempt_back(&subjects).await?;
                Ok(user(account))
            }
            (found, _) => {
                auth.remember_failure(wrong, name, address);
                let who = found.as_ref().map_or(NOBODY, |found| &found.name);
                self.record_failed_sign_in(who, address);
                Err(ServiceError::CredentialsInvalid)
            }
        }
    }

    pub(in crate::service) fn is_unexpired(&self, expires_at: Option<DateTime<Utc>>) -> bool {
        expires_at.is_none_or(|expires_at| self.clock.now() < expires_at)
    }
}

pub(in crate::service) fn user(account: UserAccount) -> Authority {
    Authority::User { id: account.id, name: account.name, is_admin: account.is_admin }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Basic { .. } => "basic",
            Self::Bearer(_) => "bearer",
            Self::Key(_) => "key",
            Self::Session(_) => "session",
        })
    }
}
