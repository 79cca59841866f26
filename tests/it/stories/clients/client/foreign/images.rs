//! Images up to a foreign registry, and back.

use std::sync::Arc;

use serde_json::Value;

use super::skopeo;
use super::{closed, open, repository};
use crate::support::command_line::{digest, host};
use crate::support::layout::{Layout, Packing};
use crate::support::servers::{REGISTRY_PASSWORD, REGISTRY_USER};
use crate::support::{CommandLine, Stack};

/// Of layers, in bytes: several, one and a piece of a chunk.
const LAYERS: [usize; 3] = [17 << 20, 70_000, 300];
const SMALL_LAYERS: [usize; 2] = [30_000, 500];

fn layout(ours: &CommandLine, name: &str) -> Layout {
    Layout::new(ours.path(name))
}

pub async fn signed_in(stack: Arc<Stack>) {
    let (registry, ours) = (closed(), CommandLine::new(&stack, "ours", "http://127.0.0.1:9"));
    let mut image = layout(&ours, "image");
    let root = image.image("amd64", Packing::TarGzip, &LAYERS);
    image.tag("v1", root.clone());
    let (name, host) = (repository(&registry, "app"), host(registry.as_str()));
    let tagged = format!("{name}:v1");
    let path = name.split_once('/').expect("a path").1;

    let complaint = ours.failed(1, &["push", "image", &tagged]).await;
    for told in [format!("http://{host}/v2/{path}/"), format!("overside login {host}"), "401".to_owned()] {
        assert!(complaint.contains(&told), "{told}: {complaint}");
    }
    for arguments in [&["tags", &name][..], &["pull", &tagged, "back"], &["inspect", &tagged]] {
        let complaint = ours.failed(1, arguments).await;
        assert!(complaint.contains(&format!("overside login {host}")), "{complaint}");
    }
    let wrong = ours.login(host, REGISTRY_USER, "guess").await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    ours.failed(1, &["push", "image", &tagged]).await;

    let login = ours.login(host, REGISTRY_USER, REGISTRY_PASSWORD).await;
    assert_eq!(login.code, Some(0), "{login:?}");
    let printed = ours.done(&["push", "image", &tagged]).await;
    assert_eq!(printed, format!("{} {tagged}\n", root["digest"].as_str().expect("a digest")));
    let credentials = format!("--src-creds={REGISTRY_USER}:{REGISTRY_PASSWORD}");
    let (there, seen) = (format!("docker://{tagged}"), skopeo::layout(&ours.path("seen")));
    skopeo::copy(&stack, &ours, &[&credentials], &there, &seen).await;
    image.assert_same_as(&ours.path("seen"));

    ours.done(&["pull", &tagged, "back"]).await;
    image.assert_same_as(&ours.path("back"));
    ours.done(&["logout", host]).await;
    ours.failed(1, &["pull", &tagged, "again"]).await;
}

pub async fn open_to_all(stack: Arc<Stack>) {
    let (registry, ours) = (open(), CommandLine::new(&stack, "ours", "http://127.0.0.1:9"));
    docker_archive(&stack, &ours, &repository(&registry, "saved")).await;
    index(&stack, &ours, &repository(&registry, "platforms")).await;
}

async fn docker_archive(stack: &Arc<Stack>, ours: &CommandLine, name: &str) {
    let mut image = layout(ours, "image");
    let root = image.image("amd64", Packing::Tar, &SMALL_LAYERS);
    image.tag("v1", root.clone());
    let archive = |file: &str| format!("docker-archive:{}:{name}:v1", ours.path(file).display());
    skopeo::copy(stack, ours, &[], &image.reference("v1"), &archive("saved.tar")).await;

    // Without a tag it keeps the one that it has in the archive.
    let printed = ours.done(&["push", "saved.tar", name]).await;
    let tagged = format!("{name}:v1");
    assert_eq!(printed, format!("{} {tagged}\n", digest(&printed)));
    // The layers and the config of the archive are those of the image, and skopeo finds them so.
    skopeo::copy(stack, ours, &[], &format!("docker://{tagged}"), &archive("seen.tar")).await;
    assert!(ours.read("saved.tar") == ours.read("seen.tar"));
    ours.done(&["pull", &tagged, "back.tar"]).await;
    skopeo::copy(
        stack,
        ours,
        &[],
        &format!("docker-archive:{}", ours.path("back.tar").display()),
        &archive("back-seen.tar"),
    )
    .await;
    assert!(ours.read("saved.tar") == ours.read("back-seen.tar"));
}

async fn index(stack: &Arc<Stack>, ours: &CommandLine, name: &str) {
    let mut images = layout(ours, "images");
    let platforms =
        ["amd64", "arm64", "riscv64"].map(|name| images.image(name, Packing::TarGzip, &SMALL_LAYERS));
    let root = images.index(&platforms);
    images.tag("v1", root.clone());
    let tagged = format!("{name}:v1");
    let printed = ours.done(&["push", "images", &tagged]).await;
    assert_eq!(digest(&printed), root["digest"]);
    skopeo::copy(stack, ours, &[], &format!("docker://{tagged}"), &skopeo::layout(&ours.path("seen"))).await;
    images.assert_same_as(&ours.path("seen"));
    ours.done(&["pull", &tagged, "back"]).await;
    images.assert_same_as(&ours.path("back"));

    // Nothing of it is sent again, and one platform can be had alone.
    let again = ours.done(&["push", "--json", "images", &tagged]).await;
    let result: Value = serde_json::from_str(again.lines().last().expect("a result")).expect("JSON");
    assert_eq!(result["blobs"]["sent"], 0, "{again}");
    let arm = ours.done(&["pull", "--platform", "linux/arm64", &tagged, "arm"]).await;
    assert_eq!(digest(&arm), platforms[1]["digest"]);
}
