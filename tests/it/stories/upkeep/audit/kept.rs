//! That nothing is lost, and that it is not kept for ever.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{NAME, log, log_of};
use crate::support::Stack;
use crate::support::api::{Repository, digest_of};
use crate::support::database::Database;
use crate::support::trial::Story;

/// Kills, at moments that differ.
const KILLS: u64 = 4;
const PUSHERS: usize = 4;

pub fn cases() -> Vec<Story> {
    vec![
        ("what_was_acknowledged_is_in_the_log_whenever_the_service_is_killed", killed),
        ("pulls_are_in_the_log_after_a_stop_in_good_order", stopped),
        ("a_client_that_hangs_up_does_not_stay_out_of_the_log", hung_up),
        ("the_log_is_kept_for_as_long_as_is_set_and_no_longer", retention),
    ]
}

fn killed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let mut acknowledged = Vec::new();
        for kill in 0..KILLS {
            let mut server = stack.server(&[]).await;
            let repository = Repository::of(server.base_url(), NAME);
            let (sender, mut receiver) = mpsc::unbounded_channel();
            for pusher in 0..PUSHERS {
                let (repository, sender) = (repository.clone(), sender.clone());
                tokio::spawn(async move {
                    for number in 0.. {
                        let content = format!("{kill} {pusher} {number}");
                        let digest = digest_of(content.as_bytes());
                        let push = repository.http.post(repository.url(format!("uploads/?digest={digest}")));
                        // Cut off by the kill.
                        let Ok(answer) = push.body(content).send().await else { break };
                        assert_eq!(answer.status(), 201);
                        if sender.send(format!("{NAME}@{digest}")).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            tokio::time::sleep(Duration::from_millis(700 + 137 * kill)).await;
            server.kill9();
            while let Some(resource) = receiver.recv().await {
                acknowledged.push(resource);
            }
        }
        assert!(acknowledged.len() > PUSHERS, "only {} pushes", acknowledged.len());
        let log = stack.database.texts("SELECT resource FROM audit_entry WHERE operation = 'push'").await;
        let log: std::collections::HashSet<_> = log.into_iter().collect();
        let lost: Vec<_> = acknowledged.iter().filter(|resource| !log.contains(*resource)).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
    }
    .boxed()
}

fn stopped(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let mut server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        repository.tagged("v1").await;
        let before = log(&stack).await.len();
        for _ in 0..40 {
            repository.get("v1").await.expect(200);
        }
        let ended = server.terminate(Duration::from_secs(20)).await;
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        assert_eq!(log(&stack).await.len(), before + 40);
    }
    .boxed()
}

fn hung_up(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        const MANIFESTS: &str = "SELECT media_type FROM manifest";
        let unlogged: &'static str = format!(
            "SELECT name FROM repository JOIN manifest ON manifest.repository_id = repository.id
            WHERE NOT EXISTS (SELECT 1 FROM audit_entry
                WHERE operation = 'push' AND resource = name || '@sha256:' || {})",
            stack.database.hex("digest")
        )
        .leak();
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        let image = repository.image("an image").await;
        for number in 0..40_u64 {
            let image = image.with("annotations", serde_json::json!({ "number": number.to_string() }));
            let put = repository.put(image.digest(), &image);
            // Anywhere between the request and its answer.
            let _ = tokio::time::timeout(Duration::from_micros(300 * number), put).await;
        }
        // The last of them go on by themselves.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(stack.database.texts(unlogged).await, Vec::<String>::new());
        let image = image.with("annotations", serde_json::json!({ "number": "last" }));
        repository.put(image.digest(), &image).await.expect(201);
        let manifests = stack.database.texts(MANIFESTS).await;
        assert!(manifests.len() > 1, "none got so far");
        assert_eq!(stack.database.texts(unlogged).await, Vec::<String>::new());
    }
    .boxed()
}

fn retention(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    const FAILURE: &str = "
        INSERT INTO sign_in_attempt (subject, attempts, last_at_ms) VALUES ('password 127.0.0.1', 3, 1577836800000)";
    const AGE: &str = "UPDATE audit_entry SET happened_at = $1 WHERE $1 < $2";
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        for number in 0..5 {
            repository.push(format!("{number}").as_bytes()).await;
        }
        let age = async |age: TimeDelta| {
            if matches!(stack.database, Database::Postgres { .. }) {
                let month = format!("SELECT make_audit_month(now() - interval '{} days')", age.num_days());
                stack.database.run(month).await;
            }
            stack.database.write(AGE, [-age, TimeDelta::zero()]).await
        };
        let forgotten = async || -> u64 {
            let done = stack.command(&["cleanup", "--json"]).await;
            assert_eq!(done.code, Some(0), "{done:?}");
            let report: Value = serde_json::from_str(&done.stdout).expect("JSON");
            report["forgotten_audit_entries"].as_u64().expect("a count")
        };
        assert_eq!(age(TimeDelta::days(89)).await, 5);
        assert_eq!(forgotten().await, 0, "ninety days unless something else is set");
        stack.database.run(FAILURE.to_owned()).await;
        let done = stack.command(&["config", "set", "audit_retention", "50d", "--database"]).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        repository.push(b"fresh").await;
        assert_eq!(forgotten().await, 5);
        let left = log_of(&stack, 2).await;
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left[0].contains("update configuration audit_retention=50d"), "{left:?}");
        assert_eq!(stack.database.texts("SELECT subject FROM sign_in_attempt").await, Vec::<String>::new());
        assert_eq!(age(TimeDelta::days(95)).await, 2);
        assert_eq!(forgotten().await, 2);
        assert_eq!(forgotten().await, 0);
    }
    .boxed()
}
