//! What the cleaner must not touch, however little time everything is given.

use std::sync::Arc;

use chrono::TimeDelta;
use overside::domain::upload::{Lease, Status, Upload as Row};
use uuid::Uuid;

use super::{
    NAME, NO_GRACE, PART_SIZE, PATIENCE, POLL, SMALL_PARTS, clean, now, one_of_each, report, rewrite,
};
use crate::support::Stack;
use crate::support::api::{self, Repository};

pub async fn uploading(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(PART_SIZE + 1_000);
    let digest = api::digest_of(&content);
    let uploads = one_of_each(&repository, &content).await;
    let before = stack.temp_leftovers().await;

    for _ in 0..2 {
        assert_eq!(clean(&stack, &NO_GRACE).await, report(0, 0, 0, 0));
    }
    assert_eq!(stack.temp_leftovers().await, before);
    for upload in &uploads {
        upload.finalize(&digest).await.expect(201);
    }
    assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(content.as_slice()));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn finalizing(stack: Arc<Stack>) {
    let mut server = stack.server(&SMALL_PARTS).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(PART_SIZE + 1_000);
    let digest = api::digest_of(&content);
    let uploads = one_of_each(&repository, &content).await;
    // As a replica that went silent leaves them: claimed, their time up, the lease still good.
    let owner = Uuid::new_v4();
    let claimed = |until: TimeDelta| {
        move |row: Row| {
            let lease = Lease { owner, expires_at: now() + until };
            let row = row.claim(digest.into(), lease, now()).expect("it can be finalized");
            Row { expires_at: now() - TimeDelta::minutes(1), ..row }
        }
    };
    for upload in &uploads {
        rewrite(&stack, upload, claimed(TimeDelta::hours(1))).await;
    }
    server.kill9();
    let before = stack.temp_leftovers().await;

    assert_eq!(clean(&stack, &NO_GRACE).await, report(0, 0, 0, 0));
    assert_eq!(stack.temp_leftovers().await, before);

    // The lease runs out in time: what it protected is whole, and another replica completes it.
    for upload in &uploads {
        let released = |row: Row| {
            let lease = Lease { owner, expires_at: now() - TimeDelta::seconds(1) };
            let row = row.renew(lease).expect("the lease is the story's own");
            Row { expires_at: now() + TimeDelta::hours(1), ..row }
        };
        rewrite(&stack, upload, released).await;
    }
    let _replica = stack.server(&["--clean-interval", "100ms"]).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    for upload in &uploads {
        while upload.row(&stack).await.state.status() != Status::Completed {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", upload.row(&stack).await);
            tokio::time::sleep(POLL).await;
        }
    }
    assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(content.as_slice()));
    assert_eq!(stack.objects().await.len(), 1);
    while !stack.temp_leftovers().await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", stack.temp_leftovers().await);
        tokio::time::sleep(POLL).await;
    }
}

pub async fn appending(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(PART_SIZE + 1_000);
    let upload = repository.begin().await;
    upload.patch(None, content.clone()).await.expect(202);
    let owner = Uuid::new_v4();
    let leased = |row: Row| {
        let lease = Lease { owner, expires_at: now() + TimeDelta::hours(1) };
        let row = row.into_append(PART_SIZE as u64, None, lease, now()).expect("it can be appended to");
        Row { expires_at: now() - TimeDelta::minutes(1), ..row }
    };
    rewrite(&stack, &upload, leased).await;
    let before = stack.temp_leftovers().await;

    assert_eq!(clean(&stack, &NO_GRACE).await, report(0, 0, 0, 0));
    assert_eq!(stack.temp_leftovers().await, before);

    // The one who appended is gone: so is the session, and all it left.
    let released = |row: Row| {
        let lease = Lease { owner, expires_at: now() - TimeDelta::seconds(1) };
        row.renew(lease).expect("the lease is the story's own")
    };
    rewrite(&stack, &upload, released).await;
    assert_eq!(clean(&stack, &NO_GRACE).await, report(1, 1, 0, 0));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.objects().await, []);
}

pub async fn published(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let repository = Repository::of(server.base_url(), NAME);
    let contents = [PART_SIZE + 1_000, PART_SIZE + 2_000, PART_SIZE + 3_000].map(api::content);
    let mut uploads = Vec::new();
    for (kind, content) in contents.iter().enumerate() {
        for (index, upload) in one_of_each(&repository, content).await.into_iter().enumerate() {
            if index == kind {
                upload.finalize(&api::digest_of(content)).await.expect(201);
                uploads.push(upload);
            } else {
                upload.abort().await.expect(204);
            }
        }
    }
    let before = stack.objects().await;
    assert_eq!(before.len(), 3);

    let flags = [&NO_GRACE[..], &["--retention", "1ms", "--upload-lifetime", "1ms"]].concat();
    let mut done = clean(&stack, &flags).await;
    assert_eq!(done["forgotten_sessions"], 9, "{done}");
    done["forgotten_sessions"] = 0.into();
    assert_eq!(done, report(0, 0, 0, 0));
    assert_eq!(clean(&stack, &flags).await, report(0, 0, 0, 0));

    assert_eq!(stack.objects().await, before);
    for (upload, content) in uploads.iter().zip(&contents) {
        upload.state().await.refused(404, "BLOB_UPLOAD_UNKNOWN");
        let digest = api::digest_of(content);
        assert_eq!(repository.read(&digest).await.expect(200).body, *content);
        // And again: the next upload of the same bytes finds them.
        let again = repository.begin().await;
        again.put(content).await;
        again.finalize(&digest).await.expect(201);
    }
    assert_eq!(stack.objects().await, before);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
