//! Uploads that ended in every way but well.

use std::sync::Arc;

use overside::domain::digest::Digest;
use overside::domain::upload::Status;

use super::{NAME, NO_GRACE, PART_SIZE, SMALL_PARTS, age, clean, one_of_each, report};
use crate::support::Stack;
use crate::support::api::{self, Repository};

pub async fn at_once(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(PART_SIZE + 1_000);

    for upload in one_of_each(&repository, &content).await {
        upload.abort().await.expect(204);
        assert_eq!(upload.row(&stack).await.state.status(), Status::Aborted);
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "after aborts");
    let other = Digest::from_sha256([7; 32]);
    for (index, upload) in one_of_each(&repository, &content).await.into_iter().enumerate() {
        let told = upload.finalize(&other).await.refused(400, "DIGEST_INVALID");
        // Of bytes that went past the service it is not told what they are; the last upload's went through it.
        assert_eq!(told.contains(&api::digest_of(&content).to_string()), index == 2, "{told}");
        assert_eq!(upload.row(&stack).await.state.status(), Status::Failed);
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "after mismatches");
    assert_eq!(stack.objects().await, []);
    assert_eq!(clean(&stack, &NO_GRACE).await, report(0, 0, 0, 0));
}

pub async fn never_finalized(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(PART_SIZE + 1_000);
    let [put, multipart, proxied] = one_of_each(&repository, &content).await;
    // Begun and forgotten; and begun in parts of which none ever came.
    let (pending, empty) = (repository.begin().await, repository.begin().await);
    empty.sign(&[("size", "10000000"), ("mode", "multipart")]).await.expect(200);
    assert!(stack.temp_leftovers().await.len() >= 4, "{:?}", stack.temp_leftovers().await);
    let uploads = [put, multipart, proxied, pending, empty];
    for upload in &uploads {
        age(&stack, upload).await;
    }

    assert_eq!(clean(&stack, &[]).await, report(5, 5, 0, 0));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.objects().await, []);
    for upload in &uploads {
        assert_eq!(upload.row(&stack).await.state.status(), Status::Expired);
        upload.state().await.refused(410, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(clean(&stack, &[]).await, report(0, 0, 0, 0));
}

pub async fn dry_run(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let repository = Repository::of(server.base_url(), NAME);
    let uploads = one_of_each(&repository, &api::content(PART_SIZE + 1_000)).await;
    for upload in &uploads {
        age(&stack, upload).await;
    }
    let before = stack.temp_leftovers().await;

    let mut would = clean(&stack, &["--dry-run"]).await;
    assert_eq!(would["dry_run"], true);
    assert_eq!(stack.temp_leftovers().await, before);
    for upload in &uploads {
        assert_eq!(upload.row(&stack).await.state.status(), Status::Uploading);
    }
    assert_eq!(clean(&stack, &["--dry-run"]).await, would, "it has changed nothing");

    let did = clean(&stack, &[]).await;
    would["dry_run"] = false.into();
    assert_eq!(did, would);
    assert_eq!(did, report(3, 3, 0, 0));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
