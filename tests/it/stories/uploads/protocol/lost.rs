//! Temporary bytes that are not there when finalizing looks for them: never sent, or removed behind our back.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::upload::Status;
use overside::storage::key;

use super::NAME;
use crate::support::api::{Repository, content, digest_of, send_parts};
use crate::support::servers::BUCKET;
use crate::support::trial::Story;
use crate::support::{Stack, Store, bucket};

pub fn cases() -> Vec<Story> {
    vec![
        ("a_single_put_that_is_not_there_can_be_sent_again", put),
        ("parts_that_vanished_end_the_session_with_a_clear_error", parts),
        ("appended_bytes_that_vanished_end_the_session_with_a_clear_error", appended),
    ]
}

fn put(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(1000);
        let digest = digest_of(&bytes);
        upload.sign(&[("size", "1000")]).await.expect(200);
        let never = upload.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(never.contains("nothing has been uploaded"), "{never}");

        upload.put(&bytes).await;
        remove_temporary(&stack).await;
        let gone = upload.finalize(&digest).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(gone, never);
        assert_eq!(upload.row(&stack).await.state.status(), Status::Uploading);
        upload.put(&bytes).await;
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn parts(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        let bytes = content(6 << 20);
        let signed = upload.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200).json();
        send_parts(&upload.http, &signed, &bytes).await;
        remove_temporary(&stack).await;
        let message = upload.finalize(&digest_of(&bytes)).await.refused(400, "BLOB_UPLOAD_INVALID");
        assert!(message.contains("gone from the store; begin another upload"), "{message}");
        let state = upload.state().await.expect(200).json();
        assert_eq!(
            (&state["status"], &state["failure"]["message"]),
            (&"failed".into(), &message.as_str().into())
        );
        assert_eq!(stack.objects().await, vec![]);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn appended(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), NAME);
        // Less than a part, and a part with a tail: they lie in different places on S3.
        for length in [1000, 6 << 20] {
            let upload = repository.begin().await;
            let bytes = content(length);
            upload.patch(None, bytes.clone()).await.expect(202);
            remove_temporary(&stack).await;
            for answer in [upload.patch(None, "more").await, upload.finalize(&digest_of(&bytes)).await] {
                let message = answer.refused(400, "BLOB_UPLOAD_INVALID");
                assert!(message.contains("gone from the store; begin another upload"), "{message}");
            }
            assert_eq!(upload.row(&stack).await.state.status(), Status::Failed);
            assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
        }
        assert_eq!(stack.objects().await, vec![]);
    }
    .boxed()
}

/// As a lifecycle rule that is too eager does, or a person who tidies up.
async fn remove_temporary(stack: &Stack) {
    match &stack.store {
        Store::S3 { client, prefix, .. } => {
            let below = format!("{prefix}/{}", key::TEMP_PREFIX);
            for (key, id) in bucket::multipart_uploads(client, &below).await {
                let abort = client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
                abort.send().await.expect("the store aborts it");
            }
            for (key, _) in bucket::objects(client, &below).await {
                client.delete_object().bucket(BUCKET).key(key).send().await.expect("the store deletes it");
            }
        }
        Store::Filesystem { root } => {
            let below = root.join(key::TEMP_PREFIX);
            std::fs::remove_dir_all(&below).expect("the folder is there");
            std::fs::create_dir(&below).expect("its parent is there");
        }
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
