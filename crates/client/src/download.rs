//! A blob into a file: resumed by `Range` when the connection breaks, proven before the file has its name.

use std::path::Path;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use reqwest::StatusCode;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::archive::Slot;
use super::progress::{Event, Outcome, Progress, Stage};
use super::{Client, Error, Result};
use crate::files::staged::StagedFile;
use crate::registry::blobs::Failure;
use crate::transport::STALL_TIMEOUT;
use crate::transport::address::peer;
use crate::transport::retry::Backoff;

/// Chunks between the connection and the disk, each at most what one read of the socket gives (some 400 KiB).
const CHUNKS_IN_FLIGHT: usize = 8;
/// Signed URLs in a row that the store may refuse: more than expiry explains.
const MAX_REFUSED_SIGNATURES: u32 = 3;

impl Client {
    /// Downloads a blob to `target`, and gives its size in bytes. An existing file is replaced at the end.
    ///
    /// An interrupted download leaves a `.partial` file beside the target, and the next one goes on from it.
    pub async fn download(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        target: &Path,
        progress: &Progress,
    ) -> Result<u64> {
        let size = self.blob_size(repository, digest).await?.ok_or(Error::BlobUnknown(*digest))?;
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let staged = spawn_blocking({
            let (target, digest, progress) = (target.to_owned(), *digest, progress.clone());
            move || StagedFile::open(&target, digest, size, &progress, &stop)
        });
        let staged = staged.await.map_err(thread_died(target))??;
        self.fill(repository, digest, size, staged.into(), target, progress).await?;
        Ok(size)
    }

    /// Fetches what a slot for `target` lacks of a blob, through whatever passes, and publishes it.
    pub(super) async fn fill(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
        slot: Slot,
        target: &Path,
        progress: &Progress,
    ) -> Result<()> {
        let offset = slot.length();
        progress.started(Stage::Downloading, size, offset);
        let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let writer = spawn_blocking(move || slot.write(receiver));
        let fetch = Fetch { client: self, repository, digest: *digest, size, offset, progress };
        let fetched = fetch.run(sender).await;
        // The writer's error first: a full disk also looks like a fetch that found nobody to write to.
        let slot = writer.await.map_err(thread_died(target))??;
        fetched?;
        spawn_blocking(move || slot.publish()).await.map_err(thread_died(target))??;
        progress.finished(Outcome::Downloaded);
        Ok(())
    }
}

fn thread_died(target: &Path) -> impl FnOnce(JoinError) -> Error {
    move |error| Error::file("write", target)(std::io::Error::other(error))
}

struct Fetch<'a> {
    client: &'a Client,
    repository: &'a RepositoryName,
    digest: Digest,
    size: u64,
    /// Bytes handed to the writer.
    offset: u64,
    progress: &'a Progress,
}

impl Fetch<'_> {
    async fn run(mut self, sender: Sender<Bytes>) -> Result<()> {
        let mut backoff = Backoff::new(self.client.policy);
        let mut refused_signatures = 0;
        while self.offset < self.size {
            let before = self.offset;
            let ended = self.attempt(&sender).await;
            if self.offset > before {
                backoff.reset();
                refused_signatures = 0;
            }
            let (error, asked) = match ended {
                Ok(()) => continue,
                Err(Failure::Passing(error, asked)) => (error, asked),
                Err(Failure::Signature(error)) if refused_signatures < MAX_REFUSED_SIGNATURES => {
                    refused_signatures += 1;
                    (error, None)
                }
                Err(Failure::Signature(error) | Failure::Final(error)) => return Err(error),
            };
            let Some(after) = backoff.next(asked) else { return Err(error) };
            self.progress.report(Event::Retrying { error: &error, after });
            tokio::time::sleep(after).await;
        }
        Ok(())
    }

    /// One connection, from the offset to the end of the blob or of the connection.
    async fn attempt(&mut self, sender: &Sender<Bytes>) -> Result<(), Failure> {
        let mut response = self.client.open_blob(self.repository, &self.digest, self.offset, None).await?;
        let peer = peer(response.url());
        // A server may ignore Range and send everything again (RFC 9110 §14.2).
        let mut skip = if response.status() == StatusCode::OK { self.offset } else { 0 };
        while self.offset < self.size {
            let mut chunk = match timeout(STALL_TIMEOUT, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Err(Failure::Passing(Error::Truncated { peer }, None)),
                Ok(Err(error)) => return Err(Failure::Passing(Error::transport(&peer, error), None)),
                Err(_) => {
                    return Err(Failure::Passing(Error::Stalled { peer, after: STALL_TIMEOUT }, None));
                }
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            let fresh = chunk.split_off(known);
            let length = fresh.len() as u64;
            if length > self.size - self.offset {
                return Err(Failure::Final(Error::protocol(&peer, "more bytes than the blob has")));
            }
            if sender.send(fresh).await.is_err() {
                let gone = std::io::ErrorKind::BrokenPipe.into();
                return Err(Failure::Final(Error::file("write", Path::new("the file"))(gone)));
            }
            self.offset += length;
            self.progress.report(Event::Advanced(length));
            if let Some(rate) = &self.client.rate {
                rate.wait(length).await;
            }
        }
        Ok(())
    }
}
