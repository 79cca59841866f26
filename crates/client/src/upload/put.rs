//! A blob into a repository, from its hash to its publication, by the way that the registry has.

use std::path::Path;

use super::chunked::ChunkedUpload;
use super::content::Content;
use super::session::PresignTerms;
use super::signed::Lanes;
use super::state::{Begun, UploadFile, UploadStates};
use crate::files::midstates::Midstates;
use crate::files::source::FileSource;
use crate::progress::{Event, Outcome, Progress, Stage};
use crate::transport::retry::{Failure, Remedy};
use crate::{Client, Error, HashCache, Result, Session};
use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::upload::{Status, TransferMode, UploadId};
use overside_protocol::wire::{FinalizeBody, PresignedUpload};

/// How a blob is put.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Shared by blobs that are put at the same time.
    pub lanes: Lanes,
    /// The server decides by the size if this is not given.
    pub mode: Option<TransferMode>,
    /// An upload to go on with, begun here or on another machine.
    pub resume: Option<UploadId>,
    /// Where uploads under way are remembered, if they are to be.
    pub states: Option<UploadStates>,
    /// Where digests of files are remembered, if they are to be.
    pub hashes: Option<HashCache>,
    /// Another repository of the registry that may have the blob.
    pub mount_from: Option<RepositoryName>,
}

/// A blob to put.
#[derive(Debug, Clone)]
pub struct Blob {
    pub content: Content,
    pub digest: Digest,
    /// Where they are known the server proves the parts side by side.
    pub midstates: Midstates,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOutcome {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub outcome: Outcome,
    /// How the bytes went to the store; `None` where none did, or the server took them.
    pub mode: Option<TransferMode>,
}

impl PutOutcome {
    /// The repository had the blob, and nothing was sent.
    #[must_use]
    pub fn existed(&self) -> bool {
        self.outcome == Outcome::Exists
    }
}

impl Blob {
    /// A file, hashed, or as it is remembered where it has not changed since.
    pub async fn of_file(path: &Path, cache: Option<&HashCache>, progress: &Progress) -> Result<Self> {
        let source = FileSource::open(path).await?;
        let hashed = match cache {
            Some(cache) => cache.hash(&source, progress).await?,
            None => source.hash(progress).await?,
        };
        source.check_unchanged().await?;
        Ok(Self { content: Content::File(source), digest: hashed.digest, midstates: hashed.midstates })
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.content.size()
    }
}

impl Client {
    /// Uploads a file: hashes it, and then as [`Self::put_blob`].
    pub async fn put_file(
        &self,
        repository: &RepositoryName,
        path: &Path,
        options: &PutOptions,
        progress: &Progress,
    ) -> Result<PutOutcome> {
        let blob = Blob::of_file(path, options.hashes.as_ref(), progress).await?;
        self.put_blob(repository, &blob, options, progress).await
    }

    /// Uploads a blob: asks whether it is there, sends what is missing and has it published.
    ///
    /// After a failure the upload stays on the server and can be resumed: by the id in [`Event::Session`], and by
    /// itself where states are kept.
    pub async fn put_blob(
        &self,
        repository: &RepositoryName,
        blob: &Blob,
        options: &PutOptions,
        progress: &Progress,
    ) -> Result<PutOutcome> {
        let (digest, size) = (blob.digest, blob.size());
        if self.pushed_blob_size(repository, &digest).await? != Some(size) {
            return self.put_missing_blob(repository, blob, options, progress).await;
        }
        self.found_blob(repository, &digest, options, progress);
        Ok(PutOutcome { digest, size, outcome: Outcome::Exists, mode: None })
    }

    /// Says that a blob is there. An earlier run may have ended before it could forget how it was sending it.
    pub(crate) fn found_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        options: &PutOptions,
        progress: &Progress,
    ) {
        if let Some(states) = &options.states {
            states.of(&self.base, repository, digest).remove();
        }
        progress.finished(Outcome::Exists);
    }

    /// As [`Self::put_blob`], for a blob that is known not to be there.
    pub(crate) async fn put_missing_blob(
        &self,
        repository: &RepositoryName,
        blob: &Blob,
        options: &PutOptions,
        progress: &Progress,
    ) -> Result<PutOutcome> {
        let remembered =
            options.states.as_ref().map(|states| states.of(&self.base, repository, &blob.digest));
        let put = Put { client: self, repository, blob, options, remembered: remembered.as_ref(), progress };
        let (outcome, mode) = put.run().await?;
        if let Some(remembered) = remembered {
            remembered.remove();
        }
        progress.finished(outcome);
        Ok(PutOutcome { digest: blob.digest, size: blob.size(), outcome, mode })
    }
}

struct Put<'a> {
    client: &'a Client,
    repository: &'a RepositoryName,
    blob: &'a Blob,
    options: &'a PutOptions,
    remembered: Option<&'a UploadFile>,
    progress: &'a Progress,
}

type Done = (Outcome, Option<TransferMode>);

impl Put<'_> {
    async fn run(&self) -> Result<Done> {
        if let Some(done) = self.resume().await? {
            return Ok(done);
        }
        let (client, digest) = (self.client, &self.blob.digest);
        let terms =
            client.presigns().then(|| PresignTerms::whole(self.blob.size(), *digest, self.options.mode));
        let mount = self.options.mount_from.as_ref().filter(|from| *from != self.repository);
        let post = |mount| client.begin_upload(self.repository, terms.as_ref(), mount);
        let answered = match mount {
            Some(from) => match post(Some((digest, from))).await {
                Err(error) => {
                    client.retry(self.progress).after(Failure::of_mount(error)).await?;
                    post(None).await?
                }
                answered => answered?,
            },
            None => post(None).await?,
        };
        let Some((url, answer)) = answered else { return Ok((Outcome::Mounted, None)) };
        if terms.is_none() {
            return self.through_server(ChunkedUpload::begun(client, self.repository, &url, &answer)?).await;
        }
        // The name, not the Location: behind a proxy that adds a path only our own base leads back.
        let id = answer.parsed("docker-upload-uuid");
        let id = id.ok_or_else(|| answer.unexpected("no Docker-Upload-UUID"))?;
        let session = client.session(self.repository, id);
        if let Some(file) = self.remembered {
            file.write(&Begun::Upload(session.id())).await?;
        }
        self.progress.report(Event::Session(session.id()));
        // Nothing is signed yet by a server that signs by `GET` alone.
        let sent = Box::pin(self.send(&session, answer.json().ok(), self.options.mode)).await;
        self.ended(&session, sent).await
    }

    /// Goes on with what was begun before; none where nothing was, or nothing is left of it to go on with.
    async fn resume(&self) -> Result<Option<Done>> {
        let (id, was_asked_for) = match (self.options.resume, self.remembered.and_then(UploadFile::read)) {
            (Some(id), _) => (id, true),
            (None, Some(Begun::Upload(id))) => (id, false),
            (None, Some(Begun::Location(location))) => {
                let upload = ChunkedUpload::resume(self.client, self.repository, location).await?;
                return match upload {
                    Some(upload) => self.through_server(upload).await.map(Some),
                    None => self.begin_anew(Error::UploadLost { peer: self.client.peer() }).await,
                };
            }
            (None, None) => return Ok(None),
        };
        let session = self.client.session(self.repository, id);
        let error = match self.go_on(&session).await {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let is_over = match &error {
            // Only now: the store kept other bytes than an earlier run sent, such as of a part that was cut.
            error if is_wrong(error) => {
                session.state().await.is_ok_and(|state| state.status == Status::Failed)
            }
            // It has ended without us.
            Error::UploadUnknown(_)
            | Error::UploadExpired(_)
            | Error::UploadEnded { .. }
            | Error::UploadProxied(_) => !was_asked_for,
            _ => false,
        };
        if is_over { self.begin_anew(error).await } else { Err(error) }
    }

    /// Shows why the upload that was to be gone on with is not.
    async fn begin_anew<T>(&self, error: Error) -> Result<Option<T>> {
        self.client.retry(self.progress).after(Failure::new(error, Remedy::WholePut)).await?;
        Ok(None)
    }

    async fn through_server<'a>(&'a self, mut upload: ChunkedUpload<'a>) -> Result<Done> {
        upload.remember_in(self.remembered).await?;
        self.progress.started(Stage::Uploading, self.blob.size(), upload.offset());
        let (content, digest) = (&self.blob.content, &self.blob.digest);
        // On the heap, as the presigned way is: what a put is made of would fill a stack.
        Box::pin(upload.send_whole(content, digest, &self.options.lanes, self.progress)).await?;
        Ok((Outcome::ThroughServer, None))
    }

    /// Goes on where a session stands.
    async fn go_on(&self, session: &Session) -> Result<Done> {
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
                self.ended(session, sent).await
            }
            (Status::Failed | Status::Aborted | Status::Expired, _) => Err(session.ended(state)),
        }
    }

    async fn ended(&self, session: &Session, sent: Result<TransferMode>) -> Result<Done> {
        if matches!(sent, Err(Error::FileChanged(_))) {
            // This session was declared with bytes that are no more; nobody can resume it.
            if let Err(error) = session.abort().await {
                tracing::debug!(%error, upload = %session.id(), "left to expire");
            }
            if let Some(remembered) = self.remembered {
                remembered.remove();
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
        let (lanes, progress) = (&self.options.lanes, self.progress);
        let terms = PresignTerms::whole(content.size(), *digest, mode);
        let sent = session.upload(content, &terms, signed, lanes, progress).await?;
        content.check_unchanged().await?;
        progress.started(Stage::Finalizing, content.size(), 0);
        let told = FinalizeBody {
            parts: sent.parts.unwrap_or_default(),
            sha256_midstates: sent.plan.map(|plan| midstates.between(&plan)).unwrap_or_default(),
        };
        let told = (told != FinalizeBody::default()).then_some(&told);
        match session.finalize(*digest, told, progress).await {
            Err(error) if is_incomplete(&error) => {
                self.client.retry(progress).after(Failure::new(error, Remedy::AskOffset)).await?;
                session.upload(content, &terms, None, lanes, progress).await?;
                content.check_unchanged().await?;
                progress.started(Stage::Finalizing, content.size(), 0);
                session.finalize(*digest, None, progress).await?;
            }
            finalized => finalized?,
        }
        Ok(sent.mode)
    }
}

/// Whether the bytes were found to be others than the digest says.
fn is_wrong(error: &Error) -> bool {
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
