//! Who reads the log, and how.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;

use super::{NAME, log_of};
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, http, people};

pub fn cases() -> Vec<Story> {
    vec![
        ("the_log_of_a_project_is_read_by_its_members_and_all_of_it_by_administrators", permission),
        ("the_log_is_read_a_page_at_a_time_newest_first", pages),
    ]
}

fn permission(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let guest = people::user(&stack, "guest", false).await;
        let stranger = people::user(&stack, "stranger", false).await;
        let root = people::user(&stack, "root", true).await;
        people::project(&stack, "team", &[(&guest, "guest")]).await;
        people::project(&stack, "other", &[(&stranger, "admin")]).await;
        let digest = root.repository(server.base_url(), NAME).push(b"a blob").await;
        stranger.repository(server.base_url(), "other/app").push(b"another").await;
        let api = format!("{}/api/v2.0", server.base_url());
        let id =
            stack.database.texts("SELECT CAST(id AS TEXT) FROM project WHERE name = 'team'").await.remove(0);
        for project in ["team", id.as_str()] {
            let url = format!("{api}/projects/{project}/logs");
            for (who, http, status) in [
                ("root", &root.http, 200),
                ("guest", &guest.http, 200),
                ("stranger", &stranger.http, 403),
                ("anonymous", &http(), 401),
            ] {
                let answer = Answer::to(http.get(&url)).await;
                assert_eq!(answer.status, status, "{who}: {}", answer.text());
                if status == 200 {
                    let entries = answer.json();
                    assert_eq!(entries.as_array().map(Vec::len), Some(1), "{entries}");
                    assert_eq!(entries[0]["username"], "root");
                    assert_eq!(entries[0]["resource"], format!("{NAME}@{digest}"));
                }
            }
        }
        // A project that is not there gets the answer of one that is not theirs.
        let (hidden, absent) = (format!("{api}/projects/team/logs"), format!("{api}/projects/nothing/logs"));
        let (hidden, absent) =
            (Answer::to(stranger.http.get(hidden)).await, Answer::to(stranger.http.get(absent)).await);
        assert_eq!((hidden.status, hidden.text()), (absent.status, absent.text()));
        let all = format!("{api}/audit-logs");
        assert_eq!(
            Answer::to(root.http.get(&all)).await.expect(200).json().as_array().map(Vec::len),
            Some(3)
        );
        Answer::to(guest.http.get(&all)).await.expect(403);
        Answer::to(http().get(&all)).await.expect(401);
    }
    .boxed()
}

fn pages(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), NAME);
        for number in 0..7 {
            repository.push(format!("blob {number}").as_bytes()).await;
        }
        assert_eq!(log_of(&stack, 7).await.len(), 7);
        let mut url = format!("{}/api/v2.0/projects/team/logs?page_size=3", server.base_url());
        let (mut found, mut sizes) = (Vec::new(), Vec::new());
        loop {
            let page = Answer::to(http().get(&url)).await.expect(200);
            assert_eq!(page.header("x-total-count"), Some("7"));
            let entries = page.json();
            let entries = entries.as_array().expect("an array");
            sizes.push(entries.len());
            found.extend(entries.iter().cloned());
            let links = page.header("link").unwrap_or_default().to_owned();
            assert_eq!(links.contains("rel=\"prev\""), sizes.len() > 1, "{links}");
            let next =
                links.split(", ").find_map(|link| link.strip_suffix(">; rel=\"next\"")?.strip_prefix('<'));
            let Some(next) = next else { break };
            url = format!("{}{next}", server.base_url());
        }
        assert_eq!(sizes, [3, 3, 1]);
        for (entry, number) in found.iter().zip((0..7).rev()) {
            let digest = digest_of(format!("blob {number}").as_bytes());
            assert_eq!(entry["resource"], format!("{NAME}@{digest}"));
            let fields: Vec<_> = entry.as_object().expect("an object").keys().map(String::as_str).collect();
            let expected =
                ["client_address", "id", "op_time", "operation", "resource", "resource_type", "username"];
            assert_eq!(fields, expected);
        }
        let times: Vec<_> = found.iter().map(|entry| entry["id"].as_i64()).collect();
        assert!(times.is_sorted_by(|newer, older| newer > older), "{times:?}");
        let default = format!("{}/api/v2.0/projects/team/logs", server.base_url());
        let beyond = Answer::to(http().get(format!("{default}?page=9"))).await.expect(200);
        assert_eq!(beyond.json(), Value::Array(Vec::new()));
        for bad in ["page=0", "page_size=0", "page=x", "page=1&page=2", "page_size=-1"] {
            Answer::to(http().get(format!("{default}?{bad}"))).await.refused(400, "BAD_REQUEST");
        }
        let none = format!("{}/api/v2.0/projects/nobodys/logs", server.base_url());
        assert_eq!(Answer::to(http().get(none)).await.expect(200).header("x-total-count"), Some("0"));
        let none = format!("{}/api/v2.0/projects/4711/logs", server.base_url());
        Answer::to(http().get(none)).await.refused(404, "NOT_FOUND");
    }
    .boxed()
}
