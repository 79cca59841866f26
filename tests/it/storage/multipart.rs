//! Signed parts, in any order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overside::domain::digest::Algorithm;
use overside::domain::part::{MIN_PART_SIZE, Part, PartPlan, ReceivedPart};
use overside::domain::upload::UploadId;
use overside::storage::{Storage, StorageError};

use super::{Case, Signed, content, digest_of, download, place, read, send_parts, slice, transfer};

/// Two whole parts and a short one: the least that shows order and the exception at the end.
const SIZE: u64 = 2 * MIN_PART_SIZE + 123_457;

pub fn cases() -> Vec<Case> {
    super::suite![
        parts_arrive_in_any_order_and_are_listed_in_theirs,
        a_part_sent_again_replaces_the_first,
        a_part_of_another_length_is_refused_and_not_listed,
        a_wrong_etag_is_refused_and_the_upload_can_still_be_completed,
        a_part_that_is_missing_cannot_be_completed,
        completing_twice_leaves_one_object,
        parts_sent_after_completion_change_nothing,
        a_second_begin_that_is_aborted_harms_nothing,
    ]
}

struct Begun {
    upload: UploadId,
    id: String,
    plan: PartPlan,
    parts: Vec<Part>,
    bytes: Bytes,
}

async fn begin(storage: &Storage, seed: u64) -> Begun {
    let (upload, plan) = (UploadId::generate(), PartPlan::new(SIZE, MIN_PART_SIZE).expect("a plan"));
    let id = storage.create_multipart(upload).await.expect("a multipart upload can be begun");
    Begun { upload, id, plan, parts: plan.parts().collect(), bytes: content(seed, SIZE) }
}

impl Begun {
    async fn send_all(&self, storage: &Storage) -> Vec<ReceivedPart> {
        send_parts(storage, self.upload, &self.id, self.parts.iter().copied(), &self.bytes).await
    }

    /// Seals it and compares.
    async fn holds_its_bytes(&self, storage: &Storage) {
        let sealed = storage
            .seal(self.upload, &transfer(self.plan, &self.id), Algorithm::Sha256, false)
            .await
            .expect("it can be sealed");
        assert_eq!(sealed.size, SIZE);
        // A hash of the parts' hashes would be no digest of the blob.
        assert!(sealed.digest().is_none_or(|digest| digest == digest_of(&self.bytes)));
        assert!(read(storage, &sealed).await.expect("it can be read") == self.bytes);
    }
}

async fn parts_arrive_in_any_order_and_are_listed_in_theirs(storage: Arc<Storage>) {
    let begun = begin(&storage, 20).await;
    let Begun { upload, id, parts, bytes, .. } = &begun;
    assert_eq!(storage.list_parts(*upload, id).await.expect("a list"), []);
    let backwards = [2, 0, 1].map(|index: usize| parts[index]);
    let sent = send_parts(&storage, *upload, id, backwards, bytes).await;
    let listed = storage.list_parts(*upload, id).await.expect("a list");
    assert_eq!(listed, sent);
    storage.complete_multipart(*upload, id, &listed).await.expect("it can be completed");
    let listed = storage.list_parts(*upload, id).await;
    assert!(matches!(listed, Err(StorageError::UploadNotFound)), "{listed:?}");
    begun.holds_its_bytes(&storage).await;
    let digest = digest_of(bytes);
    let sealed = storage
        .seal(*upload, &transfer(begun.plan, id), Algorithm::Sha256, false)
        .await
        .expect("it can be sealed again");
    place(&storage, &sealed, &digest).await.expect("it can be placed");
    assert!(download(&storage, &digest, None).await == *bytes);
}

async fn a_part_sent_again_replaces_the_first(storage: Arc<Storage>) {
    let begun = begin(&storage, 21).await;
    let Begun { upload, id, parts, .. } = &begun;
    let wrong = send_parts(&storage, *upload, id, [parts[1]], &content(22, SIZE)).await;
    if matches!(*storage, Storage::S3(_)) {
        // SeaweedFS lists both and dates them by the second: only then can be told which of them is newer.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let sent = begun.send_all(&storage).await;
    assert_ne!(sent[1].etag, wrong[0].etag);
    assert_eq!(storage.list_parts(*upload, id).await.expect("a list"), sent);
    storage.complete_multipart(*upload, id, &sent).await.expect("it can be completed");
    begun.holds_its_bytes(&storage).await;
}

async fn a_part_of_another_length_is_refused_and_not_listed(storage: Arc<Storage>) {
    let begun = begin(&storage, 23).await;
    let Begun { upload, id, parts, .. } = &begun;
    let last = parts[2];
    let signed = Signed::part(&storage, *upload, id, last).await;
    for length in [last.size - 1, last.size + 1] {
        signed.send(&storage, &content(24, length)).await.expect_err("another length is refused");
    }
    assert_eq!(storage.list_parts(*upload, id).await.expect("a list"), []);
    let sent = begun.send_all(&storage).await;
    storage.complete_multipart(*upload, id, &sent).await.expect("it can be completed");
    begun.holds_its_bytes(&storage).await;
}

async fn a_wrong_etag_is_refused_and_the_upload_can_still_be_completed(storage: Arc<Storage>) {
    let begun = begin(&storage, 25).await;
    let Begun { upload, id, .. } = &begun;
    let sent = begun.send_all(&storage).await;
    let mut wrong = sent.clone();
    wrong[1].etag = format!("\"{}\"", "0".repeat(32));
    let completed = storage.complete_multipart(*upload, id, &wrong).await;
    assert!(matches!(completed, Err(StorageError::InvalidPart(_))), "{completed:?}");
    storage.complete_multipart(*upload, id, &sent).await.expect("it can still be completed");
    begun.holds_its_bytes(&storage).await;
}

async fn a_part_that_is_missing_cannot_be_completed(storage: Arc<Storage>) {
    let begun = begin(&storage, 26).await;
    let Begun { upload, id, parts, bytes, .. } = &begun;
    let mut sent = send_parts(&storage, *upload, id, [parts[0], parts[2]], bytes).await;
    let missing = ReceivedPart { number: parts[1].number, size: parts[1].size, etag: sent[0].etag.clone() };
    sent.insert(1, missing);
    let completed = storage.complete_multipart(*upload, id, &sent).await;
    assert!(matches!(completed, Err(StorageError::InvalidPart(_))), "{completed:?}");
    let sealed = storage.seal(*upload, &transfer(begun.plan, id), Algorithm::Sha256, false).await;
    assert!(matches!(sealed, Err(StorageError::NotFound)), "{sealed:?}");
    let sent = begun.send_all(&storage).await;
    storage.complete_multipart(*upload, id, &sent).await.expect("it can be completed once it is there");
    begun.holds_its_bytes(&storage).await;
}

async fn completing_twice_leaves_one_object(storage: Arc<Storage>) {
    let begun = begin(&storage, 27).await;
    let sent = begun.send_all(&storage).await;
    for _ in 0..2 {
        match storage.complete_multipart(begun.upload, &begun.id, &sent).await {
            // The caller seals and finds out whether it was completed or aborted.
            Ok(()) | Err(StorageError::UploadNotFound) => {}
            Err(error) => panic!("{error:?}"),
        }
        begun.holds_its_bytes(&storage).await;
    }
}

async fn parts_sent_after_completion_change_nothing(storage: Arc<Storage>) {
    let begun = begin(&storage, 28).await;
    let Begun { upload, id, parts, .. } = &begun;
    let replay = Signed::part(&storage, *upload, id, parts[0]).await;
    let sent = begun.send_all(&storage).await;
    storage.complete_multipart(*upload, id, &sent).await.expect("it can be completed");
    replay.send(&storage, &slice(&content(29, SIZE), parts[0])).await.expect_err("a late part is refused");
    begun.holds_its_bytes(&storage).await;
}

async fn a_second_begin_that_is_aborted_harms_nothing(storage: Arc<Storage>) {
    let begun = begin(&storage, 30).await;
    let Begun { upload, id, .. } = &begun;
    let sent = begun.send_all(&storage).await;
    let loser = storage.create_multipart(*upload).await.expect("another can be begun");
    assert_ne!(loser, *id);
    for _ in 0..2 {
        storage.abort_multipart(*upload, &loser).await.expect("it can be aborted, and again");
    }
    assert_eq!(storage.list_parts(*upload, id).await.expect("a list"), sent);
    storage.complete_multipart(*upload, id, &sent).await.expect("it can be completed");
    begun.holds_its_bytes(&storage).await;
}
