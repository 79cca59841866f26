//! Step 4: the session is completed, the blob has its row and the repository its link, all or nothing.

use uuid::Uuid;

use super::Proven;
use super::claim::Claimant;
use crate::db::{Committed, Stored};
use crate::domain::blob::Blob;
use crate::domain::digest::Digest;
use crate::domain::upload::Upload;
use crate::service::uploads::lease::POLL_INTERVAL;
use crate::service::{Result, SWAP_ATTEMPTS, Service, ServiceError};

impl Service {
    /// What the database knows of a digest, once no removal of its object can have any effect any more. A removal
    /// takes as long as one request to the store; one whose collector died, up to a minute.
    pub(super) async fn wait_for_removal(&self, digest: &Digest) -> Result<Option<Stored>> {
        loop {
            match self.db.find_stored(digest).await? {
                Some(Stored::Removing(removal)) if self.clock.now() < removal.until => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                stored => return Ok(stored),
            }
        }
    }

    /// What another owner committed meanwhile is told by the state machine. False when the blob is not
    /// as it was found: it has been taken for removal, or another upload was faster and may yet fail.
    pub(super) async fn commit(
        &self,
        claimed: &Upload,
        owner: Uuid,
        proven: &Proven,
        claimant: &Claimant,
    ) -> Result<bool> {
        let Proven { digest, sealed, proof, placement, removal } = proven;
        let mut before = claimed.clone();
        for _ in 0..SWAP_ATTEMPTS {
            let after = before.clone().complete(owner, sealed.size)?;
            let blob = Blob {
                digest: *digest,
                size: sealed.size,
                proof: *proof,
                created_at: self.clock.now(),
                placement: placement.clone(),
            };
            let push = claimant.push(&before, *digest, blob.created_at);
            let placing_until = self.after(self.limits.lease);
            match self.db.commit_blob(&before, &after, &blob, placing_until, *removal, Some(&push)).await? {
                Committed::Done => return Ok(true),
                Committed::Changed => return Ok(false),
                // By a renewal of our own lease, or by somebody else.
                Committed::Overtaken => before = self.read_again(before.id).await?,
            }
        }
        Err(ServiceError::Contended)
    }
}
