//! Bytes that come through this server, in chunks of any size.

use std::sync::Arc;

use bytes::Bytes;
use overside::domain::digest::Algorithm;
use overside::domain::hash::Hasher;
use overside::domain::part::{MIN_PART_SIZE, ReceivedPart};
use overside::domain::upload::{Proxied, Transfer, UploadId};
use overside::storage::{Appended, Storage, StorageError, TempKind};
use uuid::Uuid;

use super::{CUT, Case, MIB, content, digest_of, download, place, read, temporary_of};

pub fn cases() -> Vec<Case> {
    super::suite![
        appends_of_odd_sizes_make_one_blob,
        one_long_append_makes_one_blob,
        whole_parts_without_a_tail_make_one_blob,
        what_is_spilled_on_the_way_comes_together_again,
        an_append_that_is_dropped_leaves_the_old_offset,
        an_empty_append_makes_an_empty_blob,
        an_append_to_bytes_that_are_gone_is_refused,
        what_was_appended_is_sealed_again_after_a_crash,
    ]
}

/// A proxied upload, and what the database would know of it.
pub(super) struct Chunked {
    upload: UploadId,
    pub(super) stored: Proxied,
    parts: Vec<ReceivedPart>,
    hasher: Hasher,
}

impl Chunked {
    pub(super) fn new() -> Self {
        let hasher = Hasher::default();
        let stored = Proxied {
            received: 0,
            hash_state: hasher.save(),
            part_size: MIN_PART_SIZE,
            store_upload_id: None,
            tail_id: None,
        };
        Self { upload: UploadId::generate(), stored, parts: Vec::new(), hasher }
    }

    async fn append(&mut self, storage: &Storage, bytes: &Bytes) {
        let mut appender = storage
            .append(self.upload, &self.stored, Uuid::new_v4(), "ann")
            .await
            .expect("the upload can be appended to");
        for piece in bytes.chunks(CUT) {
            appender.write(bytes.slice_ref(piece)).await.expect("the bytes are taken");
        }
        let left = appender.finish().await.expect("the append can be finished");
        self.count(bytes, left);
    }

    /// What the database would know after an append of these bytes.
    fn count(&mut self, bytes: &Bytes, left: Appended) {
        self.hasher.update(bytes);
        self.stored = Proxied {
            received: self.stored.received + bytes.len() as u64,
            hash_state: self.hasher.save(),
            part_size: self.stored.part_size,
            store_upload_id: left.store_upload_id,
            tail_id: left.tail_id,
        };
        self.parts.extend(left.parts);
    }

    /// Sends bytes and goes away before it was told that they are safe.
    async fn append_and_vanish(&self, storage: &Storage, bytes: &Bytes) {
        let mut appender = storage
            .append(self.upload, &self.stored, Uuid::new_v4(), "ann")
            .await
            .expect("the upload can be appended to");
        appender.write(bytes.clone()).await.expect("the bytes are taken");
    }

    async fn becomes(&self, storage: &Storage, bytes: &Bytes) {
        let digest = digest_of(bytes);
        assert_eq!(self.hasher.clone().finish(), digest);
        storage.assemble_proxied(self.upload, &self.stored, &self.parts).await.expect("it can be assembled");
        let transfer = Transfer::Proxied(self.stored.clone());
        let sealed =
            storage.seal(self.upload, &transfer, Algorithm::Sha256, false).await.expect("it can be sealed");
        assert_eq!(sealed.size, bytes.len() as u64);
        assert!(read(storage, &sealed).await.expect("it can be read") == *bytes);
        place(storage, &sealed, &digest).await.expect("it can be placed");
        assert!(download(storage, &digest, None).await == *bytes);
    }
}

async fn appends_of_odd_sizes_make_one_blob(storage: Arc<Storage>) {
    let sizes = [1, MIN_PART_SIZE + 1, 0, 7, 3 * MIB, 2 * MIN_PART_SIZE - 1, MIB - 1];
    let bytes = content(40, sizes.iter().sum());
    let (mut chunked, mut rest) = (Chunked::new(), bytes.clone());
    for size in sizes {
        let chunk = rest.split_to(usize::try_from(size).expect("a size that fits in memory"));
        chunked.append(&storage, &chunk).await;
    }
    chunked.becomes(&storage, &bytes).await;
}

async fn one_long_append_makes_one_blob(storage: Arc<Storage>) {
    let bytes = content(41, 17 * MIB);
    let mut chunked = Chunked::new();
    chunked.append(&storage, &bytes).await;
    chunked.becomes(&storage, &bytes).await;
}

async fn whole_parts_without_a_tail_make_one_blob(storage: Arc<Storage>) {
    let bytes = content(42, 2 * MIN_PART_SIZE);
    let half = bytes.len() / 2;
    let mut chunked = Chunked::new();
    chunked.append(&storage, &bytes.slice(..half)).await;
    chunked.append(&storage, &bytes.slice(half..)).await;
    chunked.becomes(&storage, &bytes).await;
}

async fn what_is_spilled_on_the_way_comes_together_again(storage: Arc<Storage>) {
    let bytes = content(49, 3 * MIN_PART_SIZE + MIB);
    let mut chunked = Chunked::new();
    let head = bytes.len() / 8;
    chunked.append(&storage, &bytes.slice(..head)).await;
    let mut appender =
        storage.append(chunked.upload, &chunked.stored, Uuid::new_v4(), "ann").await.expect("it is there");
    let part = usize::try_from(MIN_PART_SIZE).expect("a size that fits in memory");
    // Also so close to the end of a part that its rest never asks for room, and twice within one.
    let mut at = head;
    for end in [part - 30_000, part + 1_000_000, part + 2_500_000, 2 * part + 1, bytes.len()] {
        for piece in bytes[at..end].chunks(CUT) {
            appender.ready().await.expect("there is room");
            appender.write(bytes.slice_ref(piece)).await.expect("the bytes are taken");
        }
        at = end;
        if end < bytes.len() {
            appender.spill().await.expect("the store takes it");
        }
    }
    let left = appender.finish().await.expect("the append can be finished");
    chunked.count(&bytes.slice(head..), left);
    chunked.becomes(&storage, &bytes).await;
    if matches!(*storage, Storage::S3(_)) {
        let tails = temporary_of(&storage, chunked.upload).await;
        let tails = tails
            .iter()
            .filter(|entry| matches!(&entry.kind, TempKind::Object { key } if key.contains("/tail-")));
        // The database would have the first one removed.
        assert_eq!(tails.count(), 2, "the first append's and the second's, and nothing of what was spilled");
    }
}

async fn an_append_that_is_dropped_leaves_the_old_offset(storage: Arc<Storage>) {
    let bytes = content(43, MIN_PART_SIZE + 3 * MIB);
    let cut = bytes.len() - 2_500_000;
    let mut chunked = Chunked::new();
    chunked.append_and_vanish(&storage, &content(44, 2 * MIN_PART_SIZE)).await;
    chunked.append(&storage, &bytes.slice(..cut)).await;
    chunked.append_and_vanish(&storage, &content(45, 2 * MIN_PART_SIZE)).await;
    chunked.append(&storage, &bytes.slice(cut..)).await;
    chunked.append_and_vanish(&storage, &content(46, 10)).await;
    chunked.becomes(&storage, &bytes).await;
}

async fn an_empty_append_makes_an_empty_blob(storage: Arc<Storage>) {
    let mut chunked = Chunked::new();
    chunked.append(&storage, &Bytes::new()).await;
    chunked.becomes(&storage, &Bytes::new()).await;
}

async fn an_append_to_bytes_that_are_gone_is_refused(storage: Arc<Storage>) {
    let mut chunked = Chunked::new();
    chunked.append(&storage, &content(47, 1000)).await;
    storage.discard(chunked.upload).await.expect("it can be discarded");
    let appended = storage.append(chunked.upload, &chunked.stored, Uuid::new_v4(), "ann").await;
    assert!(matches!(appended, Err(StorageError::NotFound | StorageError::UploadNotFound)), "{appended:?}");
    let sealed =
        storage.seal(chunked.upload, &Transfer::Proxied(chunked.stored), Algorithm::Sha256, false).await;
    assert!(matches!(sealed, Err(StorageError::NotFound)), "{sealed:?}");
}

async fn what_was_appended_is_sealed_again_after_a_crash(storage: Arc<Storage>) {
    let bytes = content(48, MIN_PART_SIZE + 1);
    let mut chunked = Chunked::new();
    chunked.append(&storage, &bytes).await;
    chunked.becomes(&storage, &bytes).await;
    chunked.becomes(&storage, &bytes).await;
}
