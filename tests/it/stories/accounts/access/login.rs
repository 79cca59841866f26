//! `overside login` and `logout`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{PRIVATE, PUBLIC, Town};
use crate::support::accounts::{Accounts, PASSWORD};
use crate::support::{CommandLine, Stack};

pub async fn kept(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    Accounts::of(&stack).await.user("alice").await;
    let address = server.base_url().trim_start_matches("http://");
    let file = stack.folder().join(".docker/config.json");
    let sign_in = ["login", address, "-u", "alice", "--password-stdin"];

    let wrong = stack.command_with_input("a guess\n", &sign_in).await;
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""));
    assert!(wrong.stderr.contains(address) && !file.exists(), "{}", wrong.stderr);
    let mute = stack.command_with_input("", &["login", address, "-u", "alice"]).await;
    assert_eq!(mute.code, Some(2), "nobody to ask");
    assert!(mute.stderr.contains("--password-stdin"), "{}", mute.stderr);

    let right = stack.command_with_input(&format!("{PASSWORD}\r\n"), &sign_in).await;
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    assert_eq!(right.stdout, format!("signed in to {address} as alice\n"));
    assert!(!stack.whole_logs().contains(PASSWORD));
    let read = || serde_json::from_slice::<Value>(&std::fs::read(&file).expect("a file")).expect("JSON");
    let auth = STANDARD.encode(format!("alice:{PASSWORD}"));
    assert_eq!(read(), json!({ "auths": { address: { "auth": auth } } }));

    for said in ["signed out of", "was not signed in to"] {
        let done = stack.command(&["logout", server.base_url()]).await;
        assert_eq!((done.code, done.stdout), (Some(0), format!("{said} {address}\n")), "{}", done.stderr);
    }
    assert_eq!(read(), json!({ "auths": {} }));
}

pub async fn without_its_helper(stack: Arc<Stack>) {
    let town = Town::new(&stack, &[]).await;
    let address = town.server.base_url();
    let folder = stack.folder().join(".docker");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("config.json"), r#"{"credsStore":"nowhere"}"#).expect("a file");
    let kept = stack.folder().join("kept");
    let kept_at = kept.to_str().expect("text");
    for (project, code) in [(PUBLIC, 0), (PRIVATE, 1)] {
        let repository = town.visitor("developer").repository(&town.server, &format!("{project}/app"));
        let digest = repository.push(project.as_bytes()).await;
        let done = stack.command(&["get", &format!("{address}/{project}/app@{digest}"), "-o", kept_at]).await;
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        assert!(done.stderr.contains("docker-credential-nowhere"), "{}", done.stderr);
    }
    assert_eq!(std::fs::read(kept).expect("what was public"), PUBLIC.as_bytes());
}

/// Where podman keeps it that finds no folder for what runs, and what `podman login --compat-auth-file` leaves elsewhere.
pub async fn by_podman(stack: Arc<Stack>) {
    let server = stack.server(&["--auth", "token"]).await;
    Accounts::of(&stack).await.user("alice").await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    assert!(ours.failed(1, &["user", "token", "list"]).await.contains("overside login"));
    let auth = STANDARD.encode(format!("alice:{PASSWORD}"));
    let address = server.base_url().trim_start_matches("http://");
    ours.write(".config/containers/auth.json", json!({ "auths": { address: { "auth": auth } } }).to_string());
    assert!(ours.done(&["user", "token", "list"]).await.starts_with("ID"));
}
