//! Sign in with a key: whoever asks has signed the request itself, once and just now.

use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::user;
use crate::auth::signed_url::UrlSignature;
use crate::domain::access::Authority;
use crate::service::{Result, Service, ServiceError};

/// How far the client's clock may be from the database's.
const MOST_APART: Duration = Duration::from_mins(5);
/// How much longer a nonce is kept than its request would be taken: replicas' clocks are not quite one.
const CLOCKS_APART: Duration = Duration::from_mins(1);
const UNKNOWN: &str =
    "the key is not known here, or has not signed this request; register it: overside user key add";
const UNTIMELY: &str =
    "the request was signed more than 5 minutes from now by this service's time; set the clock";
const USED: &str = "the request was sent before; sign another, with a nonce of its own";
const ELSEWHERE: &str =
    "signing in with a key needs a service that knows its own URL; have it started with --public-url";

/// A request as it came in, and what it says about itself.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    pub signature: UrlSignature,
    /// What must have been signed: the whole URL, as this service is known. None where it does not know that, but for what
    /// the request says: whatever another service was asked for could be sent on to here.
    pub url: Option<String>,
    /// Seconds since the epoch.
    pub signed_at: i64,
    /// What no other request has.
    pub nonce: String,
}

impl Service {
    /// Looks at the signature before at the key: the work is the same whoever has that, or nobody.
    pub(super) async fn sign_in_with_key(
        &self,
        request: &SignedRequest,
        address: Option<IpAddr>,
    ) -> Result<Authority> {
        let Some(url) = &request.url else { return Err(ServiceError::KeyRefused(ELSEWHERE)) };
        let (key, now) = (&request.signature.key, self.clock.now());
        let is_genuine = request.signature.is_of_get(url);
        let found = self.db.find_key_account(key).await?;
        let (reason, refused) = match found {
            Some(found) if is_genuine => {
                let is_timely = now.timestamp().abs_diff(request.signed_at) <= MOST_APART.as_secs();
                let nonce = Sha256::digest(request.nonce.as_bytes()).into();
                if is_timely && self.db.use_nonce(found.key_id, nonce, now).await? {
                    return Ok(user(found.user));
                }
                let reason = if is_timely { USED } else { UNTIMELY };
                (reason, self.refuse_secret(&found.user.name, true, address).await)
            }
            // Whoever has not signed is not to fill somebody else's log.
            _ => (UNKNOWN, self.refuse_secret(&key.fingerprint(), false, address).await),
        };
        Err(match refused {
            ServiceError::CredentialsInvalid => ServiceError::KeyRefused(reason),
            error => error,
        })
    }

    /// Forgets what would be refused for its age by now.
    pub(in crate::service) async fn forget_nonces(&self) -> Result<()> {
        Ok(self.db.forget_nonces(self.clock.now() - MOST_APART * 2 - CLOCKS_APART).await?)
    }
}
