//! Artifacts of strangers: nothing of them is written anywhere but in the folder that was named.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use serde_json::json;

use super::NAME;
use crate::support::api::{self, Repository};
use crate::support::image::{self, EMPTY};
use crate::support::process::Server;
use crate::support::{CommandLine, Stack};

const TITLE: &str = "org.opencontainers.image.title";
const FILE: &str = "application/octet-stream";
const CONTENT: &[u8] = b"whoever has this in ~/.ssh/authorized_keys";

/// Pushes an artifact with a file of each of these titles.
async fn push(server: &Server, tag: &str, titles: &[&str]) {
    let repository = Repository::of(server.base_url(), NAME);
    repository.push(b"{}").await;
    let mut layers = Vec::new();
    for title in titles {
        repository.push(CONTENT).await;
        let mut layer = image::descriptor(FILE, CONTENT);
        layer["annotations"] = json!({ TITLE: title });
        layers.push(layer);
    }
    let artifact = image::image(&image::descriptor(EMPTY, b"{}"), &layers);
    repository.put(tag, &artifact).await.expect(201);
}

pub async fn titles(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    let absolute = ours.path("absolute").display().to_string();
    let hostile = ["../up", "a/../../up", absolute.as_str(), "..", "a/..", "a\\..\\up", "c:up", ".", ""];
    for (number, title) in hostile.into_iter().enumerate() {
        let tag = format!("v{number}");
        push(&server, &tag, &["first", title, "last"]).await;
        let name = format!("{NAME}:{tag}");
        let complaint = ours.failed(1, &["get", &name, "-o", "in/back"]).await;
        assert!(complaint.contains(&name) && complaint.contains(&format!("{title:?}")), "{complaint}");
        // Not even what was harmless in it.
        assert!(!ours.path("in").exists() || !ours.path("in/back/first").exists(), "{title}");
        for outside in ["absolute", "up", "in/up", "c:up"] {
            assert!(!ours.path(outside).exists(), "{title}: {outside}");
        }
    }
}

pub async fn links(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let ours = CommandLine::new(&stack, "ours", server.base_url());
    ours.write("outside/there", "mine");
    ours.write("back/plain", "old");
    let link = |to: &str, at: &str| symlink(to, ours.path(at)).expect("a link");
    link("../outside", "back/folder");
    link("../outside/there", "back/file");
    link("../nowhere", "back/dangling");
    for (tag, title) in
        [("v1", "folder/new"), ("v2", "folder/made/new"), ("v3", "dangling/new"), ("v4", "dangling/made/new")]
    {
        push(&server, tag, &[title]).await;
        ours.failed(1, &["get", &format!("{NAME}:{tag}"), "-o", "back"]).await;
        let outside: Vec<_> = std::fs::read_dir(ours.path("outside")).expect("a folder").collect();
        assert_eq!(outside.len(), 1, "{title}");
        assert!(!ours.path("nowhere").exists(), "{title}");
    }

    // A link where a file comes is replaced; what it led to is not written to. A folder that is itself reached
    // through a link is what the user meant.
    push(&server, "good", &["file", "plain"]).await;
    link("back", "alias");
    ours.done(&["get", &format!("{NAME}:good"), "-o", "alias"]).await;
    assert_eq!(ours.read("outside/there"), b"mine");
    assert_eq!((ours.read("back/file"), ours.read("back/plain")), (CONTENT.to_vec(), CONTENT.to_vec()));
    assert_eq!(api::digest_of(&ours.read("alias/file")), api::digest_of(CONTENT));
}
