//! What a project and a user leave to whoever comes to have the name: nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use overside::domain::access::{Action, Actions, Role};
use serde_json::{Value, json};

use super::{Api, field, id_of};
use crate::support::api::{Answer, Repository, digest_of};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Accounts, Login, Stack, http};

const POLL: Duration = Duration::from_millis(100);
/// For what is remembered for seconds to be forgotten.
const NOTICE_LIMIT: Duration = Duration::from_secs(30);

pub fn cases() -> Vec<Story> {
    vec![
        ("who_makes_a_project_anew_has_nothing_of_the_one_before_but_its_limits", projects),
        ("who_comes_to_have_a_users_or_robots_name_has_none_of_their_uploads", names),
        ("a_token_ends_with_whom_it_was_issued_to", tokens),
        ("robots_count_with_whoever_made_their_project", robots),
        ("a_push_behind_its_answer_is_in_the_log_once_it_has_succeeded", behind),
        ("strangers_are_given_so_many_tokens_in_a_second", strangers),
        ("a_filter_longer_than_any_name_is_refused", filters),
    ]
}

fn repository(server: &Server, login: &Login, name: &str) -> Repository {
    let mut repository = Repository::of(server.base_url(), name);
    let mut headers = reqwest::header::HeaderMap::new();
    let request = login.sign(http().get(server.base_url())).build().expect("a request");
    headers.extend(request.headers().clone());
    repository.http = crate::support::http_with(|builder| builder.default_headers(headers));
    repository
}

fn projects(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        let root = Api::of(&server).with(&accounts.administrator("root").await);
        let (alice, bob) = (accounts.user("alice").await, accounts.user("bob").await);
        let (as_alice, as_bob) = (root.with(&alice), root.with(&bob));
        let make = json!({ "project_name": "team" });
        let first = id_of(&as_alice.post("projects", make.clone()).await.expect(201));
        let granted = json!({ "hard": { "storage": 1000, "count": 5 } });
        root.put(&format!("quotas/{first}"), granted.clone()).await.expect(200);
        let upload = repository(&server, &alice, "team/app").begin().await;
        upload.sign(&[("size", "900")]).await.expect(200);
        as_alice.delete("projects/team").await.expect(200);
        assert_eq!(upload.row(&stack).await.state.status().as_str(), "aborted");

        let second = id_of(&as_bob.post("projects", make.clone()).await.expect(201));
        assert_ne!(first, second);
        let quota = as_bob.get(&format!("quotas/{second}")).await.expect(200).json();
        assert_eq!(quota["hard"], granted["hard"], "what was granted is granted to the name");
        as_bob.put(&format!("quotas/{second}"), json!({ "hard": { "storage": 2000 } })).await.expect(403);
        // Nothing is held for what somebody else had begun.
        repository(&server, &bob, "team/app").begin().await.sign(&[("size", "900")]).await.expect(200);
        let log = as_bob.get("projects/team/logs").await.expect(200);
        assert_eq!(
            (field(&log, "operation"), field(&log, "username")),
            (vec![json!("create")], vec![json!("bob")])
        );
        // All that was done stays done, for whoever runs the service.
        let all = root.get("audit-logs").await.expect(200);
        assert!(field(&all, "username").contains(&json!("alice")), "{}", all.text());
        Answer::to(upload.http.get(&upload.url)).await.expect(403);

        // An administrator sets what they like.
        as_bob.delete("projects/team").await.expect(200);
        root.post("projects", make).await.expect(201);
        let quota = field(&root.get("quotas").await.expect(200), "hard");
        assert_eq!(quota, [json!({ "storage": -1, "count": -1 })]);
    }
    .boxed()
}

fn names(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        accounts.project("team", false).await;
        let root = Api::of(&server).with(&accounts.administrator("root").await);
        let pushes = Actions::NONE.with(Action::Pull).with(Action::Push);
        let user = accounts.user_as("alice", "team", Role::Developer).await;
        let program = accounts.robot("team", "ci", pushes).await;
        let mut uploads = Vec::new();
        for login in [&user, &program] {
            uploads.push(repository(&server, login, "team/app").begin().await);
        }
        let users = root.get("users").await.expect(200).json();
        let users = users.as_array().expect("users").clone();
        let alice = users.iter().find(|user| user["username"] == "alice").expect("alice")["user_id"].clone();
        root.delete(&format!("users/{alice}")).await.expect(200);
        let robots = field(&root.get("robots").await.expect(200), "id");
        root.delete(&format!("robots/{}", robots[0])).await.expect(200);
        for upload in &uploads {
            assert_eq!(upload.row(&stack).await.state.status().as_str(), "aborted");
        }
        // What a request that was on its way has begun since is nobody's either.
        let open = "UPDATE blob_upload_session SET status = 'pending', ended_at = NULL".to_owned();
        assert_eq!(stack.database.run(open).await, 2);
        accounts.user_as("alice", "team", Role::Developer).await;
        accounts.robot("team", "ci", pushes).await;
        for upload in &uploads {
            assert_eq!(upload.row(&stack).await.state.status().as_str(), "aborted");
        }
    }
    .boxed()
}

fn tokens(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let replicas = [stack.guarded_server(&[]).await, stack.guarded_server(&[]).await];
        accounts.project("team", false).await;
        let root = Api::of(&replicas[0]).with(&accounts.administrator("root").await);
        let alice = accounts.user_as("alice", "team", Role::Developer).await;
        let token = format!("{}/service/token?scope=repository:team/app:pull,push", replicas[0].base_url());
        let token = Answer::to(alice.sign(http().get(token))).await.expect(200).json();
        let token = token["token"].as_str().expect("a token").to_owned();
        let ask = async |server: &Server| {
            let url = format!("{}/v2/", server.base_url());
            Answer::to(http().get(url).bearer_auth(&token)).await.status
        };
        for server in &replicas {
            assert_eq!(ask(server).await, 200);
        }
        let users = root.get("users").await.expect(200).json();
        let users = users.as_array().expect("users").clone();
        let id = users.iter().find(|user| user["username"] == "alice").expect("alice")["user_id"].clone();
        root.delete(&format!("users/{id}")).await.expect(200);
        assert_eq!(ask(&replicas[0]).await, 401, "where it was done it holds at once");
        let begun = Instant::now();
        while ask(&replicas[1]).await != 401 {
            assert!(begun.elapsed() < NOTICE_LIMIT, "it outlives its user");
            tokio::time::sleep(POLL).await;
        }
        // Somebody else of that name is somebody else.
        accounts.user_as("alice", "team", Role::Developer).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        for server in &replicas {
            assert_eq!(ask(server).await, 401);
        }
    }
    .boxed()
}

fn robots(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        let root = Api::of(&server).with(&accounts.administrator("root").await);
        let alice = accounts.user("alice").await;
        for project in ["one", "two"] {
            root.with(&alice).post("projects", json!({ "project_name": project })).await.expect(201);
        }
        accounts.project("common", false).await;
        let pushes = Actions::NONE.with(Action::Pull).with(Action::Push);
        let mut programs = Vec::new();
        for (project, robot) in [("one", "a"), ("one", "b"), ("two", "a"), ("common", "a"), ("common", "b")] {
            programs.push((project, accounts.robot(project, robot, pushes).await));
        }
        root.put("configurations", json!({ "open_sessions_per_user": 3 })).await.expect(200);
        let begin = async |login: &Login, project: &str| {
            let repository = repository(&server, login, &format!("{project}/app"));
            let post = repository.http.post(repository.url("uploads/")).header("content-length", 0);
            Answer::to(post).await.status
        };
        // With whoever made their projects, and those of nobody's with their project.
        let mut seen = vec![begin(&alice, "one").await];
        for (project, login) in &programs[..3] {
            seen.push(begin(login, project).await);
        }
        assert_eq!(seen, [202, 202, 202, 429]);
        assert_eq!(begin(&alice, "two").await, 429);
        let mut seen = Vec::new();
        for turn in 0..4 {
            seen.push(begin(&programs[3 + turn % 2].1, "common").await);
        }
        assert_eq!(seen, [202, 202, 202, 429]);

        root.put("configurations", json!({ "open_sessions_per_user": null, "request_rate": 5 }))
            .await
            .expect(200);
        tokio::time::sleep(Duration::from_secs(2)).await;
        // Forty at once, by as many as there are: one share.
        let asked = (0..40).map(|turn| {
            let (_, login) = &programs[turn % 3];
            Answer::to(login.sign(http().get(format!("{}/v2/", server.base_url()))))
        });
        let hurried = Instant::now();
        let answers = join_all(asked).await;
        let admitted = answers.iter().filter(|answer| answer.status == 200).count() as u64;
        let most = 5 * (2 + hurried.elapsed().as_secs());
        assert!(admitted <= most, "{admitted} of 40 were let in by a rate of 5");
    }
    .boxed()
}

fn behind(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        accounts.project("team", false).await;
        let alice = accounts.user_as("alice", "team", Role::Developer).await;
        let repository = repository(&server, &alice, "team/app");
        let (right, wrong) = (digest_of(b"0123456789"), digest_of(b"something else"));
        for digest in [wrong, right] {
            let upload = repository.begin().await;
            upload.put(b"0123456789").await;
            let put = upload.http.put(&upload.url).query(&[("digest", digest.to_string())]);
            let put = put.header("prefer", "respond-async").header("content-length", 0);
            Answer::to(put).await.expect(202);
            let begun = Instant::now();
            while !matches!(upload.state().await.json()["status"].as_str(), Some("failed" | "completed")) {
                assert!(begun.elapsed() < NOTICE_LIMIT, "it does not end");
                tokio::time::sleep(POLL).await;
            }
        }
        let pushes = "SELECT username || ' ' || resource FROM audit_entry WHERE operation = 'push'";
        let begun = Instant::now();
        let mut log = stack.database.texts(pushes).await;
        while log.is_empty() && begun.elapsed() < NOTICE_LIMIT {
            tokio::time::sleep(POLL).await;
            log = stack.database.texts(pushes).await;
        }
        assert_eq!(log, [format!("alice team/app@{right}")]);
    }
    .boxed()
}

fn strangers(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let accounts = Accounts::of(&stack).await;
        let server = stack.guarded_server(&[]).await;
        let alice = accounts.user("alice").await;
        let url = format!("{}/service/token", server.base_url());
        let client = http();
        let mut refused: Option<Answer> = None;
        for _ in 0..20 {
            let answers = join_all((0..40).map(|_| Answer::to(client.get(&url)))).await;
            refused = answers.into_iter().find(|answer| answer.status != 200);
            if refused.is_some() {
                break;
            }
        }
        let refused = refused.expect("800 tokens were given out as fast as somebody asked");
        assert_eq!(refused.header("retry-after"), Some("1"));
        refused.refused(429, "TOOMANYREQUESTS");
        Answer::to(alice.sign(http().get(&url))).await.expect(200);
    }
    .boxed()
}

fn filters(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        repository.push(b"a blob").await;
        let long = "x".repeat(60_000);
        let answer =
            Answer::to(http().get(format!("{}/api/v2.0/projects?name={long}", server.base_url()))).await;
        assert!(answer.refused(400, "BAD_REQUEST").contains("name="));
        let digest = digest_of(b"a blob");
        for path in [
            "/v2/_catalog?last=".to_owned(),
            "/v2/team/app/tags/list?last=".to_owned(),
            format!("/v2/team/app/referrers/{digest}?artifactType=a/"),
            format!("/v2/team/app/referrers/{digest}?last="),
        ] {
            let get = http().get(format!("{}{path}{long}", server.base_url()));
            let answer: Value = Answer::to(get).await.expect(400).json();
            assert!(answer["errors"][0]["message"].as_str().is_some_and(|text| text.len() < 200), "{path}");
        }
    }
    .boxed()
}
