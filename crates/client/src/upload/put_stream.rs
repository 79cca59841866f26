//! `Repository::put_stream`: uploads a stream whose size is not known before its end, through the server, in chunks.

use std::io;
use std::path::Path;

use bytes::Bytes;
use overside_protocol::hash::Hasher;
use tokio::sync::mpsc::Receiver;

use super::chunked::ChunkedUpload;
use super::concurrency::ConcurrencyLimit;
use super::content::Content;
use super::put::PutOutcome;
use crate::progress::{Outcome, Progress, Stage, reports_events};
use crate::{Error, Repository, Result};

/// Uploads a stream as one blob. It can be read only once, so the upload cannot be resumed by another run.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct PutStream {
    repository: Repository,
    chunks: Receiver<io::Result<Bytes>>,
    limit: ConcurrencyLimit,
    progress: Progress,
}

reports_events!(PutStream);

impl Repository {
    /// Uploads what comes through a channel, until an empty chunk or its end, as one blob. Each chunk is kept in memory until
    /// the server has it.
    pub fn put_stream(&self, chunks: Receiver<io::Result<Bytes>>) -> PutStream {
        let (limit, progress) = (ConcurrencyLimit::default(), Progress::default());
        PutStream { repository: self.clone(), chunks, limit, progress }
    }
}

impl PutStream {
    /// Shares a limit on bodies at a time with other transfers.
    pub fn jobs(mut self, limit: impl Into<ConcurrencyLimit>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Uploads the stream.
    ///
    /// # Errors
    /// [`Error::File`] if the channel brings an error, [`Error::NoChunks`] if the registry accepts no chunks,
    /// [`Error::UploadLost`] if it lost the upload, [`Error::Stalled`] if no byte moves. Besides that what
    /// [any request](Error#any-request) can fail with.
    pub async fn send(self) -> Result<PutOutcome> {
        let Self { repository, mut chunks, limit, progress } = self;
        let mut upload = ChunkedUpload::begin(&repository).await?;
        let (mut hasher, mut size) = (Hasher::default(), 0);
        progress.started(Stage::Uploading, 0, 0);
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(Error::file("read", Path::new("the stream")))?;
            if chunk.is_empty() {
                break;
            }
            hasher.update(&chunk);
            let length = chunk.len() as u64;
            if !upload.send(&Content::Bytes(chunk), size, &limit, &progress).await? {
                return Err(Error::NoChunks { peer: repository.registry.peer() });
            }
            size += length;
        }
        let digest = hasher.finish();
        progress.started(Stage::Finalizing, size, 0);
        if let Err(error) = upload.finish(&digest).await {
            // The answer may have been all that was lost.
            if repository.pushed_blob_size(&digest).await? != Some(size) {
                return Err(error);
            }
        }
        progress.finished(Outcome::ThroughServer);
        Ok(PutOutcome { digest, size, outcome: Outcome::ThroughServer, mode: None })
    }
}
