//! Who wants an upload finalized, and who writes down that it was.

use super::super::Service;
use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::upload::Upload;

#[derive(Debug, Clone)]
pub(super) enum Claimant {
    /// Waits for the outcome, and writes it down.
    Client,
    /// Does not wait: the outcome is written down where it is decided.
    Absent(Caller),
    /// Takes over for one that died. No sign of life: what can never succeed must expire.
    Cleaner,
}

impl Service {
    /// The push is in the audit log, whoever claimed it: of what was taken over it says who had begun it, be they waiting
    /// or gone.
    pub(super) async fn record_finalized(&self, claimant: Claimant, upload: &Upload, digest: &Digest) {
        let (name, address) = match &claimant {
            Claimant::Client => return,
            Claimant::Absent(caller) => (caller.name(), caller.address),
            Claimant::Cleaner => (upload.user_id.as_deref(), None),
        };
        self.record_push(name.unwrap_or_default(), address, &upload.repository, digest).await;
    }
}
