//! Memory for bodies that are held whole: manifests, batches, and what clients tell when they finalize.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::{Result, Service, ServiceError};
use crate::db::StoredManifest;
use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::reference::Reference;
use crate::memory::{MemoryBudget, MemoryShare};

/// Bytes of a body that need no memory of the budget: an image of two hundred layers. 480 connections (the default)
/// hold 30 MiB of them.
pub const UNCOUNTED_BODY: usize = 64 * 1024;
/// Larger bodies at once, in bytes: eight of the largest manifest. Each is there up to three times: as it came,
/// parsed, and on its way to the database.
const RECEIVED: usize = 32 * 1024 * 1024;
/// Larger manifests and answers to batches on their way to clients, in bytes.
const SERVED: usize = 32 * 1024 * 1024;
/// For a larger manifest to find memory: those that are read are gone by then, and those that nobody reads keep theirs
/// for longer.
const SERVED_WAIT: Duration = Duration::from_secs(10);
/// Those who did not sign in are one caller, and what is nobody's work is theirs.
pub(super) const NOBODY: &str = "";

#[derive(Debug)]
pub(super) struct BodyMemory {
    received: Arc<MemoryBudget>,
    served: Arc<MemoryBudget>,
}

impl BodyMemory {
    /// Half of each is kept for others, whoever has the rest.
    pub fn new() -> Self {
        Self {
            received: MemoryBudget::new(RECEIVED, RECEIVED / 2),
            served: MemoryBudget::new(SERVED, SERVED / 2),
        }
    }
}

impl Service {
    /// Waits for memory for a body of so many bytes; to be held until it is done with.
    pub async fn memory_for_body(&self, caller: &Caller, size: usize) -> MemoryShare {
        self.bodies.received.take(&name(caller), size).await
    }

    /// Waits for memory for an answer of about so many bytes, to be held until it is sent; none for a small one.
    ///
    /// # Errors
    /// [`ServiceError::TooManyRequests`] where clients that read theirs slowly hold it.
    pub async fn memory_for_answer(&self, caller: &Caller, size: usize) -> Result<Option<MemoryShare>> {
        if size <= UNCOUNTED_BODY {
            return Ok(None);
        }
        let memory = tokio::time::timeout(SERVED_WAIT, self.bodies.served.take(&name(caller), size)).await;
        memory.map(Some).map_err(|_| ServiceError::TooManyRequests {
            what: "large answers on their way to clients",
            retry_after: Duration::from_secs(1),
        })
    }

    /// A manifest with its bytes, and the memory of a large one, to be held until it is sent.
    pub async fn manifest_to_send(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<(StoredManifest, Option<MemoryShare>)> {
        loop {
            let manifest = self.manifest(repository, reference).await?;
            let size = manifest.payload.len();
            if size <= UNCOUNTED_BODY {
                return Ok((manifest, None));
            }
            if let Some(memory) = self.bodies.served.take(&name(caller), size).now_or_never() {
                return Ok((manifest, Some(memory)));
            }
            // Not while waiting: as many manifests as there are requests would be held.
            drop(manifest);
            let memory = self.memory_for_answer(caller, size).await?;
            let manifest = self.manifest(repository, reference).await?;
            // A tag may have moved on to a larger one.
            if manifest.payload.len() <= size {
                return Ok((manifest, memory));
            }
        }
    }
}

fn name(caller: &Caller) -> Arc<str> {
    caller.name().unwrap_or(NOBODY).into()
}
