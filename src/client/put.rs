//! A file into a repository, from its hash to the published blob.

use std::path::Path;

use super::progress::{Event, Progress, Stage};
use super::session::PresignTerms;
use super::source::FileSource;
use super::transfer::{DEFAULT_JOBS, TransferOptions};
use super::{Client, Error, Result, Session};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Status, TransferMode, UploadId};
use crate::http::wire::PresignedUpload;

/// How a file is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOptions {
    /// Parts in flight at a time, at least one.
    pub jobs: usize,
    /// The server decides by the size if this is not given.
    pub mode: Option<TransferMode>,
    /// An upload to go on with, begun here or on another machine.
    pub resume: Option<UploadId>,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self { jobs: DEFAULT_JOBS, mode: None, resume: None }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOutcome {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The repository had the blob, and nothing was sent.
    pub existed: bool,
    /// How the bytes went; `None` where none did.
    pub mode: Option<TransferMode>,
}

impl Client {
    /// Uploads a file: hashes it, asks whether it is there, sends what is missing and has it published.
    ///
    /// After a failure the upload stays on the server and can be resumed by the id in [`Event::Session`].
    pub async fn put_file(
        &self,
        repository: &RepositoryName,
        path: &Path,
        options: &PutOptions,
        progress: &Progress,
    ) -> Result<PutOutcome> {
        let source = FileSource::open(path).await?;
        let digest = source.hash(progress).await?;
        source.check_unchanged().await?;
        let size = source.size();
        let outcome = |existed, mode| PutOutcome { digest, size, existed, mode };
        if self.blob_size(repository, &digest).await? == Some(size) {
            return Ok(outcome(true, None));
        }
        let (session, signed) = if let Some(id) = options.resume {
            (self.session(repository, id), None)
        } else {
            let terms = PresignTerms::whole(&source, digest, options.mode);
            self.begin_presigned(repository, &terms).await?
        };
        progress.report(Event::Session(session.id()));
        let transfer = TransferOptions { jobs: options.jobs, mode: options.mode };
        let sent = match options.resume {
            Some(_) => resume(&session, &source, digest, transfer, progress).await,
            None => send(&session, &source, digest, signed, transfer, progress).await,
        };
        if matches!(sent, Err(Error::FileChanged(_))) {
            // This session was declared with bytes that are no more; nobody can resume it.
            if let Err(error) = session.abort().await {
                tracing::debug!(%error, upload = %session.id(), "left to expire");
            }
        }
        Ok(outcome(false, sent?))
    }
}

/// Goes on where the session stands.
async fn resume(
    session: &Session,
    source: &FileSource,
    digest: Digest,
    options: TransferOptions,
    progress: &Progress,
) -> Result<Option<TransferMode>> {
    let state = session.state().await?;
    match (state.status, state.mode) {
        (Status::Completed | Status::Finalizing, mode) => {
            progress.started(Stage::Finalizing, source.size(), 0);
            session.finalize(digest, None).await.map(|()| mode)
        }
        (Status::Pending | Status::Uploading, Some(TransferMode::Proxied)) => {
            Err(Error::UploadProxied(session.id()))
        }
        (Status::Pending | Status::Uploading, mode) => {
            let options = TransferOptions { mode: options.mode.or(mode), ..options };
            send(session, source, digest, None, options, progress).await
        }
        (Status::Failed | Status::Aborted | Status::Expired, _) => Err(session.ended(state)),
    }
}

/// Sends, by what was `signed` when the session was begun, and finalizes; once more if the server then finds
/// something missing.
async fn send(
    session: &Session,
    source: &FileSource,
    digest: Digest,
    signed: Option<PresignedUpload>,
    options: TransferOptions,
    progress: &Progress,
) -> Result<Option<TransferMode>> {
    let sent = match signed {
        Some(signed) => {
            let terms = PresignTerms::whole(source, digest, options.mode);
            session.deliver_file(source, &terms, signed, options, progress).await?
        }
        None => session.upload_file(source, digest, options, progress).await?,
    };
    source.check_unchanged().await?;
    progress.started(Stage::Finalizing, source.size(), 0);
    match session.finalize(digest, sent.parts.as_deref()).await {
        Err(error) if is_incomplete(&error) => {
            tracing::debug!(%error, "sending what is missing");
            session.upload_file(source, digest, options, progress).await?;
            source.check_unchanged().await?;
            progress.started(Stage::Finalizing, source.size(), 0);
            session.finalize(digest, None).await?;
        }
        finalized => finalized?,
    }
    Ok(Some(sent.mode))
}

/// Whether finalizing failed for want of bytes, and the session still takes them.
fn is_incomplete(error: &Error) -> bool {
    match error {
        Error::Incomplete(_) => true,
        Error::Refused(refusal) => refusal.code == "BLOB_UPLOAD_INVALID",
        _ => false,
    }
}
