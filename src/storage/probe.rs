//! What a bucket is seen to do, found out with tiny objects; never assumed from a vendor's name.
//!
//! Questions are asked side by side, each at keys of its own. One that the store refuses, or fails to answer, is
//! answered with no, and with the reason. Only a bucket that cannot be written and read at all is an error.

mod access;
mod capability;
mod checksum;
mod condition;
mod content_hash;
mod copy;
mod source;
mod way;

use bytes::Bytes;
use tokio::join;

use super::key::Key;
use super::{Result, S3, StorageError, key};
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::upload::UploadId;

pub use capability::{Answer, Capabilities, Capability};
pub use way::{UploadKind, Way};

/// Raised whenever what is asked changes, or how: what an older probe saw then counts no more.
pub const PROBE_VERSION: i64 = 2;

const CONTENT: &[u8] = b"overside probes this bucket";
/// Of the same length: what is refused must be refused for its content.
const OTHER: &[u8] = b"overside probes THIS bucket";

/// One probe under way.
#[derive(Debug)]
struct Probe<'a> {
    store: &'a S3,
    /// Everything it writes lies below this upload's prefix, which no session knows: what a probe that is
    /// killed leaves is swept.
    run: UploadId,
}

impl S3 {
    /// Probes the bucket and removes what that needed.
    pub async fn probe(&self) -> Result<Capabilities> {
        let probe = Probe { store: self, run: UploadId::generate() };
        let probed = match probe.is_usable().await {
            Ok(()) => Ok(probe.ask().await),
            Err(error) => Err(error),
        };
        let discarded = self.discard(probe.run).await;
        let capabilities = probed?;
        discarded?;
        Ok(capabilities)
    }
}

impl Probe<'_> {
    /// What no upload can do without.
    async fn is_usable(&self) -> Result<()> {
        let key = self.key("usable");
        self.store.put(&key, Bytes::from_static(CONTENT)).await?;
        if self.store.read_object(&key).await? == CONTENT {
            return Ok(());
        }
        Err(StorageError::refused("give back what was written")("it gives other bytes"))
    }

    async fn ask(&self) -> Capabilities {
        // Boxed: a dozen requests side by side would be more than a thread's stack holds.
        let (checksums, copying, access, puts, copies, completes, content_hash) = join!(
            Box::pin(self.checksums()),
            Box::pin(self.copies()),
            Box::pin(self.access()),
            Box::pin(self.conditional_put()),
            Box::pin(self.conditional_copy()),
            Box::pin(self.conditional_complete()),
            Box::pin(self.content_hash()),
        );
        let answers = [&checksums[..], &copying, &access, &puts, &copies, &completes, &content_hash].concat();
        Capabilities::new(answers)
    }

    fn key(&self, name: &'static str) -> Key {
        key::probe(self.run, name)
    }
}

fn digest_of(content: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(content);
    hasher.finish()
}
