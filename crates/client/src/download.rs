//! A blob into a file: resumed by `Range` when the connection breaks, proven before the file has its name.

use std::path::Path;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use reqwest::StatusCode;
use tokio::sync::mpsc::{self, Sender};
use tokio_util::sync::CancellationToken;

use crate::archive::Slot;
use crate::files::source::blocking;
use crate::files::staged::StagedFile;
use crate::progress::{Event, Outcome, Progress, Stage};
use crate::transport::address::peer;
use crate::transport::answer::unless_silent;
use crate::transport::retry::Failure;
use crate::{Client, Error, Result};

/// Chunks between the connection and the disk, each at most what one read of the socket gives (some 400 KiB).
const CHUNKS_IN_FLIGHT: usize = 8;

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
        let staged = blocking("write", target, {
            let (target, digest, progress) = (target.to_owned(), *digest, progress.clone());
            move || StagedFile::open(&target, digest, size, &progress, &stop)
        });
        let staged = staged.await?;
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
        let writer = blocking("write", target, move || slot.write(receiver));
        let fetch = Fetch { client: self, repository, digest: *digest, size, offset, progress };
        let fetched = fetch.run(sender).await;
        // The writer's error first: a full disk also looks like a fetch that found nobody to write to.
        let slot = writer.await?;
        fetched?;
        blocking("write", target, move || slot.publish()).await?;
        progress.finished(Outcome::Downloaded);
        Ok(())
    }
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
        let mut retry = self.client.retry(self.progress);
        while self.offset < self.size {
            let before = self.offset;
            if let Err(failure) = self.attempt(&sender).await {
                retry.after(Failure { has_advanced: self.offset > before, ..failure }).await?;
            }
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
            let chunk = async { response.chunk().await.map_err(|error| Error::transport(&peer, error)) };
            let chunk = unless_silent(&peer, chunk).await.map_err(Failure::of)?;
            let Some(mut chunk) = chunk else { return Err(Failure::of(Error::Truncated { peer })) };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            let fresh = chunk.split_off(known);
            let length = fresh.len() as u64;
            if length > self.size - self.offset {
                return Err(Error::protocol(&peer, "more bytes than the blob has").into());
            }
            if sender.send(fresh).await.is_err() {
                let gone = std::io::ErrorKind::BrokenPipe.into();
                return Err(Error::file("write", Path::new("the file"))(gone).into());
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
