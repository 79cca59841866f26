//! Registries behind TLS.

use std::sync::Arc;

use futures_util::future::FutureExt;
use overside::domain::access::Role;
use url::Url;

use crate::support::accounts::PASSWORD;
use crate::support::api;
use crate::support::command_line::{digest, host};
use crate::support::process::Server;
use crate::support::tls::TlsFront;
use crate::support::trial::Story;
use crate::support::{Accounts, CommandLine, Stack};

const AUTHORITY: &str = "authority.pem";

pub fn cases() -> Vec<Story> {
    vec![
        ("a_certificate_of_a_strangers_authority_is_refused_and_the_remedy_told", |s| refused(s).boxed()),
        ("an_authority_of_ones_own_is_taken_from_a_file", |s| accepted(s).boxed()),
        ("insecure_takes_any_certificate", |s| insecure(s).boxed()),
        ("people_sign_in_through_an_authority_of_their_own", |s| signed_in(s).boxed()),
    ]
}

/// A server that is reached through TLS alone, and a machine that has its authority in a file.
async fn behind_tls(stack: &Arc<Stack>, flags: &[&str]) -> (Server, CommandLine) {
    let front = TlsFront::open().await;
    let (url, authority) = (front.url(), front.authority.clone());
    let server = stack.server(&[flags, &["--public-url", &url]].concat()).await;
    front.lead_to(&Url::parse(server.base_url()).expect("a URL"));
    let ours = CommandLine::new(stack, "ours", &url);
    ours.write(AUTHORITY, authority);
    (server, ours)
}

pub async fn refused(stack: Arc<Stack>) {
    let (_server, ours) = behind_tls(&stack, &[]).await;
    ours.write("cargo", api::content(5_000));
    let complaint = ours.failed(1, &["put", "cargo", "team/app"]).await;
    let url = ours.server();
    assert!(complaint.contains(url) && complaint.contains("--ca FILE"), "{complaint}");
    assert!(complaint.contains("certificate"), "{complaint}");
    assert_eq!(stack.objects().await, []);

    // Another authority is as good as none.
    ours.write("other.pem", TlsFront::open().await.authority);
    ours.failed(1, &["put", "cargo", "team/app", "--ca", "other.pem"]).await;
    ours.write("nothing.pem", "");
    ours.failed(1, &["put", "cargo", "team/app", "--ca", "nothing.pem"]).await;
    let complaint = ours.failed(1, &["put", "cargo", "team/app", "--ca", "missing.pem"]).await;
    assert!(complaint.contains("missing.pem"), "{complaint}");
    assert_eq!(stack.objects().await, []);
}

pub async fn accepted(stack: Arc<Stack>) {
    let (_server, ours) = behind_tls(&stack, &["--part-size", "5MiB"]).await;
    up_and_back(&stack, &ours, &["--ca", AUTHORITY], 7 << 20).await;
    // As a name's own host, too.
    ours.write("small", "a lighter");
    let name = format!("https://{}/team/app", host(ours.server()));
    let elsewhere = ours.at("http://127.0.0.1:9");
    let printed = elsewhere.done(&["put", "small", &name, "--ca", AUTHORITY]).await;
    assert_eq!(digest(&printed), api::digest_of(b"a lighter").to_string());
}

pub async fn insecure(stack: Arc<Stack>) {
    let (_server, ours) = behind_tls(&stack, &[]).await;
    up_and_back(&stack, &ours, &["--insecure"], 5_000).await;
}

async fn up_and_back(stack: &Stack, ours: &CommandLine, flags: &[&str], size: usize) {
    let content = api::content(size);
    ours.write("cargo", &content);
    let printed = ours.done(&[&["put", "cargo", "team/app"], flags].concat()).await;
    assert_eq!(stack.blob_bytes(&api::digest_of(&content)).await.as_ref(), Some(&content));
    let name = format!("team/app@{}", digest(&printed));
    ours.done(&[&["get", &name, "-o", "back"], flags].concat()).await;
    assert!(ours.read("back") == content);
}

pub async fn signed_in(stack: Arc<Stack>) {
    let (_server, ours) = behind_tls(&stack, &["--auth", "token"]).await;
    let accounts = Accounts::of(&stack).await;
    accounts.project("team", false).await;
    accounts.user_as("alice", "team", Role::Developer).await;
    let login = |more: &[&str]| {
        let login = ["login", ours.server(), "--username", "alice", "--password-stdin"];
        ours.command(&[&login[..], more].concat())
    };
    let refused = stack.run_with_input(PASSWORD, &login(&[])).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("--ca FILE"), "{}", refused.stderr);
    let done = stack.run_with_input(PASSWORD, &login(&["--ca", AUTHORITY])).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);

    up_and_back(&stack, &ours, &["--ca", AUTHORITY], 5_000).await;
}
