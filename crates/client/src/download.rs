//! Downloads a blob to a file: resumed by `Range` when the connection breaks, verified before the file gets its name.

use std::path::Path;

use bytes::Bytes;
use overside_protocol::digest::Digest;
use reqwest::StatusCode;
use tokio::sync::mpsc::{self, Sender};
use tokio_util::sync::CancellationToken;

use crate::archive::Slot;
use crate::files::source::blocking;
use crate::files::staged::StagedFile;
use crate::progress::{Event, Outcome, Progress, Stage, reports_events};
use crate::transport::address::peer;
use crate::transport::answer::unless_silent;
use crate::transport::retry::Failure;
use crate::{Error, Repository, Result};

/// Chunks between the connection and the disk, each at most what one read of the socket gives (some 400 KiB).
const CHUNKS_IN_FLIGHT: usize = 8;

/// Downloads a blob, and gives a file its name once the bytes are verified.
///
/// An interrupted download leaves a `.partial` file beside the target, and the next one resumes from it.
#[derive(Debug)]
#[must_use = "nothing is fetched before `save`"]
pub struct Download {
    repository: Repository,
    digest: Digest,
    progress: Progress,
}

reports_events!(Download);

impl Download {
    /// Downloads to `target`, and gives the size in bytes. An existing file is replaced at the end.
    ///
    /// # Errors
    /// * [`Error::BlobUnknown`]: the repository does not have the blob, or the caller may not read it
    /// * [`Error::DigestMismatch`]: other bytes arrived; they are discarded
    /// * [`Error::DownloadInProgress`]: another process downloads to the same file
    /// * [`Error::NotAFile`], [`Error::File`]: the target is a folder, or cannot be written
    /// * [`Error::StoreRefused`], [`Error::Destination`]: the store that the registry redirects to refuses, or nothing may be
    ///   sent there
    /// * besides that what [any request](Error#any-request) can fail with
    pub async fn save(self, target: impl AsRef<Path>) -> Result<u64> {
        let (repository, digest, target) = (&self.repository, self.digest, target.as_ref());
        let progress = self.progress.named(|| digest.to_string());
        let size = repository.blob_size(&digest).await?.ok_or(Error::BlobUnknown(digest))?;
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let staged = blocking("write", target, {
            let (target, progress) = (target.to_owned(), progress.clone());
            move || StagedFile::open(&target, digest, size, &progress, &stop)
        });
        let staged = staged.await?;
        repository.fill(&digest, size, staged.into(), target, &progress).await?;
        Ok(size)
    }
}

impl Repository {
    /// Downloads a blob to a file.
    pub fn download(&self, digest: &Digest) -> Download {
        Download { repository: self.clone(), digest: *digest, progress: Progress::default() }
    }

    /// Fetches the bytes that a slot for `target` lacks of a blob, and publishes it.
    pub(super) async fn fill(
        &self,
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
        let fetch = Fetch { repository: self, digest: *digest, size, offset, progress };
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
    repository: &'a Repository,
    digest: Digest,
    size: u64,
    /// Bytes handed to the writer.
    offset: u64,
    progress: &'a Progress,
}

impl Fetch<'_> {
    async fn run(mut self, sender: Sender<Bytes>) -> Result<()> {
        let mut retry = self.repository.registry.retry(self.progress);
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
        let mut response = self.repository.open_blob(&self.digest, self.offset, None).await?;
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
            if let Some(rate) = &self.repository.registry.rate {
                rate.wait(length).await;
            }
        }
        Ok(())
    }
}
