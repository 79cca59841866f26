//! The end of an upload through the service, where the store does not copy it into a part.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use crate::support::api::{Repository, content, digest_of};
use crate::support::copies::{Copies, CopyProxy, GATEWAY_TIMEOUT, INLINED, MANGLED};
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store};

/// One part and a tail.
const PART: usize = 5 << 20;
const TAIL: usize = 3071;

pub fn cases() -> Vec<Story> {
    vec![
        ("an_upload_through_the_service_completes_where_its_end_cannot_be_copied", without_copies),
        ("a_store_that_was_seen_not_to_copy_tiny_parts_is_not_asked_to", remembered),
    ]
}

fn without_copies(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, .. } = &stack.store else { not_here("it is about buckets") };
        let proxy = CopyProxy::in_front_of(endpoint, Copies::Pass).await;
        let server = stack.server(&["--s3-endpoint", proxy.url(), "--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), "team/slow");
        // Each is tried once: what the SDK repeats by itself takes as long again each time. What is no answer of S3's
        // is not asked for again.
        for (answer, tries) in [(INLINED, 1), (GATEWAY_TIMEOUT, 1), (MANGLED, 1), (MANGLED, 0)] {
            proxy.set(Copies::PartsRefused(answer));
            let before = proxy.hindered();
            through(&stack, &repository, TAIL).await;
            assert_eq!(proxy.hindered() - before, tries, "{answer}");
        }
    }
    .boxed()
}

fn remembered(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, .. } = &stack.store else { not_here("it is about buckets") };
        let proxy = CopyProxy::in_front_of(endpoint, Copies::PartsRefused(MANGLED)).await;
        let through_proxy = ["--s3-endpoint", proxy.url()];
        assert_eq!(stack.command(&["migrate"]).await.code, Some(0));
        let doctor = stack.command(&[&["doctor"], &through_proxy[..]].concat()).await;
        let question = "no    does a copy of a few bytes become a part of a multipart upload";
        assert!(doctor.stdout.contains(question), "{doctor:?}");

        let server = stack.server(&[&through_proxy[..], &["--part-size", "5MiB"]].concat()).await;
        let before = proxy.hindered();
        let repository = Repository::of(server.base_url(), "team/slow");
        for tail in [1, TAIL] {
            through(&stack, &repository, tail).await;
        }
        assert_eq!(proxy.hindered(), before);
    }
    .boxed()
}

/// Uploads a part and a tail through the service.
async fn through(stack: &Stack, repository: &Repository, tail: usize) {
    let mut bytes = content(PART + tail);
    // Not what an upload before it was.
    bytes[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    let digest = digest_of(&bytes);
    let upload = repository.begin().await;
    upload.patch(None, bytes.clone()).await.expect(202);
    upload.finalize(&digest).await.expect(201);
    assert_eq!(stack.blob_bytes(&digest).await, Some(bytes));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
