//! Files by their paths: for front doors whose clients know no digests. A path comes to name what was finalized before.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Instant;

use crate::domain::access::Caller;
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::blob::Blob;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::file::{DirectoryEntry, NewFile, StoredFile};
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::domain::path::{Directory, FilePath};
use crate::domain::upload::{Claim, UploadId};
use crate::service::registry::listings::{MAX_PAGE, Page};
use crate::service::uploads::append::Chunk;
use crate::service::uploads::finalize::{ClientHints, Finalized};
use crate::service::{Result, Service, ServiceError};

/// Files deleted in one transaction: some tens of milliseconds' work.
const DELETED_AT_ONCE: u32 = 500;

/// What a file is to be called, where, and as what it is served.
#[derive(Debug, Clone)]
pub struct FileName {
    pub repository: RepositoryName,
    pub path: FilePath,
    pub media_type: MediaType,
}

impl Service {
    /// Takes a file through this service and gives it its path: the last writer wins. Goes on when the client is gone.
    pub async fn put_file<B>(
        self: &Arc<Self>,
        caller: &Caller,
        name: FileName,
        length: Option<u64>,
        user_agent: Option<&str>,
        body: B,
    ) -> Result<()>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + Unpin + 'static,
    {
        let algorithm = Algorithm::Sha256;
        let repository = name.repository.clone();
        let upload = self.begin(caller, repository, None, algorithm, length, user_agent).await?;
        tracing::Span::current().record("upload", tracing::field::display(upload.id));
        let (service, caller) = (Arc::clone(self), caller.clone());
        let work = async move {
            let whole = Chunk { length, ..Chunk::default() };
            let claim = Claim::Computed(algorithm);
            let taking = Arc::clone(&service).take_whole(caller.clone(), upload, whole, claim, body);
            let digest = taking.await?;
            service.name_file(&caller, name, digest).await
        };
        self.outlive(work).await?
    }

    /// Finalizes what went to the store in parts, and gives it its path. Asked again it says so again.
    pub async fn complete_file(
        self: &Arc<Self>,
        caller: &Caller,
        name: FileName,
        upload: UploadId,
        hints: ClientHints,
    ) -> Result<()> {
        let upload = self.upload(caller, &name.repository, upload).await?;
        let (service, caller) = (Arc::clone(self), caller.clone());
        let work = async move {
            let claim = Claim::Computed(Algorithm::Sha256);
            match service.finalize(upload, claim, hints, &caller, true).await? {
                Finalized::Completed(digest) => service.name_file(&caller, name, digest).await,
                Finalized::Accepted => Err(ServiceError::Contended),
            }
        };
        self.outlive(work).await?
    }

    /// Has a path name a blob that the repository has.
    async fn name_file(self: &Arc<Self>, caller: &Caller, name: FileName, digest: Digest) -> Result<()> {
        // Where the same bytes are on their way to their place by somebody else's upload, that is waited for.
        self.link(&name.repository, &digest).await?;
        let FileName { repository, path, media_type } = name;
        let updated_by = caller.name().map(str::to_owned);
        let file = NewFile { path, digest, media_type, updated_by };
        if !self.db.put_file(&repository, &file, self.clock.now()).await? {
            return Err(ServiceError::Busy(
                "the bytes left the repository before they got their path".to_owned(),
            ));
        }
        tracing::info!(%repository, path = %file.path, %digest, "file put");
        self.record_all(caller, vec![action(Operation::Push, &repository, &file.path)]).await;
        Ok(())
    }

    /// A file as a repository has it.
    pub async fn file(&self, repository: &RepositoryName, path: &FilePath) -> Result<StoredFile> {
        self.db.find_file(repository, path).await?.ok_or(ServiceError::Unknown("file"))
    }

    /// The blob that a path names, to be read.
    pub async fn file_to_read(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        path: &FilePath,
    ) -> Result<Blob> {
        let file = self.file(repository, path).await?;
        let blob = self.link(repository, &file.digest).await?.blob;
        self.record_soon(caller, action(Operation::Pull, repository, path)).await;
        Ok(blob)
    }

    /// What lies in a directory at once, in the order of their bytes; at most `limit`, from where an earlier page says that
    /// the next one begins. A directory that is not there is empty.
    pub async fn directory(
        &self,
        repository: &RepositoryName,
        directory: &Directory,
        from: Option<&str>,
        limit: u32,
    ) -> Result<Page<DirectoryEntry>> {
        let limit = limit.min(MAX_PAGE);
        Ok(Page::cut(self.db.directory_entries(repository, directory, from, limit + 1).await?, limit))
    }

    /// Deletes a file, and whatever lies below a directory of this path; what is gone is fine. What is put there meanwhile
    /// may stay.
    pub async fn delete_files(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        directory: &Directory,
    ) -> Result<()> {
        let (mut from, mut deleted) = (None, 0);
        if let Some(path) = directory.path() {
            deleted += u64::from(self.db.delete_file(repository, path, self.clock.now()).await?);
        }
        loop {
            let (begun, now) = (Instant::now(), self.clock.now());
            let batch = self
                .db
                .delete_files_below(repository, directory, from.as_deref(), now, DELETED_AT_ONCE)
                .await?;
            deleted += batch.deleted;
            if batch.next.is_none() {
                break;
            }
            from = batch.next;
            if self.handover.is_cancelled() {
                return Err(ServiceError::Stopping);
            }
            self.rest(begun.elapsed()).await;
        }
        if deleted > 0 {
            tracing::info!(%repository, path = directory.prefix(), deleted, "files deleted");
            let action = match directory.path() {
                Some(path) => action(Operation::Delete, repository, path),
                None => AuditedAction {
                    operation: Operation::Delete,
                    resource_type: ResourceType::File,
                    resource: format!("{repository}:"),
                    project: Some(repository.project()),
                },
            };
            self.record_all(caller, vec![action]).await;
        }
        Ok(())
    }
}

fn action(operation: Operation, repository: &RepositoryName, path: &FilePath) -> AuditedAction {
    AuditedAction {
        operation,
        resource_type: ResourceType::File,
        resource: format!("{repository}:{path}"),
        project: Some(repository.project()),
    }
}
