//! Public keys that users sign in with.

use crate::db::Inserted;
use crate::domain::ssh_key::{InvalidSshKey, SshKeyLine, UserKey};
use crate::service::{Result, Service, ServiceError};

impl Service {
    /// Lets a user sign in with a key, the line of its `.pub` file. A key is one user's.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what is no such line, [`ServiceError::Exists`] where somebody has the key.
    pub async fn add_user_key(&self, user: i64, line: &str) -> Result<UserKey> {
        let invalid = |error: InvalidSshKey| ServiceError::Invalid(error.to_string());
        let line: SshKeyLine = line.parse().map_err(invalid)?;
        let now = self.clock.now();
        match self.db.insert_user_key(user, &line, now).await? {
            Inserted::Created(id) => {
                Ok(UserKey { id, key: line.key, comment: line.comment, created_at: now })
            }
            Inserted::Exists => Err(ServiceError::Exists(format!(
                "somebody signs in with the key {} already; remove it there first",
                line.key.fingerprint()
            ))),
        }
    }

    /// A user's keys, the oldest first, and how many there are in all.
    ///
    /// # Errors
    /// The database's.
    pub async fn user_keys(&self, user: i64, limit: u32, offset: u64) -> Result<(Vec<UserKey>, u64)> {
        Ok(self.db.user_keys(user, limit, offset).await?)
    }

    /// Takes a key away: nobody signs in with it any more.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`] where the user has no such key.
    pub async fn remove_user_key(&self, user: i64, id: i64) -> Result<()> {
        let removed = self.db.delete_user_key(user, id).await?;
        if removed { Ok(()) } else { Err(ServiceError::Unknown("key")) }
    }
}
