//! What lies in the store and belongs to nobody, written there past the service.

use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use overside::domain::upload::UploadId;
use overside::storage::key;

use super::{FLAGS, cleanup};
use crate::support::api::{Repository, content};
use crate::support::servers::BUCKET;
use crate::support::trial::Story;
use crate::support::{Stack, Store};

pub fn cases() -> Vec<Story> {
    vec![
        ("what_no_session_knows_is_swept_after_the_grace_and_not_before", unknown),
        ("a_copy_to_a_blobs_place_that_nobody_works_on_is_given_up", placing),
    ]
}

/// Writes one object, or one file, below the store's root.
async fn write(stack: &Stack, key: &str) {
    match &stack.store {
        Store::S3 { client, prefix, .. } => {
            let put = client.put_object().bucket(BUCKET).key(format!("{prefix}/{key}"));
            put.body(ByteStream::from_static(b"nobody's")).send().await.expect("the bucket takes it");
        }
        Store::Filesystem { root } => {
            let path = root.join(key);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
            std::fs::write(path, b"nobody's").expect("a file");
        }
    }
}

/// Begins a multipart upload that nobody will complete; there is no such thing on a filesystem.
async fn begin_multipart(stack: &Stack, key: &str) -> usize {
    let Store::S3 { client, prefix, .. } = &stack.store else { return 0 };
    let begin = client.create_multipart_upload().bucket(BUCKET).key(format!("{prefix}/{key}"));
    begin.send().await.expect("the bucket takes it");
    1
}

fn unknown(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&FLAGS).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let digest = repository.push(&content(3000)).await;
        let orphan = UploadId::generate();
        write(&stack, key::temp_data(orphan).as_str()).await;
        write(&stack, "temp/no-uuid/data").await;
        let multiparts = begin_multipart(&stack, key::temp_data(UploadId::generate()).as_str()).await;
        let before = stack.temp_leftovers().await;

        let early = cleanup(&stack, &["--sweep-grace=1h"]).await;
        assert_eq!((&early["swept_objects"], &early["swept_multipart_uploads"]), (&0.into(), &0.into()));
        assert_eq!(stack.temp_leftovers().await, before);

        // The store's clock counts in seconds.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let late = cleanup(&stack, &["--sweep-grace=1ms"]).await;
        assert_eq!(late["swept_objects"], 2, "{late}");
        assert_eq!(late["swept_multipart_uploads"], multiparts, "{late}");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!(stack.store.blob_hash(&digest).await, Some(digest));
        assert_eq!(stack.objects().await.len(), 1);
    }
    .boxed()
}

fn placing(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&FLAGS).await;
        let digest = Repository::of(server.base_url(), "team/app").push(&content(3000)).await;
        let mut multiparts = begin_multipart(&stack, key::blob(&digest).as_str()).await;
        let never_published = Digest::from_sha256([3; 32]);
        multiparts += begin_multipart(&stack, key::blob(&never_published).as_str()).await;
        let report = cleanup(&stack, &[]).await;
        assert_eq!(report["swept_multipart_uploads"], multiparts, "{report}");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        assert_eq!(stack.store.blob_hash(&digest).await, Some(digest));
    }
    .boxed()
}
