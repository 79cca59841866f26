//! Steps 5 and 6 of finalize, behind the answer: a proven blob is readable where it was proven, so no client
//! waits for the copy to its content-addressed path. What a crash leaves of them another replica goes on with.

use std::sync::Arc;

use futures_util::StreamExt;
use tracing::Instrument;

use super::Proven;
use super::seal::changed;
use crate::db::Unplaced;
use crate::domain::blob::{Blob, Placement};
use crate::domain::digest::Digest;
use crate::domain::upload::{Transfer, UploadId};
use crate::log_text::chain;
use crate::memory::MemoryShare;
use crate::service::bodies::NOBODY;
use crate::service::uploads::lease::RENEWALS_PER_LEASE;
use crate::service::uploads::progress::ProgressCounter;
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Sealed, StorageError};

/// Largest blob whose copy the answer waits for, in bytes: it takes a store no longer than the round trips that
/// following it up later would.
const PLACED_AT_ONCE: u64 = 4 * 1024 * 1024;

/// Copies under way at once, given to users in turn: they cost the store, and it serves uploads with the same disks.
pub(in crate::service) const COPIES_AT_ONCE: u32 = 4;
/// Placings that may wait for their turn, at some kilobytes each, half of them of one user; beyond it finalizing waits
/// as well, which holds uploads to the pace of the store's copies.
pub(in crate::service) const PLACINGS_AT_ONCE: usize = 256;

impl Service {
    /// Whether the answer goes out before the copy. Nobody reads what is exposed before it is placed; what carries an
    /// uploader's headers nobody is to read with them.
    pub(super) fn is_placed_behind(&self, sealed: &Sealed) -> bool {
        let is_worth_it = sealed.size > PLACED_AT_ONCE && sealed.is_plain;
        self.storage.place_copies() && (is_worth_it || sealed.is_exposed)
    }

    /// Ends a finalize in a task of its own: places the blob where that is still to be done, and discards.
    pub(super) fn finish_in_background(
        self: &Arc<Self>,
        turn: MemoryShare,
        id: UploadId,
        transfer: Transfer,
        proven: Proven,
    ) {
        let (service, digest) = (Arc::clone(self), proven.digest);
        let settling = async move {
            match service.place_proven(id, turn.caller(), &proven).await {
                // Its second proof may have left a copy of its own.
                Ok(true) if proven.sealed.is_exposed => service.discard_or_leave(id).await,
                Ok(true) => service.discard_completed(id, &transfer, &proven.sealed).await,
                // Somebody reads the temporary object, or another replica goes on.
                Ok(false) | Err(ServiceError::Stopping) => {}
                Err(error) => tracing::warn!(%digest, error = %chain(&error), "a blob is placed later"),
            }
            drop(turn);
        };
        self.tasks.spawn(settling.instrument(tracing::Span::current()));
    }

    async fn place_proven(
        self: &Arc<Self>,
        id: UploadId,
        caller: &Arc<str>,
        proven: &Proven,
    ) -> Result<bool> {
        // Where the blob was there before, or another upload of the same bytes was faster, nothing stands on this
        // one's object. Only the row can tell: it was written with the commit.
        if proven.placement == Placement::Placed || !self.db.holds_blob(id).await? {
            return Ok(true);
        }
        self.place_sealed(id, caller, &proven.digest, &proven.sealed).await
    }

    /// Goes on with blobs whose replica died, and lets go of temporary objects that nobody reads any more.
    /// Tells `outcome` of each whether it came to its place.
    pub(in crate::service) async fn place_abandoned(
        self: &Arc<Self>,
        mut outcome: impl FnMut(bool) + Send,
    ) -> Result<()> {
        while !self.handover.is_cancelled() {
            // No more than are copied at once: the claims of others would run out unused.
            let until = self.after(self.limits.lease);
            let claimed = self.db.claim_unplaced(self.clock.now(), until, COPIES_AT_ONCE).await?;
            let last = claimed.len() < COPIES_AT_ONCE as usize;
            let mut outcomes: futures_util::stream::FuturesUnordered<_> =
                claimed.into_iter().map(|unplaced| self.go_on_placing(unplaced)).collect();
            while let Some(placed) = outcomes.next().await {
                outcome(placed.is_ok());
                if let Err(error) = placed {
                    tracing::warn!(error = %chain(&error), "a blob cannot be placed");
                }
            }
            if last {
                break;
            }
        }
        Ok(())
    }

    async fn go_on_placing(self: &Arc<Self>, Unplaced { blob, sealed }: Unplaced) -> Result<()> {
        let upload = sealed.upload;
        let released = match blob.placement {
            Placement::Sealed(_) | Placement::Exposed(_) => {
                let is_exposed = matches!(blob.placement, Placement::Exposed(_));
                let sealed = Sealed::restore(&sealed, blob.size, is_exposed)?;
                self.place_sealed(upload, &NOBODY.into(), &blob.digest, &sealed).await?
            }
            Placement::Placed | Placement::Lost => {
                self.db.mark_placed(&blob.digest, upload, self.clock.now()).await?
            }
        };
        if released {
            self.discard(upload).await?;
        }
        Ok(())
    }

    /// Copies, and has the blob read from its place from then on. True when the temporary object may go.
    async fn place_sealed(
        self: &Arc<Self>,
        id: UploadId,
        caller: &Arc<str>,
        digest: &Digest,
        sealed: &Sealed,
    ) -> Result<bool> {
        let renewing = async {
            loop {
                tokio::time::sleep(self.limits.lease / RENEWALS_PER_LEASE).await;
                if let Err(error) = self.db.renew_placing(digest, id, self.after(self.limits.lease)).await {
                    tracing::warn!(%digest, error = %chain(&error), "a claim on placing a blob could not be renewed");
                }
            }
        };
        let copying = async {
            let _turn = self.copies.take(caller, 1).await;
            match self.place(id, caller, sealed, *digest).await {
                // Placed by another replica, whose claim ran out in the middle of it, and discarded since.
                Err(ServiceError::Vanished) if self.stands_placed(digest).await? => Ok(()),
                placed => placed,
            }
        };
        let placed: Result<()> = tokio::select! {
            placed = copying => placed,
            () = renewing => Ok(()),
            () = self.handover.cancelled() => Err(ServiceError::Stopping),
        };
        if let Err(ServiceError::Stopping) = placed {
            // Others need not wait for the claim to run out. After a failure they had better: a cleaner would
            // claim the same blob again and again.
            self.db.renew_placing(digest, id, self.clock.now()).await?;
        }
        self.keep_pace().await;
        match placed {
            Err(error) if sealed.is_exposed && error.verdict().is_some() => {
                self.retract(id, digest, &error).await?;
                return Ok(true);
            }
            placed => placed?,
        }
        Ok(self.db.mark_placed(digest, id, self.clock.now()).await?)
    }

    /// Publishes proven bytes at the blob's place. Those that a client may have replaced since are proven again: as the
    /// very copy that is published, or as one that no URL reaches and that is published then.
    pub(super) async fn place(
        self: &Arc<Self>,
        id: UploadId,
        caller: &Arc<str>,
        sealed: &Sealed,
        digest: Digest,
    ) -> Result<()> {
        let gone = |error| match error {
            StorageError::NotFound => ServiceError::Vanished,
            error => changed(error),
        };
        if !sealed.is_exposed {
            return self.storage.place(sealed, &digest).await.map_err(gone);
        }
        let fixed = self.storage.seal(id, &Transfer::Put, digest.algorithm(), false).await.map_err(gone)?;
        if fixed.size != sealed.size {
            return Err(ServiceError::NotTheDigest(digest));
        }
        let progress = ProgressCounter::new(Arc::clone(caller), sealed.size);
        match Box::pin(self.verify_fixed(id, &Transfer::Put, fixed, digest, &[], &progress)).await? {
            (_, _, Some(staged)) => self.storage.publish(&staged).await?,
            (fixed, _, None) => self.storage.place(&fixed, &digest).await.map_err(gone)?,
        }
        Ok(())
    }

    /// Takes back a blob whose uploader replaced the bytes after they were proven. Nobody has read them, and nobody
    /// else's upload rests on them. The session first: a crash in between leaves a blob that is tried again.
    async fn retract(&self, id: UploadId, digest: &Digest, error: &ServiceError) -> Result<()> {
        tracing::warn!(upload = %id, %digest, %error, "a completed upload's bytes were replaced; it is taken back");
        if let Some(failure) = error.verdict() {
            let upload = self.read_again(id).await?;
            match self.transition(upload, |upload| Ok(upload.retract(failure.clone())?)).await {
                Ok(_) | Err(ServiceError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.db.retract_blob(digest, id, self.clock.now()).await?;
        Ok(())
    }

    async fn stands_placed(&self, digest: &Digest) -> Result<bool> {
        let Some(blob) = self.db.find_blob(digest).await? else { return Ok(false) };
        Ok(self.storage.has_blob(&Blob { placement: Placement::Placed, ..blob }).await?)
    }

    /// Keeps what was seen of the store's pace, for whoever starts next, where that is worth a write. It is only worth
    /// time: a failure is logged.
    pub(super) async fn keep_pace(&self) {
        let Some((store, pace)) = self.storage.unkept_pace() else { return };
        if let Err(error) = self.db.save_pace(&store, &pace).await {
            tracing::warn!(error = %chain(&error), "what was seen of the store's pace is not kept");
        }
    }
}
