//! The sessions of a batch: those that it has already are prolonged, and the others begun.

use std::sync::Arc;

use super::{BatchOrigin, BatchWay, WantedBlob};
use crate::db::NewSession;
use crate::domain::access::Caller;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::name::RepositoryName;
use crate::domain::upload::Upload;
use crate::service::{Result, Service, ServiceError};

impl Service {
    /// A session outlives the URLs that are signed for it. Written where it makes a difference, not with every batch.
    pub(super) async fn prolong_batch(&self, uploads: &mut [Upload]) -> Result<()> {
        let (now, end) = (self.clock.now(), self.expiry_when_signed());
        let earliest = self.url_end().max(now + (end - now) / 2);
        let mut due = Vec::new();
        for upload in uploads.iter_mut().filter(|upload| upload.expires_at < earliest) {
            upload.expires_at = end;
            due.push(upload.id);
        }
        Ok(self.db.prolong_uploads(&due, end, now).await?)
    }

    /// Begins as many as the caller may have open and the project has room for; says of the others why not.
    pub(super) async fn begin_missing(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        missing: &[WantedBlob],
        way: BatchWay,
        origin: BatchOrigin<'_>,
    ) -> Result<(Vec<Upload>, Vec<(Digest, ServiceError)>)> {
        if missing.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut sessions = Vec::with_capacity(missing.len());
        for blob in missing {
            let upload = self.session_of(caller, repository, blob, way, origin.user_agent)?;
            sessions.push(Self::new_session(upload, Some(origin.door)));
        }
        let insert = |allowed: usize| async move {
            let beyond = sessions.split_off(allowed.min(sessions.len()));
            let begun = self.db.insert_uploads(&sessions).await?;
            Ok((sessions, begun, beyond))
        };
        let begun = self.within_open_sessions_of_many(caller, missing.len(), insert).await?;
        let (sessions, begun, beyond) = begun;
        let (mut uploads, mut refused) = (Vec::with_capacity(sessions.len()), Vec::new());
        for (NewSession { upload, .. }, begun) in sessions.into_iter().zip(begun) {
            match (begun, upload.declared_digest) {
                (Err(exceeded), Some(digest)) => {
                    refused.push((digest, ServiceError::QuotaExceeded(exceeded)));
                }
                (Err(_), None) => {}
                (Ok(()), _) => uploads.push(upload),
            }
        }
        tracing::info!(%repository, uploads = uploads.len(), "uploads of a batch begun");
        let too_many = |session: NewSession| {
            session.upload.declared_digest.map(|digest| (digest, Self::too_many_sessions()))
        };
        refused.extend(beyond.into_iter().filter_map(too_many));
        Ok((uploads, refused))
    }

    /// What a session that does not exist yet is inserted as: waiting for one PUT, about to be given a multipart upload,
    /// or for its client to say which. Its size is known to the row in any case.
    fn session_of(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        blob: &WantedBlob,
        way: BatchWay,
        user_agent: Option<&str>,
    ) -> Result<Upload> {
        let now = self.clock.now();
        let fresh = self.fresh(caller, repository.clone(), Some(blob.digest), Algorithm::Sha256, user_agent);
        let upload = match way {
            BatchWay::Put => fresh.into_put(Some(blob.size), Some(blob.digest), now)?,
            BatchWay::Parts => Upload { size: Some(blob.size), ..fresh.ask_store(now)? },
            BatchWay::Session => Upload { size: Some(blob.size), ..fresh },
        };
        Ok(Upload { reserved: blob.size, ..upload.touch(self.expiry_when_signed()) })
    }
}
