//! Begin an upload.

use std::sync::Arc;

use super::sign::{Presigned, SignRequest};
use crate::db::{DbError, NewSession};
use crate::domain::access::Caller;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::domain::upload::{BatchDoor, Upload, UploadId};
use crate::service::{Result, Service, ServiceError};
use crate::storage::key;

/// As much of the client's name as is kept with the session.
const MAX_USER_AGENT: usize = 256;

impl Service {
    /// Begins a session. Its row exists before any key of it is signed or written. `algorithm` is what bytes that
    /// come through this server are hashed with; `length` of them, where it is known, have room from here on.
    pub async fn begin(
        self: &Arc<Self>,
        caller: &Caller,
        repository: RepositoryName,
        declared_digest: Option<Digest>,
        algorithm: Algorithm,
        length: Option<u64>,
        user_agent: Option<&str>,
    ) -> Result<Upload> {
        let upload = self.fresh(caller, repository, declared_digest, algorithm, user_agent);
        let upload = Upload { reserved: length.unwrap_or_default(), ..upload };
        self.within_open_sessions(caller, self.insert(&upload)).await?;
        Ok(upload)
    }

    /// Begins a session and signs for it. One PUT costs the database one statement: the session is inserted as
    /// what [`Self::sign`] would make of it.
    pub async fn begin_signed(
        self: &Arc<Self>,
        caller: &Caller,
        repository: RepositoryName,
        request: &SignRequest,
        algorithm: Algorithm,
        user_agent: Option<&str>,
    ) -> Result<(UploadId, Presigned)> {
        let upload = self.fresh(caller, repository, None, algorithm, user_agent);
        let planned = self.plan_first(upload, request)?;
        if request.size.is_none() {
            self.check_unsized(&planned).await?;
        }
        let planned = Upload { reserved: request.size.unwrap_or_default(), ..planned };
        self.within_open_sessions(caller, self.insert(&planned)).await?;
        let id = planned.id;
        match self.sign_from(planned.clone(), request).await {
            Ok(presigned) => Ok((id, presigned)),
            Err(error) => {
                self.abandon(planned).await;
                Err(error)
            }
        }
    }

    pub(super) fn fresh(
        &self,
        caller: &Caller,
        repository: RepositoryName,
        declared_digest: Option<Digest>,
        algorithm: Algorithm,
        user_agent: Option<&str>,
    ) -> Upload {
        let agent: String = user_agent.unwrap_or_default().chars().take(MAX_USER_AGENT).collect();
        let metadata = serde_json::json!({ "user_agent": agent });
        let expires_at = self.after(self.settings().upload_lifetime());
        let upload = Upload::begin(repository, declared_digest, metadata, self.clock.now(), expires_at);
        Upload { algorithm, user_id: caller.name().map(str::to_owned), ..upload }
    }

    pub(super) fn new_session(upload: Upload, door: Option<BatchDoor>) -> NewSession {
        let temp_path = key::temp_prefix(upload.id);
        NewSession { upload, temp_path, door }
    }

    /// Inserts a session, by one statement with those that others begin at this moment.
    pub(super) async fn insert(self: &Arc<Self>, upload: &Upload) -> Result<()> {
        self.db.check_room(upload).await?;
        let session = Self::new_session(upload.clone(), None);
        let is_inserted = match self.insert_together(session.clone()).await {
            Some(answer) => answer?,
            None => self.db.insert_unlimited(std::slice::from_ref(&session)).await? == [true],
        };
        if !is_inserted {
            let begun = self.db.insert_within_limit(&[session]).await?;
            begun.into_iter().collect::<std::result::Result<(), _>>().map_err(DbError::QuotaExceeded)?;
        }
        tracing::info!(upload = %upload.id, repository = %upload.repository, "upload begun");
        Ok(())
    }

    /// Gives up a session whose UUID its client never learned.
    pub async fn abandon(&self, upload: Upload) {
        let id = upload.id;
        match self.abort_from(upload).await {
            Ok(()) | Err(ServiceError::Refused(_)) => {}
            Err(error) => {
                tracing::warn!(upload = %id, %error, "an upload could not be aborted; it will expire");
            }
        }
    }
}
