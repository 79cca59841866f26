//! Copies that take too long, are refused, or are never answered: the upload is proven another way within the one
//! request that finalizes it, and nothing of the tries is left.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::blob::Proof;
use serde_json::json;

use crate::support::api::{Repository, Upload, content, database, digest_of, send, send_parts};
use crate::support::copies::{Copies, CopyProxy, GATEWAY_TIMEOUT};
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store};

/// More than the smallest copy that is tried.
const SIZE: u64 = 12 << 20;
/// A copy of all of it takes longer than the proxy waits, one of 8 MiB does not.
const SLOW: Copies =
    Copies::Slow { bytes_per_second: 8 << 20, whole: SIZE, limit: Duration::from_millis(1200) };
const POLL: Duration = Duration::from_millis(50);
/// For what is placed behind the answer, by tries that fail after seconds.
const SETTLING: Duration = Duration::from_mins(1);

pub fn cases() -> Vec<Story> {
    vec![
        ("copies_that_are_cut_off_after_a_time_are_made_in_parts_that_fit_it", cut_off),
        ("an_upload_completes_on_a_store_that_fails_every_copy", failed),
        ("an_upload_completes_on_a_store_that_never_answers_a_copy", silent),
        ("who_waits_for_a_finalize_is_told_what_it_is_at", told),
    ]
}

fn cut_off(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Some(proxy) = published(&stack, SLOW, &[]).await else { not_here("it is about buckets") };
        // One that was to prove and came to nothing, then parts of it, and no larger ones again: for each of two
        // uploads the two parts of a copy to the blob's place, and for the PUT those of the copy that seals it.
        assert_eq!(proxy.hindered(), 1 + 3 * 2);
        // What was seen is in the database, for whoever starts next.
        proxy.set(Copies::Pass);
        let doctor = stack.command(&["doctor", "--s3-endpoint", proxy.url()]).await.stdout;
        assert!(doctor.contains("copies of more than 8.0 MiB took too long"), "{doctor}");
    }
    .boxed()
}

fn failed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if published(&stack, Copies::Refused(GATEWAY_TIMEOUT), &[]).await.is_none() {
            not_here("it is about buckets");
        }
    }
    .boxed()
}

fn silent(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Some(proxy) = published(&stack, Copies::Silent, &["--copy-timeout", "1s"]).await else {
            not_here("it is about buckets")
        };
        // The proving one, and the parts of one of the smallest size, mostly; then no copy is tried for some minutes.
        // Whoever remembers nothing asks for eleven.
        assert!(proxy.hindered() < 8, "{}", proxy.hindered());
    }
    .boxed()
}

/// Publishes one upload in parts and one in a PUT while copies go so, and gives what counted them.
async fn published(stack: &Stack, copies: Copies, flags: &[&str]) -> Option<CopyProxy> {
    let Store::S3 { endpoint, .. } = &stack.store else { return None };
    let proxy = CopyProxy::in_front_of(endpoint, Copies::Pass).await;
    let server =
        stack.server(&[&["--s3-endpoint", proxy.url(), "--part-size", "5MiB"], flags].concat()).await;
    proxy.set(copies);
    let repository = Repository::of(server.base_url(), "team/slow");
    for (number, way) in ["multipart", "put"].into_iter().enumerate() {
        let mut bytes = content(usize::try_from(SIZE).expect("small"));
        bytes[0] = u8::try_from(number).expect("small");
        let digest = digest_of(&bytes);
        let upload = repository.begin().await;
        let signed = upload.sign(&[("size", &SIZE.to_string()), ("mode", way)]).await.expect(200).json();
        if way == "put" {
            send(&upload.http, &signed, bytes.clone()).await.expect(200);
        } else {
            send_parts(&upload.http, &signed, &bytes).await;
        }
        upload.finalize(&digest).await.expect(201);

        let db = database(stack).await;
        let blob = db.find_blob(&digest).await.expect("the database answers").expect("a blob");
        db.close().await;
        assert_eq!(blob.proof, Proof::ReadBack, "{way}");
        stack.settled_within(SETTLING).await;
        assert_eq!(stack.blob_bytes(&digest).await, Some(bytes), "{way}");
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new(), "{way}");
    }
    assert_eq!(stack.objects().await.len(), 2);
    Some(proxy)
}

fn told(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, .. } = &stack.store else { not_here("it is about buckets") };
        let proxy = CopyProxy::in_front_of(endpoint, Copies::Pass).await;
        let flags = ["--s3-endpoint", proxy.url(), "--copy-timeout", "3s", "--lease", "600ms"];
        let (server, other) = (stack.server(&flags).await, stack.server(&flags).await);
        proxy.set(Copies::Silent);
        let bytes = content(usize::try_from(SIZE).expect("small"));
        let upload = Repository::of(server.base_url(), "team/slow").begin().await;
        let signed =
            upload.sign(&[("size", &SIZE.to_string()), ("mode", "multipart")]).await.expect(200).json();
        send_parts(&upload.http, &signed, &bytes).await;

        let finalizing = tokio::spawn({
            let (upload, digest) = (upload.clone(), digest_of(&bytes));
            async move { upload.finalize(&digest).await }
        });
        // Whichever replica is asked.
        let watched = Upload {
            http: upload.http.clone(),
            url: upload.url.replace(server.base_url(), other.base_url()),
        };
        let mut seen = Vec::new();
        while !finalizing.is_finished() {
            let progress = watched.state().await.expect(200).json()["progress"].clone();
            if !progress.is_null() && !seen.contains(&progress) {
                seen.push(progress);
            }
            tokio::time::sleep(POLL).await;
        }
        finalizing.await.expect("no panic").expect(201);
        assert_eq!(seen.first(), Some(&json!({ "phase": "copying", "done": 0, "total": SIZE })), "{seen:?}");
        let done = watched.state().await.expect(200).json();
        assert!(done["progress"].is_null(), "{done}");
        stack.settled_within(SETTLING).await;
    }
    .boxed()
}
