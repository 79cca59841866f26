//! Webhooks: what a project's receivers are told of, in which order, and what they can not be used for.

mod receiver;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use receiver::{Receiver, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{Answer, Repository};
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{self, Accounts, Login, Stack};

/// A receiver of the test is on this machine, and one that hangs shall not hang for long.
const FLAGS: [&str; 4] = [
    "--webhook-private-addresses",
    "--webhook-timeout",
    "400ms",
    "--public-url=http://registry.example:5000",
];
/// Where a delivery that is only slow would count as one that failed.
const PATIENT: [&str; 4] = [FLAGS[0], FLAGS[1], "20s", FLAGS[3]];
const ALL: [&str; 4] = ["PUSH_ARTIFACT", "PULL_ARTIFACT", "DELETE_ARTIFACT", "QUOTA_EXCEED"];

pub fn cases() -> Vec<Story> {
    vec![
        ("events_come_in_order_through_a_receiver_that_fails_half_the_time", in_order),
        ("an_event_survives_the_crash_of_the_service", crash),
        ("replicas_side_by_side_keep_the_order_of_each_repository", replicas),
        ("a_receiver_that_is_down_keeps_nobody_else_waiting", down),
        ("private_networks_are_out_of_reach_unless_the_operator_allows_them", private),
        ("what_deliveries_sign_in_with_is_shown_to_nobody", secret),
        ("each_format_is_harbors", formats),
        ("a_project_that_is_full_tells_of_it_once", quota),
        ("a_policy_that_is_deleted_takes_its_events_with_it", deleted),
        ("a_policy_that_cannot_be_is_refused_with_what_to_do", refused),
        ("webhooks_are_managed_by_commands", commands),
    ]
}

async fn call(server: &Server, login: Option<&Login>, method: Method, path: &str, body: Value) -> Answer {
    let request = support::http().request(method, format!("{}/api/v2.0/{path}", server.base_url()));
    let request = match login {
        Some(login) => login.sign(request),
        None => request,
    };
    Answer::to(if body.is_null() { request } else { request.json(&body) }).await
}

async fn project(server: &Server, name: &str) {
    call(server, None, Method::POST, "projects", json!({ "project_name": name })).await.expect(201);
}

fn policy(name: &str, url: &str, format: &str, events: &[&str]) -> Value {
    json!({
        "name": name,
        "event_types": events,
        "targets": [{ "type": "http", "address": url, "payload_format": format }],
    })
}

/// Has `url` told of these events in the project `team`; where the policy is.
async fn told(server: &Server, name: &str, url: &str, events: &[&str]) -> String {
    let policy = policy(name, url, "Default", events);
    let made = call(server, None, Method::POST, "projects/team/webhook/policies", policy).await.expect(201);
    let location = made.header("location").expect("where it is").to_owned();
    location.strip_prefix("/api/v2.0/").expect("a path of the API").to_owned()
}

/// What was told, in the order in which it came: `PUSH_ARTIFACT team/app:v1`.
fn told_of(delivered: &[Value]) -> Vec<String> {
    let line = |event: &Value| {
        let data = &event["event_data"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (repository, tag) =
            (text(&data["repository"]["repo_full_name"]), text(&data["resources"][0]["tag"]));
        format!("{} {repository}:{tag}", text(&event["type"]))
    };
    delivered.iter().map(line).collect()
}

fn in_order(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let receiver = Receiver::new(|attempt| match attempt % 6 {
            0 => Reply::Status(500),
            2 => Reply::HangUp,
            4 => Reply::Silence,
            _ => Reply::Status(200),
        })
        .await;
        let server = stack.server(&FLAGS).await;
        project(&server, "team").await;
        told(&server, "ci", &receiver.url, &["PUSH_ARTIFACT", "DELETE_ARTIFACT"]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let image = repository.image("one").await;
        for tag in ["v1", "v2", "v3"] {
            repository.put(tag, &image).await.expect(201);
        }
        repository.delete("v2").await.expect(202);
        repository.delete(image.digest()).await.expect(202);

        let delivered = receiver.delivered(6).await;
        let expected = [
            "PUSH_ARTIFACT team/app:v1",
            "PUSH_ARTIFACT team/app:v2",
            "PUSH_ARTIFACT team/app:v3",
            "DELETE_ARTIFACT team/app:v2",
            "DELETE_ARTIFACT team/app:v1",
            "DELETE_ARTIFACT team/app:v3",
        ];
        assert_eq!(told_of(&delivered), expected);
        assert!(receiver.attempts() >= 12, "every second one fails: {}", receiver.attempts());
        emptied(&stack).await;
        let triggers =
            call(&server, None, Method::GET, "projects/team/webhook/lasttrigger", Value::Null).await;
        let triggers = triggers.expect(200).json();
        let types: Vec<_> = triggers.as_array().expect("a list").iter().map(|at| &at["event_type"]).collect();
        assert_eq!(types, ["DELETE_ARTIFACT", "PUSH_ARTIFACT"]);
    }
    .boxed()
}

/// Waits until the outbox is empty.
async fn emptied(stack: &Stack) {
    for _ in 0..100 {
        let left = stack
            .database
            .texts("SELECT repository FROM webhook_queue UNION ALL SELECT tag FROM webhook_event");
        if left.await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the outbox is not empty");
}

fn crash(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let receiver = Receiver::new(|_| Reply::Silence).await;
        let mut server = stack.server(&FLAGS).await;
        project(&server, "team").await;
        told(&server, "ci", &receiver.url, &["PUSH_ARTIFACT"]).await;
        Repository::of(server.base_url(), "team/app").tagged("v1").await;
        // While it is delivered: the lease is the dead replica's.
        receiver.attempted(1).await;
        server.kill9();
        receiver.behave(|_| Reply::Status(204));
        let _other = stack.server(&FLAGS).await;
        assert_eq!(told_of(&receiver.delivered(1).await), ["PUSH_ARTIFACT team/app:v1"]);
    }
    .boxed()
}

fn replicas(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let receiver = Receiver::new(|_| Reply::Status(200)).await;
        let servers = [stack.server(&PATIENT).await, stack.server(&PATIENT).await];
        project(&servers[0], "team").await;
        told(&servers[0], "ci", &receiver.url, &["PUSH_ARTIFACT"]).await;
        let names = ["team/a", "team/b", "team/c"];
        for name in names {
            let image = Repository::of(servers[0].base_url(), name).image(name).await;
            for count in 0..6 {
                let server = &servers[count % 2];
                let repository = Repository::of(server.base_url(), name);
                repository.put(format!("v{count}"), &image).await.expect(201);
            }
        }
        let delivered = told_of(&receiver.delivered(18).await);
        for name in names {
            let of_repository: Vec<_> =
                delivered.iter().filter(|line| line.contains(&format!("{name}:"))).cloned().collect();
            let expected: Vec<_> = (0..6).map(|count| format!("PUSH_ARTIFACT {name}:v{count}")).collect();
            assert_eq!(of_repository, expected);
        }
        emptied(&stack).await;
        assert_eq!(receiver.attempts(), 18, "nothing failed, so nothing came twice");
    }
    .boxed()
}

fn down(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (broken, well) =
            (Receiver::new(|_| Reply::Silence).await, Receiver::new(|_| Reply::Status(200)).await);
        let server = stack.server(&FLAGS).await;
        project(&server, "team").await;
        told(&server, "broken", &broken.url, &["PUSH_ARTIFACT"]).await;
        told(&server, "well", &well.url, &["PUSH_ARTIFACT"]).await;
        Repository::of(server.base_url(), "team/a").tagged("v1").await;
        broken.attempted(1).await;
        // Another repository, which waits for no other either.
        Repository::of(server.base_url(), "team/b").tagged("v1").await;
        well.delivered(2).await;
        broken.behave(|_| Reply::Status(200));
        let mut delivered = told_of(&broken.delivered(2).await);
        delivered.sort();
        assert_eq!(delivered, ["PUSH_ARTIFACT team/a:v1", "PUSH_ARTIFACT team/b:v1"]);
    }
    .boxed()
}

fn private(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let receiver = Receiver::new(|_| Reply::Status(200)).await;
        let server = stack.server(&["--webhook-timeout", "400ms"]).await;
        project(&server, "team").await;
        let port = receiver.url.rsplit(':').next().expect("a port").to_owned();
        let addresses = [
            format!("http://127.0.0.1:{port}"),
            format!("http://localhost:{port}"),
            format!("http://0x7f.1:{port}"),
            format!("http://[::ffff:127.0.0.1]:{port}"),
        ];
        for address in &addresses {
            told(&server, address, address, &["PUSH_ARTIFACT"]).await;
        }
        Repository::of(server.base_url(), "team/app").tagged("v1").await;
        let failed = || stack.database.texts("SELECT repository FROM webhook_queue WHERE attempts > 0");
        for _ in 0..100 {
            if failed().await.len() == addresses.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(failed().await.len(), addresses.len());
        assert_eq!(receiver.connections(), 0, "nobody connects");
        assert!(stack.logs().contains("of a private network"), "{}", stack.logs());
    }
    .boxed()
}

fn secret(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        const SECRET: &str = "Bearer not-for-everybody";
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        let head = accounts.user_as("head", "team", Role::Admin).await;
        let developer = accounts.user_as("developer", "team", Role::Developer).await;
        let receiver = Receiver::new(|attempt| Reply::Status(if attempt == 0 { 500 } else { 200 })).await;
        let server = stack.guarded_server(&FLAGS).await;
        let policies = "projects/team/webhook/policies";
        let mut body = policy("ci", &receiver.url, "Default", &["PUSH_ARTIFACT"]);
        body["targets"][0]["auth_header"] = json!(SECRET);
        let made = call(&server, Some(&head), Method::POST, policies, body.clone()).await.expect(201);
        let path = made.header("location").expect("where").replace("/api/v2.0/", "");
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            call(&server, Some(&developer), method, &path, body.clone()).await.refused(403, "FORBIDDEN");
        }
        let shown = call(&server, Some(&head), Method::GET, &path, Value::Null).await.expect(200);
        assert_eq!(shown.json()["targets"][0]["auth_header"], "******");
        // As it was shown it changes nothing, and goes to no other server.
        body["targets"][0]["auth_header"] = json!("******");
        call(&server, Some(&head), Method::PUT, &path, body.clone()).await.expect(200);
        let mut elsewhere = body;
        elsewhere["targets"][0]["address"] = json!("http://elsewhere.example/");
        call(&server, Some(&head), Method::PUT, &path, elsewhere).await.refused(400, "BAD_REQUEST");

        let mut repository = Repository::of(server.base_url(), "team/app");
        repository.http = signed_in(&developer);
        repository.tagged("v1").await;
        let delivered = receiver.delivered(1).await;
        assert_eq!(delivered[0]["operator"], "developer");
        let header = format!("authorization: {SECRET}").to_lowercase();
        assert!(receiver.heads().iter().all(|head| head.to_lowercase().contains(&header)));
        assert!(!stack.whole_logs().contains("not-for-everybody"));
    }
    .boxed()
}

/// A client that signs in with every request.
fn signed_in(login: &Login) -> reqwest::Client {
    let basic = support::http().get("http://x.example").basic_auth(&login.name, Some(&login.secret));
    let header = basic.build().expect("a request").headers()["authorization"].clone();
    let headers = [(reqwest::header::AUTHORIZATION, header)].into_iter().collect();
    support::http_with(|client| client.default_headers(headers))
}

fn formats(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let receivers = [Receiver::new(|_| Reply::Status(200)).await, Receiver::new(|_| Reply::Status(200)).await];
        let server = stack.server(&FLAGS).await;
        project(&server, "team").await;
        let policies = "projects/team/webhook/policies";
        let mut ids = Vec::new();
        for (receiver, format) in receivers.iter().zip(["Default", "CloudEvents"]) {
            let body = policy(format, &receiver.url, format, &ALL);
            let made = call(&server, None, Method::POST, policies, body).await.expect(201);
            let location = made.header("location").expect("where").to_owned();
            ids.push(location.rsplit('/').next().expect("an id").to_owned());
        }
        let repository = Repository::of(server.base_url(), "team/app");
        let image = repository.tagged("v1").await;
        for receiver in &receivers {
            receiver.delivered(1).await;
        }
        repository.get("v1").await.expect(200);
        repository.get(image.digest()).await.expect(200);
        let harbor = receivers[0].delivered(3).await;
        let cloud = receivers[1].delivered(3).await;

        let digest = image.digest();
        let data = |tag: &str, separator: &str| {
            json!({
                "resources": [{
                    "digest": digest.to_string(),
                    "tag": tag,
                    "resource_url": format!("registry.example:5000/team/app{separator}{tag}"),
                }],
                "repository": {
                    "name": "app",
                    "namespace": "team",
                    "repo_full_name": "team/app",
                    "repo_type": "private",
                },
            })
        };
        let by_digest = data(&digest.to_string(), "@");
        let told = [("PUSH_ARTIFACT", data("v1", ":")), ("PULL_ARTIFACT", data("v1", ":")), ("PULL_ARTIFACT", by_digest)];
        for (event, (event_type, data)) in harbor.iter().zip(&told) {
            let at = event["occur_at"].as_i64().expect("seconds");
            let expected =
                json!({ "type": event_type, "occur_at": at, "operator": "anonymous", "event_data": data });
            assert_eq!(*event, expected);
        }
        let project = call(&server, None, Method::GET, "projects/team", Value::Null).await.expect(200).json();
        for (event, (event_type, data)) in cloud.iter().zip(&told) {
            let expected = json!({
                "specversion": "1.0",
                "id": event["id"].as_str().expect("an id"),
                "source": format!("/projects/{}/webhook/policies/{}", project["project_id"], ids[1]),
                "type": event_type.replace("PUSH_ARTIFACT", "harbor.artifact.pushed").replace("PULL_ARTIFACT", "harbor.artifact.pulled"),
                "datacontenttype": "application/json",
                "time": event["time"].as_str().expect("a time"),
                "data": data,
                "operator": "anonymous",
            });
            assert_eq!(*event, expected);
        }
        for (receiver, content_type) in receivers.iter().zip(["application/json", "application/cloudevents+json"]) {
            let header = format!("content-type: {content_type}\r\n");
            assert!(receiver.heads().iter().all(|head| head.contains(&header)), "{:?}", receiver.heads());
        }
        let types = call(&server, None, Method::GET, "projects/team/webhook/events", Value::Null).await;
        let expected = json!({
            "event_type": ALL,
            "notify_type": ["http"],
            "payload_formats": [{ "notify_type": "http", "formats": ["Default", "CloudEvents"] }],
        });
        assert_eq!(types.expect(200).json(), expected);
    }
    .boxed()
}

fn quota(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let receiver = Receiver::new(|_| Reply::Status(200)).await;
        let server = stack.server(&PATIENT).await;
        project(&server, "team").await;
        told(&server, "ci", &receiver.url, &["QUOTA_EXCEED"]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let image = repository.image("one").await;
        stack.database.limit("team", [-1, 0]).await;
        for _ in 0..3 {
            repository.put("v1", &image).await.refused(403, "DENIED");
        }
        let delivered = receiver.delivered(1).await;
        assert_eq!(delivered[0]["type"], "QUOTA_EXCEED");
        let details = delivered[0]["event_data"]["custom_attributes"]["Details"].as_str().expect("details");
        assert!(details.contains("team"), "{details}");
        emptied(&stack).await;
        assert_eq!(receiver.attempts(), 1);
    }
    .boxed()
}

fn deleted(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let receiver = Receiver::new(|_| Reply::Status(500)).await;
        let server = stack.server(&FLAGS).await;
        project(&server, "team").await;
        let policy = told(&server, "ci", &receiver.url, &["PUSH_ARTIFACT", "DELETE_ARTIFACT"]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let image = repository.tagged("v1").await;
        receiver.attempted(1).await;
        call(&server, None, Method::DELETE, &policy, Value::Null).await.expect(200);
        call(&server, None, Method::GET, &policy, Value::Null).await.refused(404, "NOT_FOUND");
        emptied(&stack).await;

        // With a project goes everything.
        told(&server, "ci", &receiver.url, &["PUSH_ARTIFACT", "DELETE_ARTIFACT"]).await;
        repository.delete(image.digest()).await.expect(202);
        for blob in repository.list("blobs/").await.expect(200).json()["blobs"].as_array().expect("blobs") {
            let digest = blob["digest"].as_str().expect("a digest").parse().expect("a digest");
            repository.delete_blob(&digest).await.expect(202);
        }
        call(&server, None, Method::DELETE, "projects/team", Value::Null).await.expect(200);
        emptied(&stack).await;
        assert!(stack.database.texts("SELECT name FROM webhook_policy").await.is_empty());
    }
    .boxed()
}

fn refused(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&FLAGS).await;
        project(&server, "team").await;
        let policies = "projects/team/webhook/policies";
        let good = policy("ci", "https://ci.example/hook", "Default", &["PUSH_ARTIFACT"]);
        let bad = [
            ("/targets/0/address", json!("ftp://ci.example"), "http or https"),
            ("/targets/0/address", json!("https://user:secret@ci.example"), "auth_header"),
            ("/targets/0/auth_header", json!("a\r\nX-Evil: 1"), "printable ASCII"),
            ("/targets/0/payload_format", json!("XML"), "CloudEvents"),
            ("/targets/0/type", json!("slack"), "\"http\""),
            ("/event_types", json!([]), "at least one"),
            ("/event_types", json!(["SCANNING_FAILED"]), "PUSH_ARTIFACT"),
            ("/name", json!(""), "name"),
        ];
        for (field, value, text) in bad {
            let mut body = good.clone();
            match body.pointer_mut(field) {
                Some(place) => *place = value,
                None => body["targets"][0]["auth_header"] = value,
            }
            let said = call(&server, None, Method::POST, policies, body).await.refused(400, "BAD_REQUEST");
            assert!(said.contains(text), "{field}: {said}");
        }
        call(&server, None, Method::POST, policies, good.clone()).await.expect(201);
        call(&server, None, Method::POST, policies, good).await.refused(409, "CONFLICT");
        let listed = call(&server, None, Method::GET, policies, Value::Null).await.expect(200);
        assert_eq!(listed.header("x-total-count"), Some("1"));
    }
    .boxed()
}

fn commands(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let url = stack.database.url();
        let database = ["--database", &url];
        let run = async |arguments: &[&str]| stack.command(&[arguments, &database].concat()).await;
        run(&["project", "create", "team"]).await.done();
        let add = ["project", "webhook", "add", "team", "ci", "https://ci.example/hook", "--auth-header-stdin"];
        stack.command_with_input("Bearer s3cret\n", &[&add[..], &database].concat()).await.done();
        let listed = run(&["project", "webhook", "list", "team"]).await.done();
        assert!(listed.contains("ci") && listed.contains("PUSH_ARTIFACT") && !listed.contains("s3cret"), "{listed}");
        run(&["project", "webhook", "rm", "team", "other"]).await.refused();
        run(&["project", "webhook", "rm", "team", "ci"]).await.done();
        let log = stack.database.texts("SELECT operation || ' ' || resource FROM audit_entry WHERE resource_type = 'webhook' ORDER BY id");
        assert_eq!(log.await, ["create ci", "delete ci"]);
    }
    .boxed()
}
