//! Users: who they are, who runs the service, and the first of them.

use crate::auth::password::Password;
use crate::db::{AccountChange, Inserted};
use crate::domain::access::{Authority, Caller};
use crate::domain::account::{FederatedIdentity, User, UserName};
use crate::domain::audit::{Operation, ResourceType};
use crate::service::accounts::access::user_id;
use crate::service::{Result, Service, ServiceError};

/// What the first user is called, as in every other registry.
const FIRST_USER: &str = "admin";
const UNKNOWN: ServiceError = ServiceError::Unknown("user");

#[derive(Debug)]
pub struct NewUser {
    pub name: UserName,
    /// None for whoever signs in with tokens alone.
    pub password: Option<Password>,
    pub is_admin: bool,
    pub identity: Option<FederatedIdentity>,
}

/// How the first user of a service came to a password.
#[derive(Debug)]
pub enum FirstAdministrator {
    Given,
    /// To be shown once.
    Generated(Password),
}

impl Service {
    /// Makes a user; the id they got.
    pub async fn create_user(&self, user: NewUser) -> Result<i64> {
        let hash = match user.password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        let (name, identity) = (&user.name, user.identity.as_ref());
        let now = self.clock.now();
        match self.db.insert_user(name, hash.as_deref(), user.is_admin, identity, now).await? {
            Inserted::Created(id) => Ok(id),
            Inserted::Exists => {
                let message = "there is a user of this name, or of this OIDC issuer and subject, already";
                Err(ServiceError::Exists(message.to_owned()))
            }
        }
    }

    /// Makes an administrator where there is no user at all. Of replicas that start at once one does, and the others
    /// get nothing.
    pub async fn create_first_administrator(
        &self,
        given: Option<Password>,
    ) -> Result<Option<FirstAdministrator>> {
        let Ok(name) = FIRST_USER.parse() else { return Ok(None) };
        if self.db.has_users().await? {
            return Ok(None);
        }
        let (password, first) = given.map_or_else(
            || {
                let password = Password::generate();
                (password.clone(), FirstAdministrator::Generated(password))
            },
            |given| (given, FirstAdministrator::Given),
        );
        let hash = self.hash_password(password).await?;
        let inserted = self.db.insert_first_user(&name, &hash, self.clock.now()).await?;
        if !matches!(inserted, Inserted::Created(_)) {
            return Ok(None);
        }
        let (create, user) = (Operation::Create, ResourceType::User);
        self.record(&Caller::UNCHECKED, create, user, FIRST_USER, None).await;
        Ok(Some(first))
    }

    /// Users in the order of their names, and how many there are in all.
    pub async fn users(&self, limit: u32, offset: u64) -> Result<(Vec<User>, u64)> {
        Ok(self.db.users(limit, offset).await?)
    }

    pub async fn user(&self, id: i64) -> Result<User> {
        self.db.find_user(id).await?.ok_or(UNKNOWN)
    }

    pub async fn find_user_by_name(&self, name: &UserName) -> Result<Option<User>> {
        Ok(self.db.find_user_by_name(name.as_str()).await?)
    }

    pub(in crate::service) async fn user_by_name(&self, name: &UserName) -> Result<User> {
        self.find_user_by_name(name).await?.ok_or(UNKNOWN)
    }

    /// The user that the caller is.
    pub async fn own_user(&self, caller: &Caller) -> Result<User> {
        self.user(own_id(caller)?).await
    }

    /// With tokens, memberships and open uploads. Nobody deletes themselves: so an administrator stays.
    pub async fn delete_user(&self, caller: &Caller, id: i64) -> Result<()> {
        if user_id(&caller.authority) == Some(id) {
            return Err(ServiceError::Forbidden("nobody deletes themselves; another administrator can"));
        }
        let deleted = self.db.delete_user(id, self.clock.now()).await?;
        self.account_cache.forget();
        changed(deleted)
    }

    /// Lets a user run the service, or no longer. Nobody steps down: so an administrator stays.
    pub async fn set_administrator(&self, caller: &Caller, id: i64, is_admin: bool) -> Result<()> {
        if user_id(&caller.authority) == Some(id) && !is_admin {
            return Err(ServiceError::Forbidden("nobody steps down; another administrator can see to it"));
        }
        changed(self.db.set_administrator(id, is_admin).await?)
    }

    /// Whoever changes their own says the old one, and a guesser waits as at the door.
    pub async fn change_password(
        &self,
        caller: &Caller,
        id: i64,
        old: Option<Password>,
        new: Password,
    ) -> Result<()> {
        if let (Authority::User { id: own, name, .. }, Some(auth)) = (&caller.authority, &self.auth)
            && *own == id
        {
            const WRONG: ServiceError = ServiceError::Forbidden("old_password is not your password");
            let old = old.ok_or(WRONG)?;
            let signed_in = self.sign_in_with_password(auth, name, old.reveal(), caller.address).await;
            signed_in.map_err(|error| match error {
                ServiceError::CredentialsInvalid => WRONG,
                error => error,
            })?;
        }
        let hash = self.hash_password(new).await?;
        if self.db.set_password(id, &hash).await? { Ok(()) } else { Err(UNKNOWN) }
    }
}

fn changed(change: AccountChange) -> Result<()> {
    match change {
        AccountChange::Done => Ok(()),
        AccountChange::Unknown => Err(UNKNOWN),
        AccountChange::LastAdministrator => {
            Err(ServiceError::Forbidden("this is the last administrator; make another one first"))
        }
    }
}

/// Robots, and people known by an OIDC token alone, have no row.
pub(in crate::service) fn own_id(caller: &Caller) -> Result<i64> {
    let message = "this is for users of this service; sign in with a user's password or access token";
    user_id(&caller.authority).ok_or(ServiceError::Forbidden(message))
}
