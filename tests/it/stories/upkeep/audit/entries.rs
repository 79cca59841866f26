//! What is in the log, and what is not.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::Method;
use serde_json::{Value, json};

use super::{FIRST, NAME, log, log_of};
use crate::support::api::{Answer, digest_of};
use crate::support::trial::Story;
use crate::support::{Stack, http, image, people};

pub fn cases() -> Vec<Story> {
    vec![
        ("the_log_says_who_did_what_to_what_and_from_where", operations),
        ("without_signing_in_the_log_has_no_name_and_still_the_address", unnamed),
        ("a_sign_in_that_fails_is_in_the_log_by_a_name_that_is_somebodys", sign_ins),
        ("behind_a_trusted_proxy_the_address_is_the_last_that_it_names", forwarded),
        ("no_secret_that_was_used_is_in_the_log", secrets),
    ]
}

fn operations(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let (alice, bob) =
            (people::user(&stack, "alice", false).await, people::user(&stack, "bob", false).await);
        people::project(&stack, "team", &[(&alice, "maintainer"), (&bob, "guest")]).await;
        people::project(&stack, "other", &[(&alice, "developer")]).await;
        let repository = alice.repository(server.base_url(), NAME);

        let upload = repository.begin().await;
        upload.patch(None, "a chunk").await.expect(202);
        assert_eq!(log(&stack).await, [FIRST], "a session is no blob yet");
        let chunk = digest_of(b"a chunk");
        upload.finalize(&chunk).await.expect(201);
        repository.begin().await.abort().await.expect(204);
        let whole = repository.push(b"the whole").await;
        let later = repository.begin().await;
        later.patch(None, "later").await.expect(202);
        let later_digest = digest_of(b"later");
        let put = later.http.put(&later.url).query(&[("digest", later_digest.to_string())]);
        Answer::to(put.header("prefer", "respond-async").header("content-length", 0)).await.expect(202);
        // It is in the log when it is done, which is behind the answer: what comes next is to come after it.
        log_of(&stack, 4).await;
        let elsewhere = alice.repository(server.base_url(), "other/app");
        let mount = [("mount", chunk.to_string()), ("from", NAME.to_owned())];
        let mounted =
            elsewhere.http.post(elsewhere.url("uploads/")).query(&mount).header("content-length", 0);
        Answer::to(mounted).await.expect(201);

        let pushed = image::image(&image::descriptor(image::CONFIG, b"the whole"), &[]);
        let digest = pushed.digest();
        repository.put("v1?tag=v2", &pushed).await.expect(201);
        repository.put(digest, &pushed).await.expect(201);
        let pull = bob.repository(server.base_url(), NAME);
        pull.get("v1").await.expect(200);
        pull.get(digest).await.expect(200);
        pull.head("v1").await.expect(200);
        let known = pull.manifest(Method::GET, "v1").header("if-none-match", format!("\"{digest}\""));
        Answer::to(known).await.expect(304);
        // What was refused did not happen.
        pull.delete("v1").await.expect(403);
        pull.get("v9").await.expect(404);
        repository.put("v3", &pushed.with("config", Value::Null)).await.expect(400);
        repository.delete("v1").await.expect(202);
        repository.delete(digest).await.expect(202);
        repository.delete_blob(&chunk).await.expect(202);
        repository.delete_blob(&chunk).await.expect(404);

        let mut expected = vec![
            FIRST.to_owned(),
            format!("alice push blob {NAME}@{chunk} team 127.0.0.1"),
            format!("alice push blob {NAME}@{whole} team 127.0.0.1"),
            format!("alice push blob {NAME}@{later_digest} team 127.0.0.1"),
            format!("alice mount blob other/app@{chunk} other 127.0.0.1"),
            format!("alice push artifact {NAME}:v1 team 127.0.0.1"),
            format!("alice push tag {NAME}:v2 team 127.0.0.1"),
            format!("alice push artifact {NAME}@{digest} team 127.0.0.1"),
            format!("bob pull artifact {NAME}:v1 team 127.0.0.1"),
            format!("bob pull artifact {NAME}@{digest} team 127.0.0.1"),
            format!("alice delete tag {NAME}:v1 team 127.0.0.1"),
            format!("alice delete artifact {NAME}@{digest} team 127.0.0.1"),
            format!("alice delete blob {NAME}@{chunk} team 127.0.0.1"),
        ];
        let mut found = log_of(&stack, expected.len()).await;
        // Pulls are written in batches, after what came later.
        let changes = |all: &[String]| -> Vec<String> {
            all.iter().filter(|entry| !entry.contains(" pull ")).cloned().collect()
        };
        assert_eq!(changes(&found), changes(&expected));
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
    .boxed()
}

fn unnamed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&[]).await;
        let repository = crate::support::api::Repository::of(server.base_url(), NAME);
        let digest = repository.push(b"a blob").await;
        let forged = repository.http.post(repository.url(format!("uploads/?digest={digest}"))).body("a blob");
        Answer::to(forged.header("x-forwarded-for", "9.9.9.9")).await.expect(201);
        let entry = format!(" push blob {NAME}@{digest} team 127.0.0.1");
        assert_eq!(log(&stack).await, [entry.clone(), entry], "nobody's word is taken for an address");
    }
    .boxed()
}

fn sign_ins(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        people::user(&stack, "alice", false).await;
        let base = format!("{}/v2/", server.base_url());
        for (name, password) in
            [("alice", "wrong-password-1"), ("typed-my-password-here", "x"), ("alice", "ovs_x")]
        {
            Answer::to(http().get(&base).basic_auth(name, Some(password))).await.expect(401);
        }
        Answer::to(http().get(&base).bearer_auth("no.such.token")).await.expect(401);
        let expected = [
            FIRST,
            "alice login user alice - 127.0.0.1",
            "? login user ? - 127.0.0.1",
            "alice login user alice - 127.0.0.1",
        ];
        assert_eq!(log_of(&stack, 4).await, expected);
    }
    .boxed()
}

fn forwarded(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--trust-forwarded-for"]).await;
        let repository = crate::support::api::Repository::of(server.base_url(), NAME);
        let digest = repository.push(b"a blob").await;
        for lines in [
            ["9.9.9.9, 192.0.2.1"].as_slice(),
            &["9.9.9.9", "192.0.2.2"],
            &["192.0.2.3:4711"],
            &["2001:db8::1"],
            &["[2001:db8::2]:443"],
            &["192.0.2.9, nonsense"],
        ] {
            let mut push =
                repository.http.post(repository.url(format!("uploads/?digest={digest}"))).body("a blob");
            for line in lines {
                push = push.header("x-forwarded-for", *line);
            }
            Answer::to(push).await.expect(201);
        }
        let log = log(&stack).await;
        let addresses: Vec<_> = log.iter().filter_map(|entry| entry.rsplit(' ').next()).collect();
        // Where there is no address the connection's own is one.
        let expected =
            ["127.0.0.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", "127.0.0.1"];
        assert_eq!(addresses, expected);
    }
    .boxed()
}

fn secrets(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.server(&["--auth", "token"]).await;
        let alice = people::user(&stack, "alice", true).await;
        people::project(&stack, "team", &[(&alice, "admin")]).await;
        let scope = format!("{}/service/token?scope=repository:{NAME}:pull,push,delete", server.base_url());
        let issued = Answer::to(http().get(scope).basic_auth("alice", Some(&alice.token))).await.expect(200);
        let access = issued.json()["token"].as_str().expect("a token").to_owned();
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {access}").parse().expect("ASCII"));
        let mut repository = alice.repository(server.base_url(), NAME);
        for client in
            [alice.http.clone(), crate::support::http_with(|builder| builder.default_headers(headers))]
        {
            repository.http = client;
            let image = repository.tagged("v1").await;
            repository.get("v1").await.expect(200);
            let upload = repository.begin().await;
            let signed = upload.sign(&[("size", "5")]).await.expect(200).json();
            assert!(crate::support::api::send(&http(), &signed, "hello").await.status < 300);
            upload.finalize(&digest_of(b"hello")).await.expect(201);
            repository.delete(image.digest()).await.expect(202);
        }
        let url = format!("{}/api/v2.0/configurations?secret=in-a-query", server.base_url());
        Answer::to(alice.http.put(url).json(&json!({ "url_lifetime": "5m" }))).await.expect(200);
        let base = format!("{}/v2/", server.base_url());
        for name in ["alice", "correct-horse"] {
            Answer::to(http().get(&base).basic_auth(name, Some("battery-staple"))).await.expect(401);
        }
        // The first administrator; two images with two blobs each, a pull, a presigned blob and a deletion by either
        // client; a setting, and two sign-ins that failed.
        let log = log_of(&stack, 16).await;
        assert_eq!(log.len(), 16, "{log:#?}");
        let (id, secret) = alice.token["ovs_".len()..].split_once('_').expect("a token's form");
        for entry in &log {
            for secret in
                [id, secret, &access, "battery-staple", "correct-horse", "in-a-query", "Bearer", "?digest"]
            {
                assert!(!entry.contains(secret), "{secret} is in {entry}");
            }
        }
    }
    .boxed()
}
