//! Passwords, hashed and compared where nobody else waits for it.

use crate::auth::password::{self, Password};
use crate::service::{Result, Service, ServiceError};

/// Passwords hashed at once: each takes 19 MiB and a core for tens of milliseconds.
pub(in crate::service) const HASHES_AT_ONCE: usize = 2;

impl Service {
    /// Of a new password.
    pub(in crate::service) async fn hash_password(&self, password: Password) -> Result<String> {
        let _turn = self.hashing.acquire().await.map_err(|_| ServiceError::Stopping)?;
        Ok(tokio::task::spawn_blocking(move || password::hash_new(password.reveal())).await??)
    }

    /// Takes as long where there is nothing stored.
    pub(in crate::service) async fn verify_password(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<bool> {
        let _turn = self.hashing.acquire().await.map_err(|_| ServiceError::Stopping)?;
        let verify = move || password::verify(password.reveal(), stored.as_deref());
        Ok(tokio::task::spawn_blocking(verify).await?)
    }
}
