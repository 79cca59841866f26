//! `/healthz` and `/readyz`, and what clients are told while the database or the store is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::io::AsyncWriteExt;

use super::door::Door;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::database::Database;
use crate::support::holding::HoldingProxy;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store, raw};

/// For the service to find out that something is gone, or back.
const NOTICE_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
/// Who ask, and who hang up before they are answered: in less than the service waits for its store.
const ASKING: usize = 400;
const HANGING_UP: u64 = 50;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_service_whose_store_is_away_is_alive_but_not_ready", store_away),
        ("a_service_whose_database_is_away_is_alive_but_not_ready", database_away),
        ("however_many_ask_whether_it_is_ready_the_store_is_asked_once_a_second", asked_by_many),
    ]
}

fn store_away(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        match &stack.store {
            Store::S3 { endpoint, .. } => {
                let door = Door::to(endpoint).await;
                let server = stack.server(&["--s3-endpoint", door.url.as_str()]).await;
                let upload = Repository::of(server.base_url(), "team/app").begin().await;
                upload.put(b"0123456789").await;
                healthy(server.base_url()).await;
                door.shut();
                becomes(server.base_url(), 503).await;
                // The session outlives it: the client is told to come again, and the same request succeeds.
                let away = upload.finalize(&digest_of(b"0123456789")).await;
                assert!(away.header("retry-after").is_some());
                away.refused(503, "UNAVAILABLE");
                door.open();
                becomes(server.base_url(), 200).await;
                upload.finalize(&digest_of(b"0123456789")).await.expect(201);
                stack.settled().await;
            }
            Store::Filesystem { root } => {
                let server = stack.server(&[]).await;
                healthy(server.base_url()).await;
                // As an unmounted disk looks.
                let elsewhere = root.with_extension("unmounted");
                std::fs::rename(root, &elsewhere).expect("the store is a folder");
                becomes(server.base_url(), 503).await;
                std::fs::rename(&elsewhere, root).expect("nothing took its place");
                becomes(server.base_url(), 200).await;
            }
        }
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn database_away(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Database::Postgres { .. } = &stack.database else {
            not_here("SQLite is a file that the service holds open: there is no line to cut")
        };
        let url = stack.database.url().parse().expect("a URL");
        let door = Door::to(&url).await;
        let server = stack.server(&["--database", door.url.as_str()]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let upload = repository.begin().await;
        upload.put(b"0123456789").await;
        healthy(server.base_url()).await;
        door.shut();
        becomes(server.base_url(), 503).await;
        let away = Answer::to(repository.http.post(repository.url("uploads/"))).await;
        assert!(away.header("retry-after").is_some());
        let message = away.refused(503, "UNAVAILABLE");
        assert!(message.contains("database") && !message.contains("127.0.0.1"), "{message}");
        door.open();
        becomes(server.base_url(), 200).await;
        upload.finalize(&digest_of(b"0123456789")).await.expect(201);
        assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    }
    .boxed()
}

fn asked_by_many(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let Store::S3 { endpoint, .. } = &stack.store else {
            not_here("no proxy counts what a disk is asked")
        };
        let proxy = HoldingProxy::in_front_of(endpoint, "HEAD", "").await;
        proxy.let_pass(10_000);
        let server = stack.server(&["--s3-endpoint", proxy.url().as_str().trim_end_matches('/')]).await;
        let url = format!("{}/readyz", server.base_url());
        let (http, before, begun) = (crate::support::http(), proxy.held(), Instant::now());
        for _ in 0..ASKING / 20 {
            for answer in join_all((0..20).map(|_| Answer::to(http.get(&url)))).await {
                answer.expect(200);
            }
        }
        let (looks, most) = (proxy.held() - before, begun.elapsed().as_secs() + 2);
        assert!(looks <= most, "{looks} looks in {:?}", begun.elapsed());

        // Nor do those who hang up before they have their answer, while the store is slow.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        proxy.hold();
        let before = proxy.held();
        for _ in 0..HANGING_UP {
            let mut stream = raw::connect(server.base_url()).await;
            stream.write_all(raw::request("GET", "/readyz", "").as_bytes()).await.expect("it listens");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let looks = proxy.held() - before;
        assert!((1..=3).contains(&looks), "{looks} looks for {HANGING_UP} who hang up");
        proxy.release();
        becomes(server.base_url(), 200).await;
    }
    .boxed()
}

async fn healthy(base_url: &str) {
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = Answer::to(crate::support::http().get(format!("{base_url}{path}"))).await.expect(200);
        assert_eq!(answer.text(), body);
    }
}

/// Waits until `/readyz` answers with `status`; `/healthz` answers 200 all the time.
async fn becomes(base_url: &str, status: u16) {
    let (http, deadline) = (crate::support::http(), Instant::now() + NOTICE_LIMIT);
    loop {
        Answer::to(http.get(format!("{base_url}/healthz"))).await.expect(200);
        let ready = Answer::to(http.get(format!("{base_url}/readyz"))).await;
        if ready.status == status {
            assert_eq!(ready.text().starts_with("not ready"), status == 503, "{}", ready.text());
            return;
        }
        assert!(Instant::now() < deadline, "still {} {}", ready.status, ready.text());
        tokio::time::sleep(POLL).await;
    }
}
