//! `Repository::put`: uploads one blob by whichever way the registry has.

use std::path::PathBuf;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::upload::{TransferMode, UploadId};

use super::blob::Blob;
use super::blob_upload::{BlobUpload, PutOptions};
use super::concurrency::ConcurrencyLimit;
use super::saved_uploads::SavedUploads;
use crate::progress::{Outcome, Progress, reports_events};
use crate::{Error, HashCache, Repository, Result};

/// Uploads one blob: asks whether the repository has it, sends what is missing, and has it published.
///
/// After a failure the upload stays on the server and can be resumed: by the id in
/// [`Event::Session`](crate::Event::Session), or by itself where uploads are saved.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Put {
    repository: Repository,
    source: Source,
    options: PutOptions,
    hashes: Option<HashCache>,
    progress: Progress,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Blob(Blob),
}

/// The result of uploading a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOutcome {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub outcome: Outcome,
    /// How the bytes went to the store; `None` where none did, or the server took them.
    pub mode: Option<TransferMode>,
}

impl PutOutcome {
    /// Whether the repository had the blob, so that nothing was sent.
    #[must_use]
    pub fn existed(&self) -> bool {
        self.outcome == Outcome::Exists
    }
}

reports_events!(Put);

impl Put {
    /// Sends so many bodies at a time (4 by default), or shares a limit with other transfers.
    pub fn jobs(mut self, limit: impl Into<ConcurrencyLimit>) -> Self {
        self.options.limit = limit.into();
        self
    }

    /// Sends the blob in one PUT or in parts. The server decides by the size if this is not given.
    pub fn mode(mut self, mode: impl Into<Option<TransferMode>>) -> Self {
        self.options.mode = mode.into();
        self
    }

    /// Resumes an upload that was begun before, here or on another machine.
    pub fn resume(mut self, upload: impl Into<Option<UploadId>>) -> Self {
        self.options.resume = upload.into();
        self
    }

    /// Saves the upload while it is under way, and resumes one of the same blob that was saved before.
    pub fn saved_uploads(mut self, uploads: impl Into<Option<SavedUploads>>) -> Self {
        self.options.saved = uploads.into();
        self
    }

    /// Takes the digest of a file that has not changed from this cache.
    pub fn hash_cache(mut self, cache: impl Into<Option<HashCache>>) -> Self {
        self.hashes = cache.into();
        self
    }

    /// Has the registry take the blob from this other repository of its own, if it is there.
    pub fn mount_from(mut self, repository: impl Into<Option<RepositoryName>>) -> Self {
        self.options.mount_from = repository.into();
        self
    }

    /// Uploads the blob.
    ///
    /// # Errors
    /// * [`Error::File`], [`Error::NotAFile`], [`Error::FileChanged`]: the file cannot be read, or somebody writes to it
    /// * [`Error::StoreRefused`], [`Error::Destination`], [`Error::Stalled`]: the store takes no bytes, or nothing may be
    ///   sent there
    /// * [`Error::UploadUnknown`], [`Error::UploadExpired`], [`Error::UploadEnded`], [`Error::UploadProxied`]: the upload that
    ///   was to be resumed cannot be; [`Error::UploadLost`]: the registry lost one again and again
    /// * [`Error::Incomplete`]: the server misses bytes although all were sent twice; [`Error::FinalizeStalled`]: it does not
    ///   come to an end of checking them; [`Error::Refused`] with code `DIGEST_INVALID`: it has found others
    /// * besides that what [any request](Error#any-request) can fail with
    pub async fn send(self) -> Result<PutOutcome, Error> {
        let Self { repository, source, options, hashes, progress } = self;
        let (blob, progress) = match source {
            Source::File(path) => {
                let progress = progress.named(|| path.display().to_string());
                (Blob::from_file(&path, hashes.as_ref(), &progress).await?, progress)
            }
            Source::Blob(blob) => {
                let progress = progress.named(|| blob.digest.to_string());
                (blob, progress)
            }
        };
        if repository.pushed_blob_size(&blob.digest).await? != Some(blob.size()) {
            return repository.put_missing_blob(&blob, &options, &progress).await;
        }
        repository.found_blob(&blob.digest, &options, &progress);
        Ok(PutOutcome { digest: blob.digest, size: blob.size(), outcome: Outcome::Exists, mode: None })
    }
}

impl Repository {
    /// Uploads a file as a blob.
    pub fn put(&self, file: impl Into<PathBuf>) -> Put {
        self.put_source(Source::File(file.into()))
    }

    /// Uploads a blob whose digest is known.
    pub fn put_blob(&self, blob: Blob) -> Put {
        self.put_source(Source::Blob(blob))
    }

    fn put_source(&self, source: Source) -> Put {
        let (options, progress) = (PutOptions::default(), Progress::default());
        Put { repository: self.clone(), source, options, hashes: None, progress }
    }

    /// Reports that a blob is there. An earlier run may have ended before it could remove the saved upload.
    pub(crate) fn found_blob(&self, digest: &Digest, options: &PutOptions, progress: &Progress) {
        if let Some(saved) = &options.saved {
            saved.file(&self.registry.base, &self.name, digest).remove();
        }
        progress.finished(Outcome::Exists);
    }

    /// Uploads a blob that the repository is known not to have.
    pub(crate) async fn put_missing_blob(
        &self,
        blob: &Blob,
        options: &PutOptions,
        progress: &Progress,
    ) -> Result<PutOutcome> {
        let saved =
            options.saved.as_ref().map(|saved| saved.file(&self.registry.base, &self.name, &blob.digest));
        let upload = BlobUpload { repository: self, blob, options, saved: saved.as_ref(), progress };
        let (outcome, mode) = upload.run().await?;
        if let Some(saved) = saved {
            saved.remove();
        }
        progress.finished(outcome);
        Ok(PutOutcome { digest: blob.digest, size: blob.size(), outcome, mode })
    }
}
