//! A blob whose bytes come once and whose size nobody knows before the end: through the server, in chunks.

use std::io;

use bytes::Bytes;
use overside_protocol::hash::Hasher;
use overside_protocol::name::RepositoryName;
use tokio::sync::mpsc::Receiver;

use super::chunked::ChunkedUpload;
use super::content::Content;
use super::signed::Lanes;
use crate::progress::{Event, Outcome, Progress, Stage};
use crate::{Client, Error, PutOutcome, Result};

impl Client {
    /// Uploads what comes, until an empty chunk or the end. Each chunk is kept until the server has it.
    pub async fn put_chunks(
        &self,
        repository: &RepositoryName,
        mut chunks: Receiver<io::Result<Bytes>>,
        lanes: &Lanes,
        progress: &Progress,
    ) -> Result<PutOutcome> {
        let mut upload = ChunkedUpload::begin(self, repository).await?;
        let (mut hasher, mut size) = (Hasher::default(), 0);
        progress.started(Stage::Uploading, 0, 0);
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(Error::file("read", std::path::Path::new("standard input")))?;
            if chunk.is_empty() {
                break;
            }
            hasher.update(&chunk);
            let length = chunk.len() as u64;
            if !upload.send(&Content::Bytes(chunk), size, lanes, progress).await? {
                return Err(Error::NoChunks { peer: self.peer() });
            }
            size += length;
        }
        let digest = hasher.finish();
        progress.report(Event::Started { stage: Stage::Finalizing, total: size, done: 0 });
        if let Err(error) = upload.finish(&digest).await {
            // The answer may have been all that was lost.
            if self.pushed_blob_size(repository, &digest).await? != Some(size) {
                return Err(error);
            }
        }
        progress.finished(Outcome::ThroughServer);
        Ok(PutOutcome { digest, size, outcome: Outcome::ThroughServer, mode: None })
    }
}
