//! What is logged, and what never is.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value;
use url::Url;

use crate::support::api::{Answer, Repository, content, digest_of, send, send_parts};
use crate::support::trial::Story;
use crate::support::{Accounts, Stack, StackKind};

pub fn cases() -> Vec<Story> {
    vec![
        ("json_logs_name_the_request_and_the_upload_and_no_secret", json),
        ("the_log_says_who_asked_for_what_and_how_much_it_was", asked),
        ("a_request_id_is_answered_and_a_clients_own_is_kept", request_id),
    ]
}

fn json(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let level = "overside=debug,tower_http=debug";
        let server = stack.server(&["--log-format", "json", "--log", level, "--part-size", "5MiB"]).await;
        let repository = Repository::of(server.base_url(), "team/app");
        let bytes = content(6 << 20);
        let mut urls = Vec::new();

        let put = repository.begin().await;
        let signed =
            put.sign(&[("size", "1000"), ("digest", &digest_of(&content(1000)).to_string())]).await.json();
        // Also refused ones: errors are where secrets get into logs.
        let _ = send(&put.http, &signed, vec![7; 1000]).await;
        assert_eq!(send(&put.http, &signed, content(1000)).await.status, 200);
        urls.push(signed["presigned_url"].clone());
        put.finalize(&digest_of(&content(1000))).await.expect(201);

        let multipart = repository.begin().await;
        let signed = multipart.sign(&[("size", "6291456"), ("mode", "multipart")]).await.expect(200).json();
        send_parts(&multipart.http, &signed, &bytes).await;
        urls.extend(
            signed["parts"].as_array().expect("parts").iter().map(|part| part["presigned_url"].clone()),
        );
        multipart.finalize(&digest_of(b"wrong")).await.refused(400, "DIGEST_INVALID");

        let digest = repository.push(&bytes).await;
        let redirect = Answer::to(repository.http.get(repository.url(digest))).await;
        urls.extend(redirect.header("location").map(Value::from));
        repository.read(&digest).await.expect(200);
        Answer::to(repository.http.delete(repository.url(digest))).await.expect(202);

        let log = server_log(&stack);
        let lines: Vec<Value> = log
            .lines()
            .filter(|line| !line.starts_with("listening on "))
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        for upload in [put.id(), multipart.id()] {
            let upload = upload.to_string();
            let about: Vec<&Value> = lines.iter().filter(|line| line["span"]["upload"] == *upload).collect();
            assert!(!about.is_empty(), "{upload} is a field of its requests");
            assert!(
                about.iter().all(|line| line["span"]["id"].as_str().is_some_and(|id| id.len() == 36)),
                "{about:?}"
            );
            assert!(lines.iter().any(|line| line["upload"] == *upload && line["message"] == "upload begun"));
        }
        assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{log}");

        for url in urls {
            let url: Url = url.as_str().and_then(|url| url.parse().ok()).expect("a URL");
            assert!(!log.contains(url.query().expect("signed")), "a whole query is in the log");
            for (name, value) in url.query_pairs() {
                let secret = name.to_lowercase().ends_with("signature") || name.ends_with("Credential");
                assert!(!secret || !log.contains(value.as_ref()), "{name} is in the log");
            }
        }
        for secret in ["X-Amz-Signature", "signature=", "X-Amz-Credential", "AWS4-HMAC", "SecretAccessKey"] {
            assert!(!log.contains(secret), "{secret}");
        }
    }
    .boxed()
}

fn asked(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let alice = Accounts::of(&stack).await.administrator("alice").await;
        let server = stack.guarded_server(&["--log-format", "json"]).await;
        let (http, base) = (crate::support::http(), server.base_url());
        let body = br#"{"upload_concurrent":100}"#;
        let request = http.put(format!("{base}/api/v2.0/configurations")).body(&body[..]);
        let request = request.header("content-type", "application/json").header("user-agent", "a test/1");
        Answer::to(alice.sign(request)).await.expect(200);
        Answer::to(http.get(format!("{base}/v2/"))).await.expect(401);

        let log = server_log(&stack);
        let lines = || log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let start = lines().find(|line| line["message"] == "serving").expect("a line of the start");
        assert!(start["sign_in"].as_str().is_some_and(|who| who.contains("everybody")), "{start}");
        let (database, store) =
            (start["database"].as_str().expect("text"), start["store"].as_str().expect("text"));
        let is_files = stack.kind == StackKind::SqliteFilesystem;
        assert_eq!((database.starts_with("sqlite://"), store.starts_with("file://")), (is_files, is_files));
        assert!(is_files || !database.contains('@'), "{database}");

        let answered = |path: &str| {
            let line = lines().find(|line| line["message"] == "answered" && line["span"]["path"] == path);
            line.unwrap_or_else(|| panic!("{path}: {log}"))
        };
        let changed = answered("/api/v2.0/configurations");
        let span = &changed["span"];
        assert_eq!((&changed["status"], &span["method"]), (&Value::from(200), &Value::from("PUT")));
        assert_eq!((&span["user"], &span["client"]), (&Value::from("alice"), &Value::from("127.0.0.1")));
        assert_eq!(
            (&span["agent"], &span["request_bytes"]),
            (&Value::from("a test/1"), &Value::from(body.len()))
        );
        assert!(changed["milliseconds"].as_f64().is_some_and(|taken| taken > 0.0), "{changed}");
        let stranger = answered("/v2/");
        assert!(stranger["response_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{stranger}");
        assert_eq!(stranger["span"].get("user"), None);
    }
    .boxed()
}

fn request_id(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--log-format", "json"]).await;
        let http = crate::support::http();
        let mut ids = Vec::new();
        for path in ["/v2/", "/healthz", "/nowhere", "/v2/team/app/blobs/sha256:abc"] {
            let answer = Answer::to(http.get(format!("{}{path}", server.base_url()))).await;
            ids.push(answer.header("x-request-id").expect("every answer has one").to_owned());
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4, "{ids:?}");

        let url = format!("{}/v2/team/app/blobs/uploads/", server.base_url());
        let answer = Answer::to(http.post(url).header("x-request-id", "from-the-proxy-1")).await.expect(202);
        assert_eq!(answer.header("x-request-id"), Some("from-the-proxy-1"));
        assert!(server_log(&stack).contains("\"id\":\"from-the-proxy-1\""), "{}", server_log(&stack));
        // One that is none is neither written down nor sent back.
        for bad in
            ["x".repeat(129), "x".repeat(60_000), "a b".to_owned(), "a\u{9b}31m".to_owned(), "<b>".to_owned()]
        {
            let answer =
                Answer::to(http.get(format!("{}/v2/", server.base_url())).header("x-request-id", &bad));
            let answer = answer.await.expect(200);
            assert_eq!(answer.header("x-request-id").map(str::len), Some(36), "{bad:.20}");
            assert!(!server_log(&stack).contains(&bad));
        }
    }
    .boxed()
}

/// The whole log of the story's one server.
fn server_log(stack: &Stack) -> String {
    let files = std::fs::read_dir(stack.folder()).expect("the story's folder").filter_map(Result::ok);
    let log = files.map(|file| file.path()).find(|path| path.to_string_lossy().ends_with("-server.log"));
    std::fs::read_to_string(log.expect("a server was started")).expect("its log is text")
}
