//! What copies are made of: objects with and without a checksum that their uploader told.

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;

use super::{CONTENT, OTHER, Probe, digest_of};
use crate::domain::digest::Digest;
use crate::domain::hash::Hasher;
use crate::domain::part::{MIN_PART_SIZE, PartNumber, ReceivedPart};
use crate::storage::key::Key;
use crate::storage::s3::classify;
use crate::storage::{Result, StorageError};

/// The least that a store takes as a part before others. Zeros, which need no memory.
static FIRST_PART: [u8; 5 * 1024 * 1024] = [0; 5 * 1024 * 1024];
const _: () = assert!(FIRST_PART.len() as u64 == MIN_PART_SIZE, "a first part has the least size of one");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// As most clients upload.
    Plain,
    /// What a store holds that was told the checksum of other bytes: those other bytes, if it takes the wrong
    /// checksum. Else what is left of the right ones, where it damages what it refuses to overwrite.
    ToldWrong,
    /// Two parts, the first of the least size that a store takes, the second tiny.
    Parts,
    /// One tiny part whose uploader told its checksum, so that the object has one of its own: of a checksum.
    PartWithChecksum,
}

impl Source {
    /// Where a copy of it goes, and what is staged of it.
    pub(super) const fn copies(self) -> [&'static str; 2] {
        match self {
            Self::Plain => ["plain-copy", "plain-gate"],
            Self::ToldWrong => ["told-copy", "told-gate"],
            Self::Parts => ["parts-copy", "parts-gate"],
            Self::PartWithChecksum => ["part-copy", "part-gate"],
        }
    }
}

impl Probe<'_> {
    pub(super) async fn make(&self, source: Source) -> Result<Key> {
        match source {
            Source::Plain => {
                let key = self.key("plain");
                self.store.put(&key, Bytes::from_static(CONTENT)).await?;
                Ok(key)
            }
            Source::ToldWrong => self.told_wrong().await,
            Source::Parts => {
                let parts = vec![Bytes::from_static(&FIRST_PART), Bytes::from_static(CONTENT)];
                self.of_parts("parts", parts, false).await
            }
            Source::PartWithChecksum => self.of_parts("part", vec![Bytes::from_static(CONTENT)], true).await,
        }
    }

    /// What a copy of it holds. The large one is not read: its bytes are ours, and told by nobody else.
    pub(super) async fn held(&self, source: Source, copy: &Key) -> Result<Digest> {
        if source != Source::Parts {
            return Ok(digest_of(&self.store.read_object(copy).await?));
        }
        let mut hasher = Hasher::default();
        hasher.update(&FIRST_PART);
        hasher.update(CONTENT);
        Ok(hasher.finish())
    }

    async fn told_wrong(&self) -> Result<Key> {
        let (key, digest) = (self.key("told"), digest_of(CONTENT));
        self.takes(&key, CONTENT, &digest).await?;
        if !self.takes(&key, OTHER, &digest).await? {
            return Ok(key);
        }
        // Without an older object whose checksum could still be there.
        let key = self.key("told-new");
        self.takes(&key, OTHER, &digest).await?;
        Ok(key)
    }

    pub(super) async fn of_parts(&self, name: &'static str, contents: Vec<Bytes>, told: bool) -> Result<Key> {
        let key = self.key(name);
        let store_upload_id = self.store.create_multipart_at(&key).await?;
        let made = self.complete_of(&key, &store_upload_id, contents, told).await;
        if made.is_err() {
            // What cannot be aborted now is swept.
            let _ = self.store.abort_multipart_at(&self.store.path(&key), &store_upload_id).await;
        }
        made.map(|()| key)
    }

    async fn complete_of(
        &self,
        key: &Key,
        store_upload_id: &str,
        contents: Vec<Bytes>,
        told: bool,
    ) -> Result<()> {
        let (mut received, mut number) = (Vec::with_capacity(contents.len()), PartNumber::FIRST);
        for content in contents {
            let (size, checksum) = (content.len() as u64, told.then(|| digest_of(&content)));
            let part = self.put_part(key, store_upload_id, number, content, checksum).await?;
            received.push(ReceivedPart { number, size, etag: part.e_tag.unwrap_or_default() });
            number = number.next().unwrap_or(number);
        }
        self.store.complete_multipart_at(key, store_upload_id, &received).await
    }

    /// Sends a part, as it is completed.
    pub(super) async fn put_part(
        &self,
        key: &Key,
        store_upload_id: &str,
        number: PartNumber,
        content: Bytes,
        checksum: Option<Digest>,
    ) -> Result<CompletedPart> {
        let (client, number) = (self.store.client(), i32::from(number.get()));
        let sent = client
            .upload_part()
            .bucket(&self.store.settings().bucket)
            .key(self.store.path(key))
            .upload_id(store_upload_id)
            .part_number(number)
            .set_checksum_sha256(checksum.as_ref().and_then(Digest::to_base64))
            .body(content.into())
            .send()
            .await
            .map_err(classify("take a part"))?;
        let etag = sent.e_tag.ok_or_else(|| StorageError::refused("name a part")("no ETag"))?;
        Ok(CompletedPart::builder().part_number(number).e_tag(etag).build())
    }
}
