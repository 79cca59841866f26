//! What an upload leaves, and how it goes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use overside::domain::part::{MIN_PART_SIZE, PartPlan};
use overside::domain::upload::UploadId;
use overside::storage::{Storage, TempEntry, TempKind, TempOwner};
use uuid::Uuid;

use super::append::Chunked;
use super::{Case, Signed, all_temporary, content, send_parts, sized, slice, temporary_of, uploaded};

pub fn cases() -> Vec<Case> {
    super::suite![
        discarding_removes_everything_and_can_be_repeated,
        a_late_part_does_not_bring_a_discarded_upload_back,
        a_late_put_leaves_nothing_that_the_sweep_would_not_find,
        objects_and_multipart_uploads_are_listed_with_their_owners,
        what_was_listed_can_be_removed_and_again,
        many_uploads_are_all_listed,
    ]
}

async fn discarding_removes_everything_and_can_be_repeated(storage: Arc<Storage>) {
    let upload = UploadId::generate();
    storage.discard(upload).await.expect("an upload that left nothing can be discarded");
    let (plan, bytes) = plan_and_content(70);
    let id = storage.create_multipart(upload).await.expect("a multipart upload can be begun");
    send_parts(&storage, upload, &id, plan.parts().take(1), &bytes).await;
    let body = content(71, 1000);
    Signed::put(&storage, upload, sized(&body)).await.send(&storage, &body).await.expect("the body is taken");
    assert_ne!(temporary_of(&storage, upload).await.len(), 0);
    for _ in 0..2 {
        storage.discard(upload).await.expect("it can be discarded");
        assert_eq!(all_temporary(&storage).await.len(), 0);
    }
}

async fn a_late_part_does_not_bring_a_discarded_upload_back(storage: Arc<Storage>) {
    let upload = UploadId::generate();
    let (plan, bytes) = plan_and_content(72);
    let id = storage.create_multipart(upload).await.expect("a multipart upload can be begun");
    let part = plan.parts().next().expect("a part");
    let late = Signed::part(&storage, upload, &id, part).await;
    storage.discard(upload).await.expect("it can be discarded");
    late.send(&storage, &slice(&bytes, part)).await.expect_err("a late part is refused");
    assert_eq!(temporary_of(&storage, upload).await.len(), 0);
    storage.list_parts(upload, &id).await.expect_err("the multipart upload is gone");
}

async fn a_late_put_leaves_nothing_that_the_sweep_would_not_find(storage: Arc<Storage>) {
    let (upload, body) = (UploadId::generate(), content(73, 1000));
    let late = Signed::put(&storage, upload, sized(&body)).await;
    storage.discard(upload).await.expect("it can be discarded");
    // A bucket cannot revoke a URL; the filesystem backend can.
    let taken = late.send(&storage, &body).await.is_ok();
    assert_eq!(taken, matches!(*storage, Storage::S3(_)));
    assert_eq!(temporary_of(&storage, upload).await.len(), usize::from(taken));
    storage.discard(upload).await.expect("it can be discarded again");
    assert_eq!(temporary_of(&storage, upload).await.len(), 0);
}

async fn objects_and_multipart_uploads_are_listed_with_their_owners(storage: Arc<Storage>) {
    let (whole, _) = uploaded(&storage, &content(74, 1000)).await;
    let in_parts = UploadId::generate();
    let id = storage.create_multipart(in_parts).await.expect("a multipart upload can be begun");
    for upload in [whole, in_parts] {
        assert_ne!(temporary_of(&storage, upload).await.len(), 0);
    }
    if matches!(*storage, Storage::S3(_)) {
        let entries = temporary_of(&storage, in_parts).await;
        assert!(matches!(&entries[..], [TempEntry { kind: TempKind::Multipart { store_upload_id, .. }, .. }]
            if *store_upload_id == id));
    }
    for entry in all_temporary(&storage).await {
        assert!(matches!(entry.owner, TempOwner::Upload(upload) if upload == whole || upload == in_parts));
    }
}

async fn what_was_listed_can_be_removed_and_again(storage: Arc<Storage>) {
    uploaded(&storage, &content(75, 1000)).await;
    let upload = UploadId::generate();
    let (plan, bytes) = plan_and_content(76);
    let id = storage.create_multipart(upload).await.expect("a multipart upload can be begun");
    send_parts(&storage, upload, &id, plan.parts().skip(1), &bytes).await;
    let entries = all_temporary(&storage).await;
    assert!(entries.len() >= 2, "{entries:?}");
    for entry in entries.iter().chain(&entries) {
        storage.remove_temp(entry).await.expect("it can be removed");
    }
    let left = all_temporary(&storage).await;
    assert!(left.is_empty(), "{left:?}");
}

async fn many_uploads_are_all_listed(storage: Arc<Storage>) {
    // One more than a page holds.
    const COUNT: usize = 1001;
    let mut uploads: Vec<_> = (0..COUNT).map(|_| UploadId::generate()).collect();
    for some in uploads.chunks(16) {
        // An empty append: the least that leaves something, in one request.
        join_all(some.iter().map(|upload| append_nothing(&storage, *upload))).await;
    }
    let mut owners: Vec<_> = all_temporary(&storage).await.iter().map(|entry| entry.owner).collect();
    owners.retain(|owner| matches!(owner, TempOwner::Upload(_)));
    uploads.sort_unstable();
    assert!(uploads.iter().all(|upload| owners.contains(&TempOwner::Upload(*upload))));
    assert_eq!(owners.len(), COUNT);
}

async fn append_nothing(storage: &Storage, upload: UploadId) {
    let stored = Chunked::new().stored;
    let appender =
        storage.append(upload, &stored, Uuid::new_v4(), "ann").await.expect("the upload can be appended to");
    appender.finish().await.expect("the append can be finished");
}

fn plan_and_content(seed: u64) -> (PartPlan, Bytes) {
    let size = MIN_PART_SIZE + 1000;
    (PartPlan::new(size, MIN_PART_SIZE).expect("a plan"), content(seed, size))
}
