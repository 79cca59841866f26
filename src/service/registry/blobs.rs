//! Read and unlink published blobs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::db::{Link, Unlinked};
use crate::domain::blob::{Blob, Placement};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::range::ByteRange;
use crate::log_text::chain;
use crate::service::uploads::settle::{LOOKED_AT_FOR_READ, PATIENCE_FOR_PROOF};
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Download, StorageError};

/// How long a download waits for a blob that is just coming to its place. A URL of the temporary object would keep
/// that for as long as the URL lives, and all but the largest blobs are copied sooner than this.
const PATIENCE_FOR_PLACE: Duration = Duration::from_secs(1);
const PLACE_POLL: Duration = Duration::from_millis(50);
/// How long whoever asks for an exposed blob waits for it: the store's copy of a GiB takes about as long, and a client
/// that is told to try again gives up after few times.
pub(in crate::service) const PATIENCE_FOR_EXPOSED: Duration = Duration::from_secs(5);
/// Until the first look whether it is there: soon, for all but the largest blobs. Each next one comes after twice
/// that, so that a crowd that waits is no load.
const FIRST_EXPOSED_POLL: Duration = Duration::from_millis(50);
/// Looks at the objects of blobs that are being read, at once. What finds no turn is not looked at.
pub(in crate::service) const LOOKS_AT_ONCE: usize = 2;

/// A blob and the way to its bytes.
pub struct BlobContent {
    pub blob: Blob,
    pub download: Download,
}

impl Service {
    /// A blob as a repository has it.
    pub async fn blob(self: &Arc<Self>, repository: &RepositoryName, digest: &Digest) -> Result<Blob> {
        Ok(self.settled_link(repository, digest, PATIENCE_FOR_EXPOSED).await?.blob)
    }

    /// A blob that a client asks for before it pushes a manifest: if it is there, it stays for long enough.
    pub async fn blob_to_refer_to(
        self: &Arc<Self>,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Blob> {
        let link = self.settled_link(repository, digest, PATIENCE_FOR_PROOF).await?;
        if link.is_unreferenced && !self.db.renew_link(repository, digest, self.clock.now()).await? {
            return self.blob(repository, digest).await;
        }
        Ok(link.blob)
    }

    /// As [`Self::link`], also of a blob that a redirected client has sent and told nobody of.
    async fn settled_link(
        self: &Arc<Self>,
        repository: &RepositoryName,
        digest: &Digest,
        patience: Duration,
    ) -> Result<Link> {
        match self.link(repository, digest).await {
            Err(ServiceError::BlobUnknown) if self.storage.takes_redirects() => {
                let deadline = Instant::now() + patience;
                let settled = self.settle(repository, &[*digest], LOOKED_AT_FOR_READ, deadline).await?;
                // Or somebody else settled it between the two.
                match self.link(repository, digest).await {
                    Err(ServiceError::BlobUnknown) if settled.is_underway => {
                        Err(ServiceError::Busy("the blob is still being proven".to_owned()))
                    }
                    link => link,
                }
            }
            link => link,
        }
    }

    /// A blob that can be read. One that is exposed is waited for: it is on its way to its place.
    pub(in crate::service) async fn link(
        self: &Arc<Self>,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Link> {
        let deadline = Instant::now() + PATIENCE_FOR_EXPOSED;
        let mut wait = FIRST_EXPOSED_POLL;
        loop {
            let link = self.db.find_link(repository, digest).await?.ok_or(ServiceError::BlobUnknown)?;
            match link.blob.placement {
                Placement::Placed | Placement::Sealed(_) => return Ok(link),
                Placement::Lost => return Err(ServiceError::BlobUnknown),
                Placement::Exposed(_) if Instant::now() < deadline => {
                    tokio::time::sleep_until(deadline.min(Instant::now() + wait)).await;
                    wait *= 2;
                    self.go_on_behind();
                }
                Placement::Exposed(_) => {
                    return Err(ServiceError::Busy("the blob is still being put in its place".to_owned()));
                }
            }
        }
    }

    /// Whoever waits for a blob has it placed, where the replica that was to do so died: nobody waits for the cleaner.
    pub(in crate::service) fn go_on_behind(self: &Arc<Self>) {
        let Ok(turn) = Arc::clone(&self.looks).try_acquire_owned() else { return };
        let service = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = service.place_abandoned(drop).await {
                tracing::debug!(error = %chain(&error), "abandoned blobs are placed later");
            }
            drop(turn);
        });
    }

    /// The way to a blob's bytes, all or a range of them. They come through here where `stays` says so of a URL, which lives
    /// `least` at least.
    pub async fn blob_content(
        self: &Arc<Self>,
        blob: Blob,
        range: Option<ByteRange>,
        least: Duration,
        stays: impl FnOnce(&str) -> bool + Send,
    ) -> Result<BlobContent> {
        let lifetime = self.settings().url_lifetime().max(least);
        let blob = self.held(blob, lifetime).await?;
        let download = match self.storage.download(&blob, range, lifetime).await {
            Ok(Download::Url(url)) if stays(&url) => {
                self.storage.stream(&blob, range).await.map(Download::Stream)
            }
            download => download,
        };
        match download {
            Ok(download) => {
                if let (Download::Url(_), Placement::Placed) = (&download, &blob.placement) {
                    self.look_behind(&blob);
                }
                Ok(BlobContent { blob, download })
            }
            Err(StorageError::NotFound) => {
                self.lose(&blob).await?;
                Err(ServiceError::BlobUnknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether the object that a client was sent to is there: it alone meets one that is gone, and does not say.
    /// The next push then is asked for the bytes.
    pub(super) fn look_behind(self: &Arc<Self>, blob: &Blob) {
        let Ok(turn) = Arc::clone(&self.looks).try_acquire_owned() else { return };
        let (service, blob) = (Arc::clone(self), blob.clone());
        self.tasks.spawn(async move {
            // What cannot be asked now is asked by the next download.
            if let Err(error) = service.is_there(&blob).await {
                tracing::debug!(digest = %blob.digest, error = %chain(&error), "a blob cannot be looked at");
            }
            drop(turn);
        });
    }

    /// Whether a blob's object can be read. One that is gone although its row says that it is in its place is noted,
    /// so that the commit of an upload of the same bytes takes the row over.
    pub(in crate::service) async fn is_there(&self, blob: &Blob) -> Result<bool> {
        let is_there = self.storage.has_blob(blob).await?;
        if !is_there && blob.placement == Placement::Placed {
            self.lose(blob).await?;
        }
        Ok(is_there)
    }

    /// Notes that a placed blob's object is gone from the store, if it still is.
    pub(in crate::service) async fn lose(&self, blob: &Blob) -> Result<()> {
        let Some(placed_at) = self.db.placed_at(&blob.digest).await? else { return Ok(()) };
        // Or it was placed anew since it was looked for.
        if !self.storage.has_blob(blob).await?
            && self.db.mark_lost(&blob.digest, placed_at, self.clock.now()).await?
        {
            tracing::error!(digest = %blob.digest, "a published blob is gone from the store");
        }
        Ok(())
    }

    /// A blob whose object stays for as long as a URL of it lives: while it is read where it was proven, its
    /// row says until when.
    async fn held(&self, blob: Blob, lifetime: Duration) -> Result<Blob> {
        let placed = Blob { placement: Placement::Placed, ..blob.clone() };
        let patience = Instant::now() + PATIENCE_FOR_PLACE;
        while blob.placement != Placement::Placed && Instant::now() < patience {
            match self.db.find_blob(&blob.digest).await? {
                Some(Blob { placement: Placement::Sealed(_), .. }) => tokio::time::sleep(PLACE_POLL).await,
                _ => return Ok(placed),
            }
        }
        let is_sealed = blob.placement != Placement::Placed
            && self.db.hold_sealed(&blob.digest, self.after(lifetime)).await?;
        Ok(if is_sealed { blob } else { placed })
    }

    /// Takes a blob out of a repository. Its bytes stay while other repositories have it, and for a grace after that.
    pub async fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        match self.db.unlink_blob(repository, digest, self.clock.now()).await? {
            Unlinked::Done => {
                tracing::info!(%repository, %digest, "blob unlinked");
                Ok(())
            }
            Unlinked::Absent => Err(ServiceError::BlobUnknown),
            Unlinked::Needed => Err(ServiceError::BlobNeeded),
        }
    }
}
