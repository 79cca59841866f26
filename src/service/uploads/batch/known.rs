//! What is known of a batch before anything is begun: what the repository has, what it may be given, and what an earlier
//! batch has begun.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::{OPEN_OF_EACH, WantedBlob};
use crate::db::Link;
use crate::domain::access::Caller;
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::blob::Placement;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{BatchDoor, State, Upload};
use crate::service::uploads::lease::POLL_INTERVAL;
use crate::service::uploads::settle::{LONGEST_POLL, PATIENCE_FOR_PROOF};
use crate::service::{Result, Service, ServiceError};

/// Blobs of a batch that the repository has, and open sessions of those that it lacks.
pub(super) struct Known {
    links: HashMap<Digest, Link>,
    pub open: Vec<Upload>,
}

impl Known {
    /// Of a blob that the repository has, and whose bytes can be read.
    pub fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.links.get(digest).filter(|link| is_readable(link)).map(|link| link.blob.size)
    }
}

impl Service {
    /// Waits for what is just being proven or put in its place: else its client would send it a second time.
    pub(super) async fn known_of_batch(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        wanted: &[WantedBlob],
        door: BatchDoor,
    ) -> Result<Known> {
        let digests: Vec<Digest> = wanted.iter().map(|blob| blob.digest).collect();
        let most = u32::try_from(digests.len()).unwrap_or(u32::MAX).saturating_mul(OPEN_OF_EACH);
        let (deadline, mut pause) = (Instant::now() + PATIENCE_FOR_PROOF, POLL_INTERVAL);
        loop {
            let links = self.db.find_links(repository, &digests).await?;
            let is_exposed = links.iter().any(|link| matches!(link.blob.placement, Placement::Exposed(_)));
            let links: HashMap<_, _> = links.into_iter().map(|link| (link.blob.digest, link)).collect();
            let is_absent = |digest: &&Digest| !links.get(*digest).is_some_and(is_readable);
            let absent: Vec<_> = digests.iter().filter(is_absent).copied().collect();
            let open = self.db.batched_uploads(repository, caller.name(), &absent, door, most).await?;
            let is_proving = open.iter().any(|upload| matches!(upload.state, State::Finalizing { .. }));
            if !is_exposed && !is_proving {
                return Ok(Known { links, open });
            }
            if is_exposed {
                // Perhaps of a replica that died.
                self.go_on_behind();
            }
            if Instant::now() >= deadline {
                return Err(ServiceError::Busy("what was sent before is still being proven".to_owned()));
            }
            if self.handover.is_cancelled() {
                return Err(ServiceError::Stopping);
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_POLL.min(pause * 2);
        }
    }

    /// Links what the repository lacks and the caller may read elsewhere, and keeps what it has and no manifest needs any
    /// more, or none shall be needed for from now on. The sizes of what was linked.
    pub(super) async fn link_batch(
        self: &Arc<Self>,
        caller: &Caller,
        repository: &RepositoryName,
        wanted: &[WantedBlob],
        door: BatchDoor,
        known: &mut Known,
    ) -> Result<HashMap<Digest, u64>> {
        let absent: Vec<Digest> =
            wanted.iter().map(|blob| blob.digest).filter(|digest| known.size_of(digest).is_none()).collect();
        let keeps = door == BatchDoor::KEEPING;
        let is_unneeded = |link: &&Link| link.is_unreferenced || (keeps && !link.is_kept);
        let unneeded = known.links.values().filter(|link| is_readable(link)).filter(is_unneeded);
        let unneeded: Vec<Digest> = unneeded.map(|link| link.blob.digest).collect();
        let elsewhere: Vec<Digest> = if absent.is_empty() {
            Vec::new()
        } else {
            self.readable_sources(caller, &absent).await?.into_keys().collect()
        };
        if unneeded.is_empty() && elsewhere.is_empty() {
            return Ok(HashMap::new());
        }
        let both = [unneeded.clone(), elsewhere.clone()].concat();
        let linking =
            Arc::clone(self).link_recorded(caller.clone(), repository.clone(), both, elsewhere, keeps);
        // What is linked is written to the audit log, whoever hangs up.
        let linked = self.outlive(linking).await??;
        // What the collector was faster with has left the repository.
        for gone in unneeded.iter().filter(|digest| !linked.contains_key(digest)) {
            known.links.remove(gone);
        }
        Ok(linked)
    }

    async fn link_recorded(
        self: Arc<Self>,
        caller: Caller,
        repository: RepositoryName,
        digests: Vec<Digest>,
        elsewhere: Vec<Digest>,
        keeps: bool,
    ) -> Result<HashMap<Digest, u64>> {
        let linked = self.db.link_blobs(&repository, &digests, keeps, self.clock.now()).await?;
        let mounted: HashSet<_> =
            elsewhere.into_iter().filter(|digest| linked.contains_key(digest)).collect();
        let action = |digest: Digest| AuditedAction {
            operation: Operation::Mount,
            resource_type: ResourceType::Blob,
            resource: format!("{repository}@{digest}"),
            project: Some(repository.project()),
        };
        self.record_all(&caller, mounted.into_iter().map(action).collect()).await;
        Ok(linked)
    }
}

const fn is_readable(link: &Link) -> bool {
    link.blob.placement.is_readable()
}
