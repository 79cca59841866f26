//! Uploads a blob that the repository does not have: resumed, mounted, presigned, or in chunks through the server.

use overside_protocol::name::RepositoryName;
use overside_protocol::upload::{Status, TransferMode, UploadId};
use overside_protocol::wire::{FinalizeBody, PresignedUpload};

use super::blob::Blob;
use super::chunked::ChunkedUpload;
use super::concurrency::ConcurrencyLimit;
use super::saved_uploads::{ResumePoint, SavedUploads, UploadFile};
use super::session::{PresignTerms, Session};
use crate::progress::{Event, Outcome, Progress, Stage};
use crate::transport::retry::{Failure, Remedy};
use crate::{Error, Repository, Result};

/// The settings that all blobs of one upload share.
#[derive(Debug, Clone, Default)]
pub(crate) struct PutOptions {
    pub limit: ConcurrencyLimit,
    pub mode: Option<TransferMode>,
    pub resume: Option<UploadId>,
    pub saved: Option<SavedUploads>,
    pub mount_from: Option<RepositoryName>,
}

/// The upload of one blob.
pub(super) struct BlobUpload<'a> {
    pub repository: &'a Repository,
    pub blob: &'a Blob,
    pub options: &'a PutOptions,
    pub saved: Option<&'a UploadFile>,
    pub progress: &'a Progress,
}

/// Where the bytes came from, and how they went to the store.
type Done = (Outcome, Option<TransferMode>);

impl BlobUpload<'_> {
    pub async fn run(&self) -> Result<Done> {
        if let Some(done) = self.resume().await? {
            return Ok(done);
        }
        let (repository, digest) = (self.repository, &self.blob.digest);
        let presigns = repository.registry.presigns();
        let terms = presigns.then(|| PresignTerms::whole(self.blob.size(), *digest, self.options.mode));
        let mount = self.options.mount_from.as_ref().filter(|from| **from != repository.name);
        let post = |mount| repository.begin_upload(terms.as_ref(), mount);
        let answered = match mount {
            Some(from) => match post(Some((digest, from))).await {
                Err(error) => {
                    repository.registry.retry(self.progress).after(Failure::of_mount(error)).await?;
                    post(None).await?
                }
                answered => answered?,
            },
            None => post(None).await?,
        };
        let Some((url, answer)) = answered else { return Ok((Outcome::Mounted, None)) };
        if terms.is_none() {
            return self.through_server(ChunkedUpload::begun(repository, &url, &answer)?).await;
        }
        // The name, not the Location: behind a proxy that adds a path only our own base leads back.
        let id = answer.parsed("docker-upload-uuid");
        let id = id.ok_or_else(|| answer.unexpected("no Docker-Upload-UUID"))?;
        let session = repository.session(id);
        if let Some(file) = self.saved {
            file.write(&ResumePoint::Session(session.id())).await?;
        }
        self.progress.report(Event::Session(session.id()));
        // Nothing is signed yet by a server that signs by `GET` alone.
        let sent = Box::pin(self.send(&session, answer.json().ok(), self.options.mode)).await;
        self.clean_up(&session, sent).await
    }

    /// Resumes an upload that was begun before; none if there is none, or nothing is left of it.
    async fn resume(&self) -> Result<Option<Done>> {
        let (id, is_explicit) = match (self.options.resume, self.saved.and_then(UploadFile::read)) {
            (Some(id), _) => (id, true),
            (None, Some(ResumePoint::Session(id))) => (id, false),
            (None, Some(ResumePoint::Location(location))) => {
                let upload = ChunkedUpload::resume(self.repository, location).await?;
                return match upload {
                    Some(upload) => self.through_server(upload).await.map(Some),
                    None => {
                        self.begin_anew(Error::UploadLost { peer: self.repository.registry.peer() }).await
                    }
                };
            }
            (None, None) => return Ok(None),
        };
        let session = self.repository.session(id);
        let error = match self.resume_session(&session).await {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let is_over = match &error {
            // Only now: the store kept other bytes than an earlier run sent, such as of a part that was cut.
            error if is_digest_invalid(error) => {
                session.state().await.is_ok_and(|state| state.status == Status::Failed)
            }
            // It has ended without us.
            Error::UploadUnknown(_)
            | Error::UploadExpired(_)
            | Error::UploadEnded { .. }
            | Error::UploadProxied(_) => !is_explicit,
            _ => false,
        };
        if is_over { self.begin_anew(error).await } else { Err(error) }
    }

    /// Reports why an upload is not resumed but begun anew.
    async fn begin_anew<T>(&self, error: Error) -> Result<Option<T>> {
        self.repository.registry.retry(self.progress).after(Failure::new(error, Remedy::WholePut)).await?;
        Ok(None)
    }

    async fn through_server<'a>(&'a self, mut upload: ChunkedUpload<'a>) -> Result<Done> {
        upload.save_in(self.saved).await?;
        self.progress.started(Stage::Uploading, self.blob.size(), upload.offset());
        let (content, digest) = (&self.blob.content, &self.blob.digest);
        // On the heap, as the presigned way is: what a put is made of would fill a stack.
        Box::pin(upload.send_whole(content, digest, &self.options.limit, self.progress)).await?;
        Ok((Outcome::ThroughServer, None))
    }

    /// Resumes a session from the state that it is in.
    async fn resume_session(&self, session: &Session) -> Result<Done> {
        let state = session.state().await?;
        self.progress.report(Event::Session(session.id()));
        match (state.status, state.mode) {
            (Status::Completed | Status::Finalizing, mode) => {
                self.progress.started(Stage::Finalizing, self.blob.size(), 0);
                session.finalize(self.blob.digest, None, self.progress).await?;
                Ok((Outcome::Direct, mode))
            }
            (Status::Pending | Status::Uploading, Some(TransferMode::Proxied)) => {
                Err(Error::UploadProxied(session.id()))
            }
            (Status::Pending | Status::Uploading, mode) => {
                let sent = Box::pin(self.send(session, None, mode.or(self.options.mode))).await;
                self.clean_up(session, sent).await
            }
            (Status::Failed | Status::Aborted | Status::Expired, _) => Err(session.ended(state)),
        }
    }

    async fn clean_up(&self, session: &Session, sent: Result<TransferMode>) -> Result<Done> {
        if matches!(sent, Err(Error::FileChanged(_))) {
            // This session was declared with bytes that are no more; nobody can resume it.
            if let Err(error) = session.abort().await {
                tracing::debug!(%error, upload = %session.id(), "left to expire");
            }
            if let Some(saved) = self.saved {
                saved.remove();
            }
        }
        sent.map(|mode| (Outcome::Direct, Some(mode)))
    }

    /// Sends, by what was `signed` when the session was begun, and finalizes; once more if the server then finds
    /// something missing.
    async fn send(
        &self,
        session: &Session,
        signed: Option<PresignedUpload>,
        mode: Option<TransferMode>,
    ) -> Result<TransferMode> {
        let Blob { content, digest, midstates } = self.blob;
        let (limit, progress) = (&self.options.limit, self.progress);
        let terms = PresignTerms::whole(content.size(), *digest, mode);
        let sent = session.upload(content, &terms, signed, limit, progress).await?;
        content.check_unchanged().await?;
        progress.started(Stage::Finalizing, content.size(), 0);
        let body = FinalizeBody {
            parts: sent.parts.unwrap_or_default(),
            sha256_midstates: sent.plan.map(|plan| midstates.between(&plan)).unwrap_or_default(),
        };
        let body = (body != FinalizeBody::default()).then_some(&body);
        match session.finalize(*digest, body, progress).await {
            Err(error) if is_incomplete(&error) => {
                self.repository
                    .registry
                    .retry(progress)
                    .after(Failure::new(error, Remedy::AskOffset))
                    .await?;
                session.upload(content, &terms, None, limit, progress).await?;
                content.check_unchanged().await?;
                progress.started(Stage::Finalizing, content.size(), 0);
                session.finalize(*digest, None, progress).await?;
            }
            finalized => finalized?,
        }
        Ok(sent.mode)
    }
}

/// Whether the server found other bytes than the digest says.
fn is_digest_invalid(error: &Error) -> bool {
    let code = match error {
        Error::Refused(refusal) => Some(refusal.code.as_str()),
        Error::UploadEnded { failure, .. } => failure.as_ref().map(|failure| failure.code.as_str()),
        _ => None,
    };
    code == Some("DIGEST_INVALID")
}

/// Whether finalizing failed for want of bytes, and the session still takes them.
fn is_incomplete(error: &Error) -> bool {
    match error {
        Error::Incomplete(_) => true,
        Error::Refused(refusal) => refusal.code == "BLOB_UPLOAD_INVALID",
        _ => false,
    }
}
