//! Temporary things that no session knows, written past the service.

use std::sync::Arc;

use chrono::TimeDelta;
use overside::domain::digest::Digest;
use overside::domain::upload::{Lease, UploadId};
use overside::storage::key;
use uuid::Uuid;

use super::{NAME, NO_GRACE, age, clean, clean_until_empty, now, report, rewrite};
use crate::support::api::{self, Repository};
use crate::support::servers::BUCKET;
use crate::support::trial::not_here;
use crate::support::{Stack, Store};

pub async fn swept(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let digest = Repository::of(server.base_url(), NAME).push(b"published").await;
    let keys = [
        key::temp_data(UploadId::generate()).as_str().to_owned(),
        "temp/by-hand".to_owned(),
        "temp/no-uuid/data".to_owned(),
        format!("temp/{}/data", Uuid::new_v4().as_simple()),
    ];
    for key in &keys {
        write(&stack.store, key).await;
    }
    let before = stack.temp_leftovers().await;
    assert!(before.len() >= keys.len(), "{before:?}");

    assert_eq!(clean(&stack, &[]).await, report(0, 0, 0, 0), "an hour has not passed");
    assert_eq!(stack.temp_leftovers().await, before);

    let swept = clean_until_empty(&stack, &NO_GRACE).await;
    let count = keys.len() as u64;
    // A folder has no multipart uploads but in its uploads' directories, which were counted as such.
    let multipart_uploads = if matches!(stack.store, Store::S3 { .. }) { count } else { 0 };
    assert_eq!(swept, (count, multipart_uploads));
    assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(&b"published"[..]));
    assert_eq!(stack.objects().await.len(), 1);
}

pub async fn placing(stack: Arc<Stack>) {
    // A folder's blobs are renamed into their place: nothing ever lies half-way there.
    let Store::S3 { client, prefix, .. } = &stack.store else { not_here("it is about buckets") };
    let server = stack.server(&[]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(1_000);
    let published = repository.push(&content).await;
    let claimed = Digest::from_sha256([7; 32]);
    let upload = repository.begin().await;
    upload.put(&content).await;
    for digest in [&published, &claimed] {
        let key = format!("{prefix}/{}", key::blob(digest).as_str());
        let begun = client.create_multipart_upload().bucket(BUCKET).key(key).send().await;
        begun.expect("a multipart upload");
    }
    let lease = Lease { owner: Uuid::new_v4(), expires_at: now() + TimeDelta::hours(1) };
    rewrite(&stack, &upload, |row| row.claim(claimed.into(), lease, now()).expect("it can be finalized"))
        .await;

    // One is somebody's work just now, for all anybody can tell; of the other a crash is all that is left.
    assert_eq!(clean(&stack, &[]).await, report(0, 0, 0, 1));
    let left = stack.temp_leftovers().await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().any(|line| line.contains(&claimed.hex())), "{left:?}");

    let released = Lease { expires_at: now() - TimeDelta::seconds(1), ..lease };
    rewrite(&stack, &upload, |row| row.renew(released).expect("the lease is the story's own")).await;
    assert_eq!(clean(&stack, &[]).await, report(0, 0, 0, 1));
    upload.abort().await.expect(204);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.blob_bytes(&published).await.as_deref(), Some(content.as_slice()));
}

pub async fn unnamed(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let upload = Repository::of(server.base_url(), NAME).begin().await;
    // As a replica leaves it that dies between the store's answer and the swap.
    rewrite(&stack, &upload, |row| row.ask_store(now()).expect("it is pending")).await;
    write(&stack.store, key::temp_data(upload.id()).as_str()).await;
    assert_eq!(clean(&stack, &[]).await, report(0, 0, 0, 0), "its client may go on with it");
    assert!(!stack.temp_leftovers().await.is_empty());

    age(&stack, &upload).await;
    assert_eq!(clean(&stack, &[]).await, report(1, 1, 0, 0), "by the session, not by the sweep");
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

/// An object at this key, and in a bucket a multipart upload as well.
async fn write(store: &Store, key: &str) {
    store.write(key, b"orphan").await;
    if let Store::S3 { client, prefix, .. } = store {
        let begun =
            client.create_multipart_upload().bucket(BUCKET).key(format!("{prefix}/{key}")).send().await;
        begun.expect("a multipart upload");
    }
}
