//! Images go up out of archives and layouts and come back the same, as skopeo sees them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::FutureExt;
use serde_json::Value;

use super::NAME;
use crate::stories::clients::skopeo::{Skopeo, at};
use crate::support::Stack;
use crate::support::api::digest_of;
use crate::support::command_line::CommandLine;
use crate::support::layout::{IMAGE, INDEX, Layout, Packing};
use crate::support::process::Server;
use crate::support::trial::Story;

/// Layers of an ordinary image, in bytes.
const LAYERS: [usize; 3] = [6 << 20, 70_000, 300];
const SMALL_LAYERS: [usize; 2] = [30_000, 500];
const PLATFORMS: [&str; 3] = ["amd64", "arm64", "riscv64"];

pub fn cases() -> Vec<Story> {
    vec![
        ("skopeo_pulls_a_pushed_layout_byte_by_byte", |s| layout(s).boxed()),
        ("skopeo_pulls_a_pushed_oci_archive_byte_by_byte", |s| oci_archive(s).boxed()),
        ("skopeo_pulls_a_pushed_docker_archive_byte_by_byte", |s| docker_archive(s).boxed()),
        ("skopeo_pulls_all_platforms_of_a_pushed_index_byte_by_byte", |s| index(s).boxed()),
        ("skopeo_reads_what_was_pulled_into_a_folder", |s| to_folder(s).boxed()),
        ("skopeo_reads_what_was_pulled_into_a_tar_both_ways", |s| to_tar(s).boxed()),
        ("one_platform_of_an_image_is_pulled_alone", |s| platform(s).boxed()),
    ]
}

async fn server(stack: &Stack) -> Server {
    stack.server(&[]).await
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().expect("a digest")
}

fn layers(manifest: &Value) -> Vec<&str> {
    manifest["layers"].as_array().expect("layers").iter().map(digest).collect()
}

/// Pushes it as `v1`; the bytes that a registry has of it are those of the root.
async fn pushed(overside: &CommandLine, archive: &Path, skopeo: &Skopeo) -> Vec<u8> {
    pushed_with(overside, archive, skopeo, &[]).await
}

async fn pushed_with(overside: &CommandLine, archive: &Path, skopeo: &Skopeo, options: &[&str]) -> Vec<u8> {
    let push = ["push", text(archive), &format!("{NAME}:v1")];
    let result = overside.result(&[&push, options].concat()).await;
    let raw = skopeo.raw(&at(overside.server(), &format!("{NAME}:v1"))).await;
    assert_eq!(digest(&result), digest_of(&raw).to_string());
    raw
}

async fn layout(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let overside = CommandLine::new(&stack, "client", server.base_url());
    let skopeo = Skopeo::new(&stack, "ours");
    for (tag, packing) in [("plain", Packing::Tar), ("packed", Packing::TarGzip)] {
        let mut layout = skopeo.layout(tag);
        let image = layout.image("amd64", packing, &LAYERS);
        layout.tag("any", image.clone());
        let raw = pushed(&overside, &skopeo.path(tag), &skopeo).await;
        assert_eq!(raw, layout.read(&image));
        let back = format!("{tag}-back");
        let there = at(server.base_url(), &format!("{NAME}:v1"));
        // Else it packs what is not packed.
        skopeo.copy(&["--preserve-digests"], &there, &skopeo.folder(&back)).await;
        layout.assert_same_as(&skopeo.path(&back));
    }
    // Both have one config: packed or not, the layers are the same.
    assert_eq!(stack.objects().await.len(), 2 * LAYERS.len() + 1);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

async fn oci_archive(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let overside = CommandLine::new(&stack, "client", server.base_url());
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("image");
    let image = layout.image("amd64", Packing::TarGzip, &LAYERS);
    layout.tag("v1", image.clone());
    let archive = skopeo.path("image.tar");
    skopeo.copy(&[], &layout.reference("v1"), &format!("oci-archive:{}:v1", archive.display())).await;

    assert_eq!(pushed(&overside, &archive, &skopeo).await, layout.read(&image));
    skopeo.copy(&[], &at(server.base_url(), &format!("{NAME}:v1")), &skopeo.folder("back")).await;
    layout.assert_same_as(&skopeo.path("back"));
    assert_eq!(stack.objects().await.len(), LAYERS.len() + 1);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

async fn docker_archive(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let overside = CommandLine::new(&stack, "client", server.base_url());
    let skopeo = Skopeo::new(&stack, "ours");
    let mut layout = skopeo.layout("image");
    let image = layout.image("amd64", Packing::TarGzip, &LAYERS);
    layout.tag("v1", image);
    let archive = |name: &str| format!("docker-archive:{}:local/{NAME}:v1", skopeo.path(name).display());
    skopeo.copy(&[], &layout.reference("v1"), &archive("saved.tar")).await;
    let saved = fs::read(skopeo.path("saved.tar")).expect("an archive");
    let list = json(&file_of(&saved, "manifest.json"));
    let files =
        list[0]["Layers"].as_array().expect("layers").iter().map(|name| name.as_str().expect("a name"));
    let expected: Vec<_> = files.map(|name| digest_of(&file_of(&saved, name)).to_string()).collect();
    let config = digest_of(&file_of(&saved, list[0]["Config"].as_str().expect("a name"))).to_string();

    // Packed, skopeo finds the same in it.
    let packed = json(&pushed(&overside, &skopeo.path("saved.tar"), &skopeo).await);
    skopeo.copy(&[], &at(server.base_url(), &format!("{NAME}:v1")), &archive("packed.tar")).await;
    assert!(saved == fs::read(skopeo.path("packed.tar")).expect("an archive"));
    assert!(layers(&packed).iter().all(|layer| !expected.iter().any(|plain| plain == layer)));

    let options = ["--compress", "none"];
    let manifest = json(&pushed_with(&overside, &skopeo.path("saved.tar"), &skopeo, &options).await);
    assert_eq!(manifest["mediaType"], IMAGE);
    assert_eq!(
        (digest(&manifest["config"]), layers(&manifest)),
        (&*config, expected.iter().map(|d| &**d).collect())
    );
    skopeo.copy(&[], &at(server.base_url(), &format!("{NAME}:v1")), &archive("back.tar")).await;
    assert!(saved == fs::read(skopeo.path("back.tar")).expect("an archive"));
    assert_eq!(stack.objects().await.len(), 2 * LAYERS.len() + 1);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

/// A file of a tar.
fn file_of(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a name") == Path::new(name) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("all of it");
            return content;
        }
    }
    panic!("no {name}")
}

/// A layout with an image for each platform, tagged `v1`, and what an index tells of each.
fn platforms(skopeo: &Skopeo) -> (Layout, Value, [Value; 3]) {
    let mut layout = skopeo.layout("images");
    let images = PLATFORMS.map(|name| layout.image(name, Packing::TarGzip, &SMALL_LAYERS));
    let index = layout.index(&images);
    layout.tag("v1", index.clone());
    (layout, index, images)
}

async fn index(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let overside = CommandLine::new(&stack, "client", server.base_url());
    let skopeo = Skopeo::new(&stack, "ours");
    let (layout, index, _) = platforms(&skopeo);
    let raw = pushed(&overside, &skopeo.path("images"), &skopeo).await;
    assert_eq!((&raw, &json(&raw)["mediaType"]), (&layout.read(&index), &INDEX.into()));
    let there = at(server.base_url(), &format!("{NAME}:v1"));
    skopeo.copy(&["--all"], &there, &skopeo.folder("back")).await;
    layout.assert_same_as(&skopeo.path("back"));
    assert_eq!(stack.objects().await.len(), PLATFORMS.len() * (SMALL_LAYERS.len() + 1));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

async fn to_folder(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let (layout, index, _) = platforms(&skopeo);
    let there = at(server.base_url(), &format!("{NAME}:v1"));
    skopeo.copy(&["--all"], &layout.reference("v1"), &there).await;

    let overside = CommandLine::new(&stack, "client", server.base_url());
    let target = skopeo.path("pulled");
    let pull = ["pull", &format!("{NAME}:v1"), text(&target)];
    let result = overside.result(&pull).await;
    assert_eq!(digest(&result), digest(&index));
    layout.assert_same_as(&skopeo.path("pulled"));
    assert_eq!(skopeo.raw(&skopeo.folder("pulled")).await, layout.read(&index));
    skopeo.copy(&["--all"], &skopeo.folder("pulled"), &skopeo.folder("back")).await;
    layout.assert_same_as(&skopeo.path("back"));
    // Once more, there is nothing to fetch.
    assert_eq!(overside.result(&pull).await["blobs"]["sent"], 0);
    layout.assert_same_as(&skopeo.path("pulled"));
}

async fn to_tar(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let overside = CommandLine::new(&stack, "client", server.base_url());
    for (tag, packing) in [("plain", Packing::Tar), ("packed", Packing::TarGzip)] {
        let mut layout = skopeo.layout(tag);
        let image = layout.image("amd64", packing, &LAYERS);
        layout.tag(tag, image.clone());
        let there = at(server.base_url(), &format!("{NAME}:{tag}"));
        skopeo.copy(&["--preserve-digests"], &layout.reference(tag), &there).await;
        let pulled = skopeo.path(&format!("{tag}.tar"));
        overside.done(&["pull", &format!("{NAME}:{tag}"), text(&pulled)]).await;

        let back = format!("{tag}-back");
        let archive = format!("oci-archive:{}:{tag}", pulled.display());
        skopeo.copy(&["--preserve-digests"], &archive, &skopeo.folder(&back)).await;
        layout.assert_same_as(&skopeo.path(&back));

        // What Docker loads has the same config, and layers that unpack to what it says.
        let name = at(server.base_url(), &format!("{NAME}:{tag}")).replace("docker://", "");
        let archive = format!("docker-archive:{}:{name}", pulled.display());
        let loaded = skopeo.path(&format!("{tag}-loaded"));
        skopeo.copy(&[], &archive, &format!("dir:{}", loaded.display())).await;
        assert_loaded(&layout, &image, &loaded);
    }
}

/// A folder of skopeo's has the image as it was loaded: every layer unpacked.
#[track_caller]
fn assert_loaded(layout: &Layout, image: &Value, folder: &Path) {
    let read = |name: &str| fs::read(folder.join(name)).expect("a file of skopeo's");
    let loaded = json(&read("manifest.json"));
    let manifest = json(&layout.read(image));
    let config = json(&layout.read(&manifest["config"]));
    assert_eq!(digest(&loaded["config"]), digest(&manifest["config"]));
    let diff_ids = config["rootfs"]["diff_ids"].as_array().expect("diff ids");
    assert_eq!(layers(&loaded), diff_ids.iter().map(|id| id.as_str().expect("text")).collect::<Vec<_>>());
    for digest in layers(&loaded).into_iter().chain([digest(&loaded["config"])]) {
        assert_eq!(digest_of(&read(&digest.replace("sha256:", ""))).to_string(), digest);
    }
}

async fn platform(stack: Arc<Stack>) {
    let server = server(&stack).await;
    let skopeo = Skopeo::new(&stack, "ours");
    let (layout, _, images) = platforms(&skopeo);
    let there = at(server.base_url(), &format!("{NAME}:v1"));
    skopeo.copy(&["--all"], &layout.reference("v1"), &there).await;
    let overside = CommandLine::new(&stack, "client", server.base_url());
    let name = format!("{NAME}:v1");

    let (one, raw) = (["--platform", "linux/arm64"], layout.read(&images[1]));
    overside.done(&[&["pull", &name, text(&skopeo.path("one"))], &one[..]].concat()).await;
    assert_eq!(skopeo.raw(&skopeo.folder("one")).await, raw);
    let manifest = json(&raw);
    let mut expected: BTreeSet<_> = layers(&manifest).into_iter().map(str::to_owned).collect();
    expected.extend([digest(&images[1]).to_owned(), digest(&manifest["config"]).to_owned()]);
    let blobs = fs::read_dir(skopeo.path("one").join("blobs/sha256")).expect("a layout");
    let blobs = blobs.map(|blob| format!("sha256:{}", blob.expect("a blob").file_name().display()));
    assert_eq!(blobs.collect::<BTreeSet<_>>(), expected);

    overside.done(&[&["pull", &name, text(&skopeo.path("one.tar"))], &one[..]].concat()).await;
    let archive = format!("docker-archive:{}", skopeo.path("one.tar").display());
    skopeo.copy(&[], &archive, &format!("dir:{}", skopeo.path("loaded").display())).await;
    assert_loaded(&layout, &images[1], &skopeo.path("loaded"));

    let none = ["--platform", "linux/s390x"];
    let told = overside.failed(1, &[&["pull", &name, text(&skopeo.path("none"))], &none[..]].concat()).await;
    assert!(PLATFORMS.iter().all(|there| told.contains(&format!("linux/{there}"))), "{told}");
    assert!(!skopeo.path("none").exists());
}
