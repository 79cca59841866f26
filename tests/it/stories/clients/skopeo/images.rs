//! Images of every kind, up and back.

use std::fs;
use std::sync::Arc;

use serde_json::Value;

use super::super::{NAME, assert_stored, json, server, texts};
use super::{Skopeo, at};
use crate::support::Stack;
use crate::support::layout::{IMAGE, INDEX, Packing};

const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Layers of an ordinary image, in bytes: some below, some above what one part of an upload holds.
const LAYERS: [usize; 3] = [9 << 20, 70_000, 300];
const SMALL_LAYERS: [usize; 2] = [30_000, 500];
const LARGE_LAYERS: [usize; 3] = [64 << 20; 3];

pub async fn layout(stack: Arc<Stack>) {
    pushed_and_pulled(stack, &LAYERS).await;
}

pub async fn large(stack: Arc<Stack>) {
    pushed_and_pulled(stack, &LARGE_LAYERS).await;
}

async fn pushed_and_pulled(stack: Arc<Stack>, layers: &[usize]) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("image");
    let image = layout.image("amd64", Packing::TarGzip, layers);
    layout.tag("v1", image.clone());
    let there = at(server.base_url(), &format!("{NAME}:v1"));

    skopeo.copy(&[], &layout.reference("v1"), &there).await;
    assert_eq!(skopeo.raw(&there).await, layout.read(&image));
    assert_stored(&stack, layers.len() + 1).await;

    let theirs = Skopeo::new(&stack, "theirs");
    theirs.copy(&[], &there, &theirs.folder("back")).await;
    layout.assert_same_as(&theirs.path("back"));
    let by_digest = at(server.base_url(), &format!("{NAME}@{}", image["digest"].as_str().expect("one")));
    theirs.copy(&[], &by_digest, &theirs.folder("by-digest")).await;
    layout.assert_same_as(&theirs.path("by-digest"));
}

pub async fn docker_archive(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("image");
    let image = layout.image("amd64", Packing::TarGzip, &SMALL_LAYERS);
    layout.tag("v1", image);
    let archive = |name: &str| format!("docker-archive:{}:local/{NAME}:v1", skopeo.path(name).display());
    skopeo.copy(&[], &layout.reference("v1"), &archive("saved.tar")).await;
    let there = at(server.base_url(), &format!("{NAME}:v1"));

    skopeo.copy(&[], &archive("saved.tar"), &there).await;
    assert_eq!(json(&skopeo.inspect(&["--raw"], &there).await)["mediaType"], DOCKER_IMAGE);
    skopeo.copy(&[], &there, &archive("back.tar")).await;
    let [saved, back] =
        ["saved.tar", "back.tar"].map(|name| fs::read(skopeo.path(name)).expect("an archive"));
    assert!(saved == back);
    assert_stored(&stack, SMALL_LAYERS.len() + 1).await;
}

pub async fn index(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("images");
    let images =
        ["amd64", "arm64", "riscv64"].map(|name| layout.image(name, Packing::TarGzip, &SMALL_LAYERS));
    let index = layout.index(&images);
    layout.tag("v1", index.clone());
    let there = at(server.base_url(), &format!("{NAME}:v1"));

    skopeo.copy(&["--all"], &layout.reference("v1"), &there).await;
    assert_eq!(skopeo.raw(&there).await, layout.read(&index));
    assert_eq!(json(&skopeo.inspect(&["--raw"], &there).await)["mediaType"], INDEX);
    assert_stored(&stack, images.len() * (SMALL_LAYERS.len() + 1)).await;
    skopeo.copy(&["--all"], &there, &skopeo.folder("back")).await;
    layout.assert_same_as(&skopeo.path("back"));

    let one = ["--override-arch", "arm64", "inspect", "--tls-verify=false"];
    let arm = json(&skopeo.run(&[&one[..], &[&there]].concat()).await);
    assert_eq!(arm["Architecture"], "arm64");
    let manifest = json(&String::from_utf8(layout.read(&images[1])).expect("JSON"));
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(
        texts(&arm["Layers"]),
        layers.iter().map(|layer| layer["digest"].as_str().expect("one")).collect::<Vec<_>>()
    );
    let by_digest = at(server.base_url(), &format!("{NAME}@{}", images[2]["digest"].as_str().expect("one")));
    assert_eq!(skopeo.raw(&by_digest).await, layout.read(&images[2]));
}

pub async fn preserved(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("image");
    let image = layout.image("amd64", Packing::Tar, &SMALL_LAYERS);
    layout.tag("v1", image.clone());
    let there = at(server.base_url(), &format!("{NAME}:v1"));

    let flags = ["--preserve-digests"];
    skopeo.copy(&flags, &layout.reference("v1"), &there).await;
    assert_eq!(skopeo.raw(&there).await, layout.read(&image));
    skopeo.copy(&flags, &there, &skopeo.folder("back")).await;
    layout.assert_same_as(&skopeo.path("back"));

    // By itself it compresses them on their way, unless the repository has them as they are.
    let other = at(server.base_url(), "other/model:v1");
    Skopeo::new(&stack, "theirs").copy(&[], &layout.reference("v1"), &other).await;
    let compressed = json(&skopeo.inspect(&["--raw"], &other).await);
    assert_eq!(compressed["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_stored(&stack, 2 * SMALL_LAYERS.len() + 1).await;
}

pub async fn schema_2(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("images");
    let images = ["amd64", "arm64"].map(|name| layout.image(name, Packing::TarGzip, &SMALL_LAYERS));
    layout.tag("v1", layout.index(&images));
    let there = |tag: &str| at(server.base_url(), &format!("{NAME}:{tag}"));

    let flags = ["--all", "--format", "v2s2"];
    skopeo.copy(&flags, &layout.reference("v1"), &there("v1")).await;
    let list = json(&skopeo.inspect(&["--raw"], &there("v1")).await);
    assert_eq!(list["mediaType"], DOCKER_LIST);
    for (descriptor, image) in list["manifests"].as_array().expect("two").iter().zip(&images) {
        assert_eq!(descriptor["mediaType"], DOCKER_IMAGE);
        let name = format!("{NAME}@{}", descriptor["digest"].as_str().expect("one"));
        let raw = skopeo.raw(&at(server.base_url(), &name)).await;
        let converted = json(&String::from_utf8(raw).expect("JSON"));
        assert_eq!(converted["mediaType"], DOCKER_IMAGE);
        let original = json(&String::from_utf8(layout.read(image)).expect("JSON"));
        assert_eq!(digests(&converted), digests(&original));
    }

    skopeo.copy(&["--all", "--format", "oci"], &there("v1"), &there("oci")).await;
    let index = json(&skopeo.inspect(&["--raw"], &there("oci")).await);
    assert_eq!((&index["mediaType"], &index["manifests"][0]["mediaType"]), (&INDEX.into(), &IMAGE.into()));
}

/// Of the layers.
fn digests(manifest: &Value) -> Vec<&Value> {
    manifest["layers"].as_array().expect("layers").iter().map(|layer| &layer["digest"]).collect()
}

pub async fn looked_at(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("image");
    let first = layout.image("amd64", Packing::TarGzip, &SMALL_LAYERS);
    layout.tag("v1", first.clone());
    let there = |tag: &str| at(server.base_url(), &format!("{NAME}:{tag}"));
    for tag in ["v1", "latest"] {
        skopeo.copy(&[], &layout.reference("v1"), &there(tag)).await;
    }
    let second = layout.image("s390x", Packing::TarGzip, &SMALL_LAYERS);
    layout.tag("v1", second);
    skopeo.copy(&[], &layout.reference("v1"), &there("v2")).await;

    let seen = json(&skopeo.inspect(&[], &there("v1")).await);
    assert_eq!((&seen["Digest"], &seen["Architecture"]), (&first["digest"], &"amd64".into()));
    assert_eq!(texts(&seen["RepoTags"]), ["latest", "v1", "v2"]);
    let manifest = json(&String::from_utf8(layout.read(&first)).expect("JSON"));
    let config = json(&skopeo.inspect(&["--config", "--raw"], &there("v1")).await);
    assert_eq!(config, json(&String::from_utf8(layout.read(&manifest["config"])).expect("JSON")));

    // By a tag it deletes the manifest, and with that all of its tags.
    skopeo.run(&["delete", "--tls-verify=false", &there("v1")]).await;
    assert_eq!(texts(&skopeo.tags(&at(server.base_url(), NAME)).await), ["v2"]);
    for tag in ["v1", "latest"] {
        let refused = skopeo.refused(&["inspect", "--tls-verify=false", &there(tag)]).await;
        assert!(refused.contains("manifest unknown"), "{refused}");
    }
    let refused = skopeo.refused(&["list-tags", "--tls-verify=false", &at(server.base_url(), "none")]).await;
    assert!(refused.contains("404"), "{refused}");
}
