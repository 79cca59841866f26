//! `/healthz` and `/readyz`, and what clients are told while the database or the store is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use super::door::Door;
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::database::Database;
use crate::support::trial::Story;
use crate::support::{Stack, Store};

/// For the service to find out that something is gone, or back.
const NOTICE_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

pub fn cases() -> Vec<Story> {
    vec![
        ("a_service_whose_store_is_away_is_alive_but_not_ready", store_away),
        ("a_service_whose_database_is_away_is_alive_but_not_ready", database_away),
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
        // SQLite is a file that the service holds open: there is no line to cut.
        let Database::Postgres { .. } = &stack.database else {
            let server = stack.server(&[]).await;
            return healthy(server.base_url()).await;
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
