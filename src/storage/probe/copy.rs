//! Whether the store computes a SHA-256 while it copies. It must compute it of the bytes it copies: one that
//! passes on what the uploader told would let a client publish anything under any digest.

use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;

use super::source::Source;
use super::{Answer, CONTENT, Capability, Probe, digest_of};
use crate::domain::part::{PartNumber, ReceivedPart};
use crate::storage::key::Key;
use crate::storage::{Result, StorageError};

impl Probe<'_> {
    pub(super) async fn copies(&self) -> [(Capability, Answer); 4] {
        let (plain, told, parts, part, tiny) = tokio::join!(
            Box::pin(self.copies_of(Source::Plain)),
            Box::pin(self.copies_of(Source::ToldWrong)),
            Box::pin(self.copies_of(Source::Parts)),
            Box::pin(self.copies_of(Source::PartWithChecksum)),
            Box::pin(self.tiny_part_copies()),
        );
        [
            (Capability::CopyComputes, plain.0.and(told.0)),
            (Capability::CopyOfPartsComputes, parts.0.and(part.0)),
            (Capability::GateComputes, plain.1.and(told.1).and(parts.1).and(part.1)),
            (Capability::TinyPartCopies, tiny.into()),
        ]
    }

    /// Whether a copy of it computes, and whether the gate does.
    async fn copies_of(&self, source: Source) -> (Answer, Answer) {
        let key = match self.make(source).await {
            Ok(key) => key,
            Err(error) => {
                let why = Answer::from(error);
                return (why.clone(), why);
            }
        };
        let [copy, gate] = source.copies().map(|name| self.key(name));
        let (copied, gated) = tokio::join!(
            Box::pin(self.copy_computes(source, &key, copy)),
            Box::pin(self.gate_computes(source, &key, gate))
        );
        let gated = match gated {
            // It is not as long as the store tells: damaged, and nothing is published of it.
            Err(StorageError::Precondition) if source == Source::ToldWrong => Ok(Answer::Yes),
            gated => gated,
        };
        (copied.into(), gated.into())
    }

    async fn copy_computes(&self, source: Source, key: &Key, copy: Key) -> Result<Answer> {
        let found = self.store.head(key.clone()).await?;
        self.store.copy(&found.into(), &copy, Some(ChecksumAlgorithm::Sha256)).await?;
        let copied = self.store.head(copy.clone()).await?;
        let (Some(told), true) = (copied.sha256, copied.is_full_object) else {
            return Ok(Answer::No("it tells none of the whole object".to_owned()));
        };
        let held = self.held(source, &copy).await?;
        Ok(Answer::yes_if(told == held, "it tells another than that of the bytes it copied"))
    }

    /// Copies a few bytes as the end of a proxied upload is: into a multipart upload that declares no checksum.
    async fn tiny_part_copies(&self) -> Result<Answer> {
        let [from, to] = ["tiny", "tiny-copy"].map(|name| self.key(name));
        self.store.put(&from, Bytes::from_static(CONTENT)).await?;
        let store_upload_id = self.store.create_multipart_at(&to).await?;
        let joined = async {
            let number = PartNumber::FIRST;
            let etag = self.store.copy_part(&to, &store_upload_id, number, &from, None, None).await?;
            let part = ReceivedPart { number, size: CONTENT.len() as u64, etag };
            self.store.complete_multipart_at(&to, &store_upload_id, &[part]).await?;
            self.store.read_object(&to).await
        };
        let joined = joined.await;
        if joined.is_err() {
            // What cannot be aborted now is swept.
            let _ = self.store.abort_multipart_at(&self.store.path(&to), &store_upload_id).await;
        }
        Ok(Answer::yes_if(digest_of(&joined?) == digest_of(CONTENT), "the copy has other bytes"))
    }

    async fn gate_computes(&self, source: Source, key: &Key, place: Key) -> Result<Answer> {
        let found = self.store.head(key.clone()).await?.into();
        let staged = self.store.stage_at(&found, place.clone()).await?;
        if self.store.head(place.clone()).await.is_ok() {
            self.store.unstage(&staged).await?;
            return Ok(Answer::No("the copy is visible before it is completed".to_owned()));
        }
        self.store.publish(&staged).await?;
        let (told, held) = (staged.sha256(), self.held(source, &place).await?);
        Ok(Answer::yes_if(told == held, "it tells another than that of the bytes it copied"))
    }
}
