//! `GET /service/token`, signed with a key: `Authorization: <public key>:<signature>`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::access::Role;
use overside::domain::clock::Clock;
use reqwest::header::{AUTHORIZATION, HOST};
use serde_json::json;
use uuid::Uuid;

use super::Key;
use crate::support::api::Answer;
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Accounts, Stack};

const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub fn cases() -> Vec<Story> {
    vec![
        ("a_key_gets_a_token_for_what_its_user_may", token),
        ("a_signed_request_is_taken_once_in_its_time_and_where_it_was_signed_for", once),
        ("keys_are_added_listed_and_removed_by_their_users", kept),
    ]
}

/// What is asked for, so long from now.
fn query(scope: &str, seconds: i64) -> String {
    let at = Clock::System.now().timestamp() + seconds;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("nonce", &Uuid::new_v4().to_string()).append_pair("scope", scope);
    query.append_pair("service", "overside").append_pair("ts", &at.to_string());
    query.finish()
}

impl Key {
    /// What goes with a request for this URL.
    fn authorization(&self, url: &str) -> String {
        let signed = format!("GET,{url},{}", STANDARD.encode(NO_BODY));
        let blob = self.line.split(' ').nth(1).expect("the key");
        format!("{blob}:{}", STANDARD.encode(self.pair.sign(signed.as_bytes())))
    }
}

fn url(server: &Server, query: &str) -> String {
    format!("{}/service/token?{query}", server.base_url())
}

async fn ask(url: &str, authorization: &str) -> Answer {
    Answer::to(crate::support::http().get(url).header(AUTHORIZATION, authorization)).await
}

async fn sign_in(server: &Server, key: &Key, scope: &str) -> Answer {
    let url = url(server, &query(scope, 0));
    ask(&url, &key.authorization(&url)).await
}

fn token(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.guarded_server(&[]).await;
        let accounts = Accounts::of(&stack).await;
        accounts.project("team", false).await;
        accounts.user_as("guest", "team", Role::Guest).await;
        let (key, stranger) = (Key::generate(), Key::generate());
        key.register(&stack, "guest").await;
        let scope = "repository:team/model:pull,push";
        let told = sign_in(&server, &key, scope).await.expect(200).json();
        let token = told["token"].as_str().expect("a token");
        let tags = format!("{}/v2/team/model/tags/list", server.base_url());
        let http = crate::support::http();
        // There is no such repository, which is told to whoever may pull from it.
        Answer::to(http.get(&tags).bearer_auth(token)).await.refused(404, "NAME_UNKNOWN");
        let push = format!("{}/v2/team/model/blobs/uploads/", server.base_url());
        let refused = Answer::to(http.post(&push).bearer_auth(token)).await;
        assert!(matches!(refused.status, 401 | 403), "{}", refused.text());

        let message = sign_in(&server, &stranger, scope).await.refused(401, "UNAUTHORIZED");
        assert!(message.contains("overside user key add"), "{message}");
        // A right one is taken whatever others have failed at from here.
        let mut refused = Vec::new();
        for _ in 0..8 {
            refused.push(sign_in(&server, &stranger, scope).await.status);
        }
        assert_eq!((refused.first(), refused.last()), (Some(&401), Some(&429)), "{refused:?}");
        sign_in(&server, &key, scope).await.expect(200);
        // With the user goes what they sign in with.
        assert_eq!(stack.command(&["user", "delete", "guest", "--database"]).await.code, Some(0));
        sign_in(&server, &key, scope).await.refused(401, "UNAUTHORIZED");
    }
    .boxed()
}

fn once(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let servers = [stack.guarded_server(&[]).await, stack.guarded_server(&[]).await];
        let accounts = Accounts::of(&stack).await;
        accounts.user("alice").await;
        let key = Key::generate();
        key.register(&stack, "alice").await;
        let scope = "repository:team/model:pull";
        let first = url(&servers[0], &query(scope, 0));
        ask(&first, &key.authorization(&first)).await.expect(200);
        let message = ask(&first, &key.authorization(&first)).await.refused(401, "UNAUTHORIZED");
        assert!(message.contains("was sent before"), "{message}");
        // Nor is it taken by another service here, which is told to be the one that it was signed for.
        let host = servers[0].base_url().trim_start_matches("http://");
        let elsewhere = first.replace(servers[0].base_url(), servers[1].base_url());
        let again = crate::support::http().get(&elsewhere).header(HOST, host);
        let again = Answer::to(again.header(AUTHORIZATION, key.authorization(&first))).await;
        assert!(again.refused(401, "UNAUTHORIZED").contains("--public-url"));

        for (seconds, is_taken) in [(-290, true), (290, true), (-310, false), (310, false)] {
            let url = url(&servers[0], &query(scope, seconds));
            let answer = ask(&url, &key.authorization(&url)).await;
            assert_eq!(answer.status == 200, is_taken, "{seconds}: {}", answer.text());
            assert!(is_taken || answer.text().contains("set the clock"), "{}", answer.text());
        }
        // Signed for another URL, or for another service that could send it on to this one.
        let url_of = |query: &str| url(&servers[1], query);
        let (asked, signed) = (url_of(&query(scope, 0)), url_of(&query("repository:team/other:pull", 0)));
        ask(&asked, &key.authorization(&signed)).await.refused(401, "UNAUTHORIZED");
        let evil = asked.replace(servers[1].base_url(), "http://evil.example");
        let sent_on = crate::support::http().get(&asked).header(HOST, "evil.example");
        let sent_on = Answer::to(sent_on.header(AUTHORIZATION, key.authorization(&evil))).await;
        assert!(sent_on.refused(401, "UNAUTHORIZED").contains("--public-url"));
        let known = stack.guarded_server(&["--public-url", "https://registry.example/below"]).await;
        let path = format!("/service/token?{}", query(scope, 0));
        let public = format!("https://registry.example/below{path}");
        ask(&format!("{}{path}", known.base_url()), &key.authorization(&public)).await.expect(200);
        // A replica is reached under the same name.
        let replica = stack.guarded_server(&["--public-url", "https://registry.example/below"]).await;
        let again = ask(&format!("{}{path}", replica.base_url()), &key.authorization(&public)).await;
        assert!(again.refused(401, "UNAUTHORIZED").contains("was sent before"));
        let local = format!("{}/service/token?{}", known.base_url(), query(scope, 0));
        ask(&local, &key.authorization(&local)).await.refused(401, "UNAUTHORIZED");
        // What is not whole.
        for left_out in ["ts", "nonce"] {
            let query: Vec<_> = query(scope, 0)
                .split('&')
                .filter(|part| !part.starts_with(left_out))
                .map(str::to_owned)
                .collect();
            let url = url_of(&query.join("&"));
            let message = ask(&url, &key.authorization(&url)).await;
            assert!(message.text().contains(&format!("{left_out}=")), "{}", message.text());
        }
        for odd in ["a:b", ":", "AAAA:AAAA", &key.line.replace(' ', ":")] {
            ask(&url_of(&query(scope, 0)), odd).await.refused(401, "UNAUTHORIZED");
        }
    }
    .boxed()
}

fn kept(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = stack.guarded_server(&[]).await;
        let accounts = Accounts::of(&stack).await;
        let (alice, bob) = (accounts.user("alice").await, accounts.user("bob").await);
        let keys = format!("{}/api/v2.0/users/current/keys", server.base_url());
        let http = crate::support::http();
        let key = Key::generate();
        let line = format!("{} alice@laptop", key.line);
        let add = |login: &crate::support::Login, line: &str| {
            Answer::to(login.sign(http.post(&keys)).json(&json!({ "key": line })))
        };
        let added = add(&alice, &line).await.expect(201);
        let (location, told) = (added.header("location").expect("one").to_owned(), added.json());
        assert_eq!((&told["key"], &told["comment"]), (&json!(key.line), &json!("alice@laptop")));
        assert!(told["fingerprint"].as_str().is_some_and(|text| text.starts_with("SHA256:")), "{told}");
        add(&bob, &line).await.refused(409, "CONFLICT");
        for bad in ["", "ssh-rsa AAAA", "ssh-ed25519 AAAA"] {
            add(&alice, bad).await.refused(400, "BAD_REQUEST");
        }
        let list = |login: &crate::support::Login| Answer::to(login.sign(http.get(&keys)));
        assert_eq!(list(&alice).await.expect(200).json()[0]["id"], told["id"]);
        assert_eq!(list(&bob).await.expect(200).json(), json!([]));
        let scope = "repository:team/model:pull";
        sign_in(&server, &key, scope).await.expect(200);
        let shown = stack.command(&["user", "key", "list", "--user", "alice", "--database"]).await.done();
        assert!(shown.contains("alice@laptop"), "{shown}");
        let id = told["id"].to_string();
        let of_bob = ["user", "key", "rm", &id, "--user", "bob", "--database"];
        assert_eq!(stack.command(&of_bob).await.code, Some(1));
        let url = format!("{}{location}", server.base_url());
        Answer::to(alice.sign(http.delete(&url))).await.expect(200);
        Answer::to(alice.sign(http.delete(&url))).await.refused(404, "NOT_FOUND");
        sign_in(&server, &key, scope).await.refused(401, "UNAUTHORIZED");
        let root = accounts.administrator("root").await;
        let log = format!("{}/api/v2.0/audit-logs", server.base_url());
        let log = Answer::to(root.sign(http.get(log))).await.expect(200).json();
        let entries =
            log.as_array().expect("entries").iter().filter(|entry| entry["resource_type"] == "user_key");
        let operations: Vec<_> = entries.map(|entry| entry["operation"].clone()).collect();
        assert_eq!(operations, ["delete", "create"]);
    }
    .boxed()
}
