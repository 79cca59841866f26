//! Settings themselves: read, changed, refused, kept.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::clock::Clock;
use serde_json::{Value, json};

use super::{HELD_WITHIN, NAME, POLL, TAKEN_UP, set};
use crate::support::Stack;
use crate::support::api::{Answer, Repository};
use crate::support::people;
use crate::support::process::Server;
use crate::support::trial::Story;

pub fn cases() -> Vec<Story> {
    vec![
        ("settings_are_read_and_changed_by_http_and_by_the_command_and_survive_a_restart", changed),
        ("a_setting_that_makes_no_sense_is_refused_and_nothing_is_changed", refused),
        ("lifetimes_hold_for_what_begins_after_they_were_set", lifetimes),
        ("only_administrators_read_and_change_settings", administrators),
    ]
}

async fn shown(server: &Server) -> Value {
    let url = format!("{}/api/v2.0/configurations", server.base_url());
    Answer::to(crate::support::http().get(url)).await.expect(200).json()
}

fn changed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let mut server = stack.server(&["--url-lifetime", "7m"]).await;
        let other = stack.server(&["--url-lifetime", "7m"]).await;
        let setting = |value: Value| json!({ "value": value, "editable": true });
        let expected = json!({
            "upload_concurrent": setting((-1).into()),
            "download_concurrent": setting((-1).into()),
            "request_rate": setting((-1).into()),
            "open_sessions_per_user": setting((-1).into()),
            "upload_lifetime": setting("1d".into()),
            "url_lifetime": setting("7m".into()),
            "redirect_uploads": setting("auto".into()),
            "redirect_uploads_above": setting(1_048_576.into()),
            "audit_retention": setting("90d".into()),
            "project_creation_restriction": setting("everyone".into()),
            "storage_per_project": setting((-1).into()),
        });
        assert_eq!(shown(&server).await, expected);

        let changes = json!({ "upload_concurrent": 100, "url_lifetime": "5m", "request_rate": "50" });
        set(&crate::support::http(), &server, changes).await;
        let found = shown(&server).await;
        assert_eq!(found["upload_concurrent"]["value"], 100);
        assert_eq!(
            (&found["url_lifetime"]["value"], &found["request_rate"]["value"]),
            (&json!("5m"), &json!(50))
        );
        let begun = std::time::Instant::now();
        while shown(&other).await != found {
            assert!(begun.elapsed() < HELD_WITHIN, "the other replica has not taken it over");
            tokio::time::sleep(POLL).await;
        }

        let get = stack.command(&["config", "get", "upload_concurrent", "--database"]).await;
        assert_eq!((get.code, get.stdout.as_str()), (Some(0), "upload_concurrent = 100\n"), "{get:?}");
        let done = stack.command(&["config", "set", "upload_concurrent", "-1", "--json", "--database"]).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "{\"upload_concurrent\":-1}\n"), "{done:?}");
        let done = stack.command(&["config", "set", "download_concurrent", "9", "--database"]).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        let done = stack.command(&["config", "unset", "url_lifetime", "--database"]).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), "url_lifetime = 15m\n"), "{done:?}");
        let all = stack.command(&["config", "get", "--database"]).await;
        assert!(all.stdout.contains("download_concurrent = 9\n"), "{all:?}");

        server.kill9();
        let server = stack.server(&["--url-lifetime", "7m"]).await;
        let found = shown(&server).await;
        let value = |name: &str| found[name]["value"].clone();
        assert_eq!((value("upload_concurrent"), value("download_concurrent")), (json!(-1), json!(9)));
        assert_eq!((value("url_lifetime"), value("request_rate")), (json!("7m"), json!(50)));
    }
    .boxed()
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let before = shown(&server).await;
        let url = format!("{}/api/v2.0/configurations", server.base_url());
        for body in [
            json!({ "upload_concurrent": 5, "no_such_setting": 1 }),
            json!({ "upload_concurrent": 5, "url_lifetime": "8d" }),
            json!({ "upload_concurrent": 0 }),
            json!({ "upload_concurrent": 1.5 }),
            json!({ "upload_concurrent": [5] }),
            json!({ "request_rate": "many" }),
            json!({ "project_creation_restriction": "nobody" }),
            json!([{ "upload_concurrent": 5 }]),
            json!("upload_concurrent"),
        ] {
            let put = server_put(&url, body.to_string()).await;
            put.refused(400, "BAD_REQUEST");
            assert_eq!(shown(&server).await, before, "{body}");
        }
        server_put(&url, "{\"upload_concurrent\": 5").await.refused(400, "BAD_REQUEST");
        assert_eq!(server_put(&url, " ".repeat(70_000)).await.status, 413);
        for bad in [
            ["set", "no_such_setting", "1"].as_slice(),
            &["set", "upload_concurrent", "0"],
            &["set", "url_lifetime", "8d"],
            &["get", "no_such_setting"],
            &["unset"],
        ] {
            let done = stack.command(&[&["config"], bad].concat()).await;
            assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{bad:?}: {done:?}");
            assert!(done.stderr.contains("error"), "{done:?}");
        }
        assert_eq!(shown(&server).await, before);
    }
    .boxed()
}

async fn server_put(url: &str, body: impl Into<reqwest::Body>) -> Answer {
    Answer::to(crate::support::http().put(url).header("content-type", "application/json").body(body)).await
}

fn lifetimes(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (server, other) = (stack.server(&[]).await, stack.server(&[]).await);
        let lifetimes = json!({ "upload_lifetime": "3h", "url_lifetime": "2m" });
        set(&crate::support::http(), &server, lifetimes).await;
        tokio::time::sleep(TAKEN_UP).await;
        for server in [&server, &other] {
            let upload = Repository::of(server.base_url(), NAME).begin().await;
            let ends = |json: &Value| -> TimeDelta {
                let at: DateTime<Utc> =
                    json["expires_at"].as_str().and_then(|text| text.parse().ok()).expect("a time");
                at - Clock::System.now()
            };
            let session = ends(&upload.state().await.expect(200).json());
            assert!((170..=180).contains(&session.num_minutes()), "{session}");
            let url = ends(&upload.sign(&[("size", "10")]).await.expect(200).json());
            assert!((60..=120).contains(&url.num_seconds()), "{url}");
        }
    }
    .boxed()
}

fn administrators(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let (alice, root) =
            (people::user(&stack, "alice", false).await, people::user(&stack, "root", true).await);
        let url = format!("{}/api/v2.0/configurations", server.base_url());
        let body = json!({ "upload_concurrent": 7 });
        for (http, status) in [(crate::support::http(), 401), (alice.http, 403)] {
            Answer::to(http.get(&url)).await.expect(status);
            Answer::to(http.put(&url).json(&body)).await.expect(status);
        }
        assert_eq!(
            Answer::to(root.http.get(&url)).await.expect(200).json()["upload_concurrent"]["value"],
            -1
        );
        Answer::to(root.http.put(&url).json(&body)).await.expect(200);
        assert_eq!(Answer::to(root.http.get(&url)).await.expect(200).json()["upload_concurrent"]["value"], 7);
        let log = stack
            .database
            .texts("SELECT username || ' ' || operation || ' ' || resource FROM audit_entry ORDER BY id")
            .await;
        assert_eq!(log, ["(command line) create admin", "root update upload_concurrent=7"]);
    }
    .boxed()
}
