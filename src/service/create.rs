//! Begin an upload, or mount a blob that another repository has.

use super::{Presigned, Result, Service, ServiceError, SignRequest};
use crate::db::Link;
use crate::domain::blob::Blob;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Upload, UploadId};
use crate::storage::key;

/// As much of the client's name as is kept with the session.
const MAX_USER_AGENT: usize = 256;

impl Service {
    /// Begins a session. Its row exists before any key of it is signed or written.
    pub async fn begin(
        &self,
        repository: RepositoryName,
        declared_digest: Option<Digest>,
        user_agent: Option<&str>,
    ) -> Result<Upload> {
        let upload = self.fresh(repository, declared_digest, user_agent);
        self.insert(&upload).await?;
        Ok(upload)
    }

    /// Begins a session and signs for it. One PUT costs the database one statement: the session is inserted as
    /// what [`Self::sign`] would make of it.
    pub async fn begin_signed(
        &self,
        repository: RepositoryName,
        request: &SignRequest,
        user_agent: Option<&str>,
    ) -> Result<(UploadId, Presigned)> {
        let upload = self.fresh(repository, None, user_agent);
        let planned = self.plan_first(upload, request)?;
        self.insert(&planned).await?;
        let id = planned.id;
        match self.sign_from(planned.clone(), request).await {
            Ok(presigned) => Ok((id, presigned)),
            Err(error) => {
                self.forsake(planned).await;
                Err(error)
            }
        }
    }

    fn fresh(
        &self,
        repository: RepositoryName,
        declared_digest: Option<Digest>,
        user_agent: Option<&str>,
    ) -> Upload {
        let agent: String = user_agent.unwrap_or_default().chars().take(MAX_USER_AGENT).collect();
        let metadata = serde_json::json!({ "user_agent": agent });
        let expires_at = self.after(self.limits.upload_lifetime);
        Upload::begin(repository, declared_digest, metadata, self.clock.now(), expires_at)
    }

    async fn insert(&self, upload: &Upload) -> Result<()> {
        self.db.insert_upload(upload, &key::temp_prefix(upload.id)).await?;
        tracing::info!(upload = %upload.id, repository = %upload.repository, "upload begun");
        Ok(())
    }

    /// Links a blob of `from` into `to`. None where `from` does not have it: the caller begins an upload.
    pub async fn mount(
        &self,
        to: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<Option<Blob>> {
        let Some(Link { blob, .. }) = self.db.find_link(from, digest).await? else { return Ok(None) };
        if !self.db.link_blob(to, digest, self.clock.now()).await? {
            return Ok(None);
        }
        tracing::info!(repository = %to, %from, %digest, "blob mounted");
        Ok(Some(blob))
    }

    /// Gives up a session whose UUID its client never learned.
    pub async fn forsake(&self, upload: Upload) {
        let id = upload.id;
        match self.abort_from(upload).await {
            Ok(()) | Err(ServiceError::Refused(_)) => {}
            Err(error) => {
                tracing::warn!(upload = %id, %error, "an upload could not be aborted; it will expire");
            }
        }
    }
}
