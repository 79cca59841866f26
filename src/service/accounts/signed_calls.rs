//! URLs of ours that permit one request by themselves, for clients that show no credentials where they go on.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::domain::access::{Action, Actions, Authority, Caller, TokenGrants};
use crate::domain::name::RepositoryName;
use crate::service::{Result, Service, ServiceError};
use crate::storage::signed_call::CallGrant;

impl Service {
    /// The URL of a path here that carries `grant` out.
    ///
    /// # Errors
    /// [`ServiceError::UploadUnknown`] where this process signs no URLs.
    pub fn sign_call(&self, path: &str, grant: &CallGrant) -> Result<String> {
        let signer = self.storage.own_urls().ok_or(ServiceError::UploadUnknown)?;
        Ok(signer.sign_call(path, grant))
    }

    /// When a URL that is signed now ends.
    #[must_use]
    pub fn url_end(&self) -> DateTime<Utc> {
        self.after(self.settings().url_lifetime())
    }

    /// Whoever the call was signed for, with the right to what it is for and to nothing else. A URL may live as long as an
    /// upload: its holder may have lost the right meanwhile.
    ///
    /// # Errors
    /// [`ServiceError::Signature`] where nobody signed it, or its time is up; [`ServiceError::Denied`] where whom it was
    /// signed for may not do this any more.
    pub async fn caller_of_call(
        &self,
        grant: &CallGrant,
        signature: &str,
        (repository, action): (&RepositoryName, Action),
        address: Option<IpAddr>,
    ) -> Result<Caller> {
        let signer = self.storage.own_urls().ok_or(ServiceError::UploadUnknown)?;
        signer.verify_call(grant, signature, self.clock.now())?;
        if self.auth.is_none() {
            return Ok(Caller { authority: Authority::Unchecked, address });
        }
        if !self.may_still(grant.user.as_deref(), repository, action).await? {
            return Err(ServiceError::Denied);
        }
        let grants = TokenGrants {
            name: grant.user.clone(),
            account: None,
            repositories: vec![(repository.clone(), Actions::NONE.with(action))],
            catalog: false,
        };
        Ok(Caller { authority: Authority::Token(grants), address })
    }
}
