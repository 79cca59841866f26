//! Proof by the store itself: what was seen of the bucket, and copies that compute a digest.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use overside::domain::blob::Proof;
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::part::{MIN_PART_SIZE, PartPlan};
use overside::domain::upload::{Transfer, UploadId};
use overside::storage::capability::{Capabilities, Capability};
use overside::storage::{
    Evidence, ProofMethod, PutTerms, S3, Sealed, Storage, StorageError, TempOwner, UploadKind,
};

use super::{
    Case, MIB, Signed, all_temporary, content, digest_of, download, is_placed, read, send_parts, sized,
    terms_of, transfer,
};
use crate::support::trial::not_here;

pub fn cases() -> Vec<Case> {
    super::suite![
        a_probe_finds_the_same_again_and_leaves_nothing,
        these_stores_prove_parts_without_reading,
        what_is_staged_is_published_whole_and_not_before,
        what_is_staged_and_given_up_was_never_there,
        what_is_staged_lies_at_its_blobs_place,
        a_staged_copy_is_told_by_its_own_bytes_and_not_by_a_checksum_its_uploader_told,
        a_put_that_is_replayed_while_it_is_staged_publishes_nothing_else,
        a_copy_that_seals_tells_the_digest_of_what_it_sealed,
        what_a_store_does_no_longer_is_not_relied_on_again,
        an_empty_blob_needs_no_proof_by_copy,
        many_staging_one_digest_at_once_publish_one_blob,
    ]
}

fn bucket(storage: &Storage) -> Option<&S3> {
    match storage {
        Storage::S3(bucket) => Some(bucket),
        Storage::Filesystem(_) => None,
    }
}

/// Has this bucket taken for one that was seen to do no more than this, beside keeping its URLs to what they are for.
fn seen_to(bucket: &S3, capabilities: &[Capability]) {
    let urls = Capability::FOR_URLS.into_iter().chain([Capability::CopySourceRefused]);
    bucket.set_capabilities(Capabilities::seen(urls.chain(capabilities.iter().copied())));
}

/// Parts, completed: what a client that uploads in parts leaves.
async fn in_parts(storage: &Storage, bytes: &Bytes) -> (UploadId, Transfer) {
    let upload = UploadId::generate();
    let plan = PartPlan::new(bytes.len() as u64, MIN_PART_SIZE).expect("a plan");
    let id = storage.create_multipart(upload).await.expect("a multipart upload can be begun");
    let parts = send_parts(storage, upload, &id, plan.parts(), bytes).await;
    storage.complete_multipart(upload, &id, &parts).await.expect("it can be completed");
    (upload, transfer(plan, &id))
}

async fn sealed_parts(storage: &Storage, bytes: &Bytes) -> Sealed {
    let (upload, transfer) = in_parts(storage, bytes).await;
    storage.seal(upload, &transfer, Algorithm::Sha256, false).await.expect("it can be sealed")
}

async fn a_probe_finds_the_same_again_and_leaves_nothing(storage: Arc<Storage>) {
    let Some(bucket) = bucket(&storage) else { not_here("it is about buckets") };
    let once = bucket.probe().await.expect("the bucket can be probed");
    let again = bucket.probe().await.expect("the bucket can be probed");
    let has = |seen: &Capabilities| Capability::ALL.map(|capability| seen.has(capability));
    assert_eq!(has(&again), has(&once));
    assert_eq!(again.url_guards().is_some(), again.url_holes().is_empty());
    // Whoever looks at them has all the answers; the guards are tried where they are needed.
    let everything = bucket.probe_everything().await.expect("the bucket can be probed");
    let is_not_asked = [
        Capability::CopySourceGuarded,
        Capability::ChecksumAlgorithmGuarded,
        Capability::UploadKeyRestricted,
    ];
    let asked: Vec<_> = everything.iter().map(|(capability, _)| capability).collect();
    let mut missing = Capability::ALL.into_iter().filter(|capability| !asked.contains(capability));
    assert!(missing.all(|capability| is_not_asked.contains(&capability)), "{asked:?}");
    assert!(again.has(Capability::ChecksumEnforced));
    // Nothing rests on these, so that no start asks for them.
    for capability in [Capability::RangedReads, Capability::UploadsByPrefix] {
        assert!(everything.has(capability), "{capability:?}");
        assert!(again.iter().all(|(asked, _)| asked != capability), "{capability:?}");
    }
    assert_eq!(all_temporary(&storage).await.len(), 0);
}

async fn these_stores_prove_parts_without_reading(storage: Arc<Storage>) {
    let method = storage.proof_method(UploadKind::Parts);
    let expected = if bucket(&storage).is_some() { ProofMethod::Gate } else { ProofMethod::ReadBack };
    assert_eq!(method, expected);
}

async fn what_is_staged_is_published_whole_and_not_before(storage: Arc<Storage>) {
    let bytes = content(80, 2 * MIN_PART_SIZE + 17);
    let digest = digest_of(&bytes);
    let sealed = sealed_parts(&storage, &bytes).await;
    if bucket(&storage).is_none() {
        assert_eq!(sealed.evidence, Evidence::None);
        let refused = storage.stage(&sealed, &digest).await;
        assert!(matches!(refused, Err(StorageError::Refused { .. })), "{refused:?}");
        return;
    }
    assert_eq!(sealed.evidence, Evidence::ByStaging);
    let staged = storage.stage(&sealed, &digest).await.expect("it can be staged");
    assert_eq!(staged.sha256(), digest);
    assert!(!is_placed(&storage, &digest, bytes.len()).await);
    // Again: one that timed out at our end had been done.
    for _ in 0..2 {
        storage.publish(&staged).await.expect("it can be published");
    }
    assert!(download(&storage, &digest, None).await == bytes);
    assert!(read(&storage, &sealed).await.expect("the sealed object stays") == bytes);
    storage.unstage(&staged).await.expect("what is gone is fine");
    assert!(is_placed(&storage, &digest, bytes.len()).await);
}

async fn what_is_staged_and_given_up_was_never_there(storage: Arc<Storage>) {
    if bucket(&storage).is_none() {
        not_here("it is about buckets");
    }
    let bytes = content(81, MIN_PART_SIZE + 1);
    let claimed = digest_of(b"something else");
    let sealed = sealed_parts(&storage, &bytes).await;
    let staged = storage.stage(&sealed, &claimed).await.expect("it can be staged");
    assert_eq!(staged.sha256(), digest_of(&bytes), "it is told what the bytes are, not what was claimed");
    for _ in 0..2 {
        storage.unstage(&staged).await.expect("it can be given up");
    }
    assert!(!is_placed(&storage, &claimed, bytes.len()).await);
    storage.publish(&staged).await.expect_err("it is gone");
    assert!(!is_placed(&storage, &claimed, bytes.len()).await);
    let placing = all_temporary(&storage).await;
    assert!(!placing.iter().any(|entry| matches!(entry.owner, TempOwner::Placing(_))), "{placing:?}");
}

async fn what_is_staged_lies_at_its_blobs_place(storage: Arc<Storage>) {
    if bucket(&storage).is_none() {
        not_here("it is about buckets");
    }
    let bytes = content(82, MIN_PART_SIZE + 1);
    let digest = digest_of(&bytes);
    let sealed = sealed_parts(&storage, &bytes).await;
    storage.stage(&sealed, &digest).await.expect("it can be staged");
    // As a crash leaves it: the sweep finds it, and knows by whom it may still be wanted.
    let mut left = all_temporary(&storage).await;
    left.retain(|entry| entry.owner == TempOwner::Placing(digest));
    assert_eq!(left.len(), 1);
    storage.remove_temp(&left[0]).await.expect("it can be removed");
    let left = all_temporary(&storage).await;
    assert!(!left.iter().any(|entry| entry.owner == TempOwner::Placing(digest)), "{left:?}");
}

async fn a_staged_copy_is_told_by_its_own_bytes_and_not_by_a_checksum_its_uploader_told(
    storage: Arc<Storage>,
) {
    let Some(bucket) = bucket(&storage) else { not_here("it is about buckets") };
    let (upload, bytes, other) = (UploadId::generate(), content(83, 1000), content(84, 1000));
    let signed = Signed::put(&storage, upload, terms_of(&bytes)).await;
    signed.send(&storage, &bytes).await.expect("the body is taken");
    // LocalStack empties the object and goes on telling its old checksum.
    signed.send(&storage, &other).await.expect_err("another body is refused");
    seen_to(bucket, &[Capability::GateComputes]);
    let sealed =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, true).await.expect("it can be sealed");
    match storage.stage(&sealed, &digest_of(&bytes)).await {
        Ok(staged) => {
            storage.publish(&staged).await.expect("it can be published");
            assert_eq!(digest_of(&download(&storage, &digest_of(&bytes), None).await), staged.sha256());
        }
        Err(error) => assert!(matches!(error, StorageError::Precondition), "{error:?}"),
    }
}

async fn a_put_that_is_replayed_while_it_is_staged_publishes_nothing_else(storage: Arc<Storage>) {
    if bucket(&storage).is_none() {
        not_here("it is about buckets");
    }
    let (upload, bytes) = (UploadId::generate(), content(85, 100_000));
    let digest = digest_of(&bytes);
    let signed = Signed::put(&storage, upload, PutTerms { size: None, digest: None }).await;
    signed.send(&storage, &bytes).await.expect("the body is taken");
    let sealed =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, false).await.expect("it can be sealed");
    assert_eq!(sealed.evidence, Evidence::ByStaging);

    // After it was looked at and before it is staged: what is staged is told for what it is, or refused.
    for size in [100_000, 100_001, 99_999] {
        signed.send(&storage, &content(86, size)).await.expect("another body is taken");
        let unconditional = Sealed { etag: None, ..sealed.clone() };
        match storage.stage(&unconditional, &digest).await {
            Ok(staged) => {
                assert_eq!((size, staged.sha256()), (100_000, digest_of(&content(86, size))));
                storage.unstage(&staged).await.expect("it can be given up");
            }
            Err(error) => {
                assert!(size != 100_000 && matches!(error, StorageError::Precondition), "{error:?}");
            }
        }
        let changed = storage.stage(&sealed, &digest).await;
        assert!(matches!(changed, Err(StorageError::Precondition)), "{changed:?}");
    }
    // After it is staged: what is published is what was staged.
    signed.send(&storage, &bytes).await.expect("the body is taken");
    let sealed =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, false).await.expect("it can be sealed");
    let staged = storage.stage(&sealed, &digest).await.expect("it can be staged");
    signed.send(&storage, &content(87, 100_000)).await.expect("another body is taken");
    assert_eq!(staged.sha256(), digest);
    storage.publish(&staged).await.expect("it can be published");
    assert!(download(&storage, &digest, None).await == bytes, "other bytes were published");
}

async fn a_copy_that_seals_tells_the_digest_of_what_it_sealed(storage: Arc<Storage>) {
    let Some(bucket) = bucket(&storage) else { not_here("it is about buckets") };
    let computing = [Capability::CopyComputes, Capability::CopyOfPartsComputes];
    let computes = computing.into_iter().all(|capability| bucket.capabilities().has(capability));
    seen_to(bucket, &computing);
    let (upload, put, parts) = (UploadId::generate(), content(88, 1000), content(89, MIN_PART_SIZE + 1));
    let signed = Signed::put(&storage, upload, sized(&put)).await;
    signed.send(&storage, &put).await.expect("the body is taken");
    let whole =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, false).await.expect("it can be sealed");
    let (of_parts, transfer) = in_parts(&storage, &parts).await;
    let of_parts =
        storage.seal(of_parts, &transfer, Algorithm::Sha256, false).await.expect("it can be sealed");
    for (sealed, bytes) in [(whole, put), (of_parts, parts)] {
        let digest = digest_of(&bytes);
        // SeaweedFS computes none: then the copy is sealed as well, and is read.
        let evidence = if computes { Evidence::Digest(digest, Proof::StoreCopy) } else { Evidence::None };
        assert_eq!(sealed.evidence, evidence);
        let _ = signed.send(&storage, &content(90, 1000)).await;
        assert!(read(&storage, &sealed).await.expect("it can be read") == bytes);
        storage.place(&sealed, &digest).await.expect("it can be placed");
        assert!(download(&storage, &digest, None).await == bytes);
    }
}

async fn what_a_store_does_no_longer_is_not_relied_on_again(storage: Arc<Storage>) {
    if bucket(&storage).is_none() {
        not_here("it is about buckets");
    }
    let bytes = content(91, MIN_PART_SIZE + 1);
    let sealed = sealed_parts(&storage, &bytes).await;
    // A part that the store refuses for good, whatever it was seen to do: it is of no version that exists.
    let place = Digest::from_sha256([7; 32]);
    let broken =
        Sealed { key: overside::storage::key::temp_tail(UploadId::generate(), uuid::Uuid::nil()), ..sealed };
    let gone = storage.stage(&broken, &place).await;
    assert!(matches!(gone, Err(StorageError::NotFound | StorageError::Precondition)), "{gone:?}");
    assert_eq!(
        storage.proof_method(UploadKind::Parts),
        ProofMethod::Gate,
        "what is gone says nothing about the store"
    );
}

async fn an_empty_blob_needs_no_proof_by_copy(storage: Arc<Storage>) {
    let upload = UploadId::generate();
    let signed = Signed::put(&storage, upload, PutTerms { size: None, digest: None }).await;
    signed.send(&storage, &Bytes::new()).await.expect("an empty body is taken");
    let sealed =
        storage.seal(upload, &Transfer::Put, Algorithm::Sha256, false).await.expect("it can be sealed");
    assert!(sealed.size == 0 && sealed.evidence != Evidence::ByStaging, "{sealed:?}");
    assert!(read(&storage, &sealed).await.expect("there is nothing to read").is_empty());
}

async fn many_staging_one_digest_at_once_publish_one_blob(storage: Arc<Storage>) {
    if bucket(&storage).is_none() {
        not_here("it is about buckets");
    }
    let bytes = content(92, MIB);
    let digest = digest_of(&bytes);
    let published = (0..8).map(|_| async {
        let upload = UploadId::generate();
        let signed = Signed::put(&storage, upload, sized(&bytes)).await;
        signed.send(&storage, &bytes).await.expect("the body is taken");
        let sealed =
            storage.seal(upload, &Transfer::Put, Algorithm::Sha256, false).await.expect("it can be sealed");
        let staged = storage.stage(&sealed, &digest).await.expect("it can be staged");
        storage.publish(&staged).await.expect("it can be published");
        storage.discard_published(upload, &Transfer::Put, &sealed).await.expect("it can be discarded");
    });
    join_all(published).await;
    assert_eq!(all_temporary(&storage).await.len(), 0);
    assert!(download(&storage, &digest, None).await == bytes);
}
