//! What a bucket is seen to do, found out with tiny objects; never assumed from a vendor's name.
//!
//! Questions are asked side by side, each at keys of its own. One that the store refuses, or fails to answer, is
//! answered with no, and with the reason. Only a bucket that cannot be written and read at all is an error.

mod access;
mod archive;
mod checksum;
mod content_hash;
mod copy;
mod headers;
mod source;
mod upload_key;
mod urls;

use bytes::Bytes;
use tokio::join;

use urls::Holder;

use super::capability::{Answer, Capabilities, Capability, UrlGuards};
use super::key::Key;
use super::{Result, S3, StorageError, key};
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::upload::UploadId;

/// Raised whenever what is asked changes, or how: what an older probe saw then counts no more.
pub const PROBE_VERSION: i64 = 6;

/// For errors: what a store refused that Overside cannot do without.
const MULTIPART: &str =
    "take an upload in parts, which no blob above 5 GiB and no push of a stock client goes without";

const CONTENT: &[u8] = b"overside probes this bucket";
/// Of the same length: what is refused must be refused for its content.
const OTHER: &[u8] = b"overside probes THIS bucket";

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// What a proof or a URL rests on.
    Needed,
    /// And what tells an operator that a store is not fit.
    Everything,
}

/// One probe under way.
#[derive(Debug)]
struct Probe<'a> {
    store: &'a S3,
    /// Everything it writes lies below this upload's prefix, which no session knows: what a probe that is
    /// killed leaves is swept.
    run: UploadId,
}

impl S3 {
    /// Asks the bucket what the service rests on, and removes what that needed.
    ///
    /// # Errors
    ///
    /// `Refused`, `Unavailable`: the bucket takes and gives no object at all, so nothing
    /// was learned.
    pub async fn probe(&self) -> Result<Capabilities> {
        self.probe_to(Depth::Needed).await
    }

    /// Asks the bucket all there is to ask, for whoever looks at the answers.
    ///
    /// # Errors
    ///
    /// As [`Self::probe`].
    pub async fn probe_everything(&self) -> Result<Capabilities> {
        self.probe_to(Depth::Everything).await
    }

    async fn probe_to(&self, depth: Depth) -> Result<Capabilities> {
        let probe = Probe { store: self, run: UploadId::generate() };
        let probed = match probe.is_usable().await {
            Ok(()) => Ok(probe.ask(depth).await),
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
        if self.store.read_object(&key).await? != CONTENT {
            return Err(StorageError::refused("give back what was written")("it gives other bytes"));
        }
        match self.of_parts("usable-parts", vec![Bytes::from_static(CONTENT)], false).await {
            Ok(key) if self.store.read_object(&key).await? == CONTENT => Ok(()),
            Ok(_) => Err(StorageError::refused(MULTIPART)("it gives other bytes than the part's")),
            Err(error @ (StorageError::Unavailable { .. } | StorageError::Busy(_))) => Err(error),
            Err(error) => Err(StorageError::refused(MULTIPART)(error)),
        }
    }

    async fn ask(&self, depth: Depth) -> Capabilities {
        // Boxed: a dozen requests side by side would be more than a thread's stack holds.
        let (urls, checksums, copying, access) = join!(
            Box::pin(self.urls()),
            Box::pin(self.checksums()),
            Box::pin(self.copies()),
            Box::pin(async {
                match depth {
                    Depth::Needed => Vec::new(),
                    Depth::Everything => self.access().await.into(),
                }
            }),
        );
        Capabilities::new([&urls[..], &checksums, &copying, &access].concat())
    }

    /// What clients' URLs permit.
    async fn urls(&self) -> Vec<(Capability, Answer)> {
        let mut answers = Vec::new();
        if let Some(key) = self.store.upload_key() {
            let asked = async {
                let signer = self.store.probing_signer(true).await?;
                self.upload_key_restricted(&signer, key).await
            };
            answers.push((Capability::UploadKeyRestricted, asked.await.into()));
        }
        // What a key that may do more is not seen to be able to do is no comfort.
        let is_restricted = answers.iter().any(|(_, answer)| *answer == Answer::Yes);
        let holder = async { Holder::new(self.store.probing_signer(is_restricted).await?) };
        match holder.await {
            Ok(holder) => answers.extend(self.client_urls(&holder).await),
            Err(error) => {
                let why = Answer::from(error);
                answers.extend(Capability::FOR_URLS.map(|capability| (capability, why.clone())));
            }
        }
        answers
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
