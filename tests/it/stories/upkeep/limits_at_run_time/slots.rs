//! Uploads and downloads at once: beyond the limit 429, and free again however one ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::json;

use super::{HELD_WITHIN, NAME, Stalled, refusal, set, unset, until};
use crate::support::api::{Answer, Repository, content, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, Store, http};

/// More than sockets hold on both ends: the rest of such a download waits in the service.
const LARGE: usize = 32 << 20;
/// For the service to notice that a client is gone.
const NOTICE_LIMIT: Duration = Duration::from_secs(10);

pub fn cases() -> Vec<Story> {
    vec![
        ("uploads_beyond_the_limit_are_refused_until_one_has_ended", uploads),
        ("an_upload_beyond_the_limit_waits_some_seconds_for_one_to_end", waits),
        ("a_limit_set_while_uploads_run_counts_them", while_running),
        ("only_bodies_that_are_a_blobs_bytes_take_a_slot", bodies),
        ("an_upload_whose_client_hangs_up_gives_its_slot_back", broken),
        ("downloads_beyond_the_limit_are_refused_until_one_has_ended", downloads),
        ("a_thousand_transfers_leave_no_slot_taken", many),
    ]
}

fn uploads(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        set(&http(), &server, json!({ "upload_concurrent": 2 })).await;
        let (first, second) = (Stalled::begin(&repository).await, Stalled::begin(&repository).await);
        let third = repository.begin().await;
        refusal(&third.patch(None, "x").await);
        refusal(&third.finalize_with(&digest_of(b"x"), "x").await);
        let whole = repository.http.post(repository.url("uploads/"));
        let whole = whole.query(&[("digest", digest_of(b"y").to_string())]).body("y");
        refusal(&Answer::to(whole.try_clone().expect("a small body")).await);
        // What was refused is as it was before.
        assert_eq!(third.state().await.expect(200).json()["status"], "pending");
        first.finish().await.expect(202);
        third.patch(None, "x").await.expect(202);
        third.finalize(&digest_of(b"x")).await.expect(201);
        Answer::to(whole).await.expect(201);
        let upload = second.upload.clone();
        second.finish().await.expect(202);
        upload.finalize(&digest_of(b"0123456789")).await.expect(201);
    }
    .boxed()
}

/// A client that is told 429 gives the whole push up.
fn waits(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        set(&http(), &server, json!({ "upload_concurrent": 1 })).await;
        let stalled = Stalled::begin(&repository).await;
        let end = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stalled.finish().await.expect(202);
        };
        let (digest, ()) = tokio::join!(repository.push(b"a layer more than there are slots"), end);
        repository.read(&digest).await.expect(200);
    }
    .boxed()
}

fn while_running(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let stalled = Stalled::begin(&repository).await;
        repository.push(b"nothing is limited").await;
        let done = stack.command(&["config", "set", "upload_concurrent", "1", "--database"]).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        let upload = repository.begin().await;
        // An empty chunk changes nothing, so it may be sent again and again.
        let ask = || upload.patch(None, "");
        until(429, HELD_WITHIN, ask).await;
        unset(&http(), &server, "upload_concurrent").await;
        ask().await.expect(202);
        stalled.finish().await.expect(202);
    }
    .boxed()
}

fn bodies(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        set(&http(), &server, json!({ "upload_concurrent": 1 })).await;
        let digest = repository.push(b"there before").await;
        let signed = repository.begin().await;
        let parts = signed.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200).json();
        let body = content(6 << 20);
        let sent = crate::support::api::send_parts(&signed.http, &parts, &body).await;
        let plain = repository.begin().await;
        plain.patch(None, "0123456789").await.expect(202);
        let stalled = Stalled::begin(&repository).await;
        // A list of parts is no blob, and neither is nothing, a manifest or a mount.
        signed.finalize_with(&digest_of(&body), json!({ "parts": sent }).to_string()).await.expect(201);
        plain.finalize(&digest_of(b"0123456789")).await.expect(201);
        repository
            .put(
                "v1",
                &crate::support::image::image(
                    &crate::support::image::descriptor(crate::support::image::CONFIG, b"there before"),
                    &[],
                ),
            )
            .await
            .expect(201);
        let mount = [("mount", digest.to_string()), ("from", NAME.to_owned())];
        let elsewhere = Repository::of(server.base_url(), "team/other");
        let mounted = http().post(elsewhere.url("uploads/")).query(&mount).header("content-length", 0);
        Answer::to(mounted).await.expect(201);
        refusal(&repository.begin().await.patch(None, "x").await);
        for path in ["/healthz", "/readyz"] {
            Answer::to(http().get(format!("{}{path}", server.base_url()))).await.expect(200);
        }
        // Through this server, by a signed URL.
        let other = repository.begin().await;
        let url = other.sign(&[("size", "1")]).await.expect(200).json();
        let put = crate::support::api::send(&http(), &url, "x").await;
        match stack.store {
            Store::Filesystem { .. } => refusal(&put),
            Store::S3 { .. } => assert!(put.status < 300, "its bytes do not come through here"),
        }
        stalled.finish().await.expect(202);
        assert!(crate::support::api::send(&http(), &url, "x").await.status < 300);
        other.finalize(&digest_of(b"x")).await.expect(201);
    }
    .boxed()
}

fn broken(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        set(&http(), &server, json!({ "upload_concurrent": 1 })).await;
        let upload = repository.begin().await;
        for _ in 0..3 {
            let stalled = Stalled::begin(&repository).await;
            refusal(&upload.patch(None, "").await);
            stalled.break_off();
            until(202, NOTICE_LIMIT, || upload.patch(None, "")).await;
        }
    }
    .boxed()
}

fn downloads(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let bytes = content(LARGE);
        let digest = repository.push(&bytes).await;
        let small = repository.push(b"small").await;
        set(&http(), &server, json!({ "download_concurrent": 1 })).await;
        let ask = || Answer::to(repository.http.get(repository.url(small)));
        let stalled = repository.http.get(repository.url(digest)).send().await.expect("an answer");
        match stack.store {
            Store::Filesystem { .. } => {
                assert_eq!(stalled.status(), 200);
                refusal(&ask().await);
                Answer::to(repository.http.head(repository.url(small))).await.expect(200);
                // Read to its end it is free, and so is one whose client hangs up.
                assert_eq!(stalled.bytes().await.expect("the blob").len(), LARGE);
                until(200, NOTICE_LIMIT, ask).await;
                let stalled = repository.http.get(repository.url(digest)).send().await.expect("an answer");
                refusal(&ask().await);
                drop(stalled);
                until(200, NOTICE_LIMIT, ask).await;
            }
            // The store sends the bytes: an answer is over with its head.
            Store::S3 { .. } => {
                assert_eq!(stalled.status(), 307);
                ask().await.expect(307);
            }
        }
    }
    .boxed()
}

fn many(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let digest = repository.push(b"a blob").await;
        set(&http(), &server, json!({ "upload_concurrent": 3, "download_concurrent": 3 })).await;
        for _ in 0..50 {
            // Most of them are one too many; some are wrong, some go where nothing is.
            let transfers = (0..20).map(|turn| {
                let repository = repository.clone();
                async move {
                    let http = &repository.http;
                    let request = match turn % 5 {
                        0 => http.get(repository.url(digest)),
                        1 => http.get(repository.url(digest)).header("range", "bytes=1-2"),
                        2 => http.get(repository.url(digest_of(b"not there"))),
                        3 => http.post(repository.url(format!("uploads/?digest={digest}"))).body("a blob"),
                        _ => http.post(repository.url(format!("uploads/?digest={digest}"))).body("another"),
                    };
                    Answer::to(request).await.status
                }
            });
            let answers = join_all(transfers).await;
            let known = |status: &u16| [200, 201, 206, 307, 400, 404, 429].contains(status);
            assert!(answers.iter().all(known), "{answers:?}");
        }
        // All three of either kind are free.
        let stalled = join_all((0..3).map(|_| Stalled::begin(&repository))).await;
        refusal(&repository.begin().await.patch(None, "").await);
        for stalled in stalled {
            stalled.finish().await.expect(202);
        }
        let read = join_all((0..3).map(|_| Answer::to(repository.http.get(repository.url(digest))))).await;
        assert!(read.iter().all(|answer| answer.status < 400), "{read:?}");
    }
    .boxed()
}
