//! Personal access tokens, and how long what is made here lives.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::auth::secret::PersonalToken;
use crate::domain::access::MAX_ACCOUNT_NAME_LENGTH;
use crate::domain::account::AccessToken;
use crate::service::{Result, Service, ServiceError};

/// Longest life that is told in days: a century.
const MAX_DAYS: i64 = 36_500;

impl Service {
    /// Makes a token for a user; its secret is in what is given here and nowhere else.
    pub async fn create_access_token(
        &self,
        user: i64,
        name: &str,
        days: i64,
    ) -> Result<(AccessToken, PersonalToken)> {
        let fits = !name.is_empty() && name.len() <= MAX_ACCOUNT_NAME_LENGTH;
        if !fits || name.chars().any(char::is_control) {
            let message = format!("a token's name has 1 to {MAX_ACCOUNT_NAME_LENGTH} bytes on one line");
            return Err(ServiceError::Invalid(message));
        }
        let token = PersonalToken::generate();
        let row = AccessToken {
            id: token.id,
            name: name.to_owned(),
            created_at: self.clock.now(),
            expires_at: self.expiry(days)?,
        };
        if self.db.insert_access_token(user, &row, &token.secret.hash()).await? {
            Ok((row, token))
        } else {
            Err(ServiceError::Exists(format!("there is a token named {name} already; revoke it first")))
        }
    }

    /// A user's tokens in the order of their names, and how many there are in all.
    pub async fn access_tokens(&self, user: i64, limit: u32, offset: u64) -> Result<(Vec<AccessToken>, u64)> {
        Ok(self.db.access_tokens(user, limit, offset).await?)
    }

    pub async fn revoke_access_token(&self, user: i64, id: Uuid) -> Result<()> {
        let revoked = self.db.delete_access_token(user, id).await?;
        if revoked { Ok(()) } else { Err(ServiceError::Unknown("access token")) }
    }

    /// After so many days; -1 for never.
    pub(in crate::service) fn expiry(&self, days: i64) -> Result<Option<DateTime<Utc>>> {
        match days {
            -1 => Ok(None),
            1..=MAX_DAYS => Ok(Some(self.clock.now() + TimeDelta::days(days))),
            _ => {
                let message = format!("a life is 1 to {MAX_DAYS} days, or -1 for one without end");
                Err(ServiceError::Invalid(message))
            }
        }
    }
}
