//! Whether a signed checksum binds the body, by presigned requests, as clients write: a store may check those
//! differently.

use super::{Answer, CONTENT, Capability, OTHER, Probe, digest_of};
use crate::domain::digest::Digest;
use crate::storage::key::Key;
use crate::storage::{Result, StorageError};

impl Probe<'_> {
    pub(super) async fn checksums(&self) -> [(Capability, Answer); 2] {
        let (new, overwritten) = tokio::join!(self.refuses_new(), self.refuses_overwriting());
        let (overwriting, harmless) = overwritten.unwrap_or_else(|error| {
            let why = Answer::from(error);
            (why.clone(), why)
        });
        [
            (Capability::ChecksumEnforced, Answer::from(new).and(overwriting)),
            (Capability::RefusalHarmless, harmless),
        ]
    }

    async fn refuses_new(&self) -> Result<Answer> {
        let key = self.key("new");
        if self.takes(&key, CONTENT, &Digest::EMPTY).await? {
            return Ok(Answer::No("a body of another checksum is taken".to_owned()));
        }
        match self.store.head(key).await {
            Err(StorageError::NotFound) => Ok(Answer::Yes),
            Ok(_) => Ok(Answer::No("a refused body is stored".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Whether an overwriting body of another checksum is refused, and whether that leaves the object alone:
    /// LocalStack 4.13 empties it, and goes on reporting its old length, ETag and checksum.
    async fn refuses_overwriting(&self) -> Result<(Answer, Answer)> {
        let (key, digest) = (self.key("old"), digest_of(CONTENT));
        if !self.takes(&key, CONTENT, &digest).await? {
            let why = Answer::No("the right checksum is refused".to_owned());
            return Ok((why.clone(), why));
        }
        let reported = self.store.head(key.clone()).await?.sha256 == Some(digest);
        let reported = Answer::yes_if(reported, "the checksum is not told afterwards");
        if self.takes(&key, OTHER, &digest).await? {
            let why = Answer::No("a body of another checksum overwrites".to_owned());
            return Ok((why.clone(), why));
        }
        let unharmed = self.store.read_object(&key).await.is_ok_and(|bytes| bytes == CONTENT);
        Ok((reported, Answer::yes_if(unharmed, "the object is damaged")))
    }

    /// Whether the store takes these bytes under this checksum. Stores name the refusal differently, but all
    /// blame the client for it; an outage is neither.
    pub(super) async fn takes(&self, key: &Key, content: &'static [u8], digest: &Digest) -> Result<bool> {
        let status = self.store.send_presigned(key, content, digest).await?;
        if status.is_success() || status.is_client_error() {
            return Ok(status.is_success());
        }
        Err(StorageError::unavailable("take a presigned request")(format!("it answered {status}")))
    }
}
