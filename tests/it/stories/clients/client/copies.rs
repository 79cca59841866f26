//! Copies between repositories and registries: nothing is sent that is there.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::FutureExt;
use serde_json::{Value, json};

use super::NAME;
use super::counted::Counted;
use crate::support::api::{Repository, digest_of};
use crate::support::command_line::CommandLine;
use crate::support::image::{self, CONFIG, EMPTY, Manifest, descriptor};
use crate::support::layout::{Layout, Packing};
use crate::support::trial::Story;
use crate::support::{Servers, Stack, StackKind};

const OTHER: &str = "elsewhere/app";
/// Of each layer, in bytes: far more than all that is said about an image.
const LAYER: usize = 400_000;
const LAYERS: [usize; 2] = [LAYER; 2];
/// Blobs of an image: its layers and its config.
const BLOBS: usize = LAYERS.len() + 1;
const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const SIGNATURE: &str = "application/vnd.example.signature";

pub fn cases() -> Vec<Story> {
    vec![
        ("a_copy_within_a_registry_mounts_every_blob", |s| mounted(s).boxed()),
        ("a_copy_between_registries_sends_what_is_missing", |s| between(s).boxed()),
        ("a_copy_replaces_a_tag_only_when_forced", |s| forced(s).boxed()),
        ("a_copy_brings_signatures_when_it_is_asked_to", |s| signatures(s).boxed()),
        ("a_copy_leaves_foreign_layers_where_they_are", |s| foreign(s).boxed()),
    ]
}

/// Images for two platforms, and an index of both.
struct Images {
    folder: PathBuf,
    layout: Layout,
    one: Value,
    both: Value,
}

impl Images {
    fn new(stack: &Stack, name: &str) -> Self {
        let folder = stack.folder().join(name);
        let mut layout = Layout::new(folder.clone());
        let [one, two] = ["amd64", "arm64"].map(|name| layout.image(name, Packing::TarGzip, &LAYERS));
        let both = layout.index(&[one.clone(), two]);
        Self { folder, layout, one, both }
    }

    /// Has one of them pushed, as this tag.
    async fn push(&self, overside: &CommandLine, descriptor: &Value, tag: &str) {
        self.layout.tag(tag, descriptor.clone());
        overside.done(&["push", self.folder.to_str().expect("UTF-8"), &format!("{NAME}:{tag}")]).await;
    }

    /// A repository has all of it.
    async fn assert_in(&self, overside: &CommandLine, name: &str) {
        overside.done(&["pull", name, "back"]).await;
        self.layout.assert_same_as(&overside.path("back"));
    }
}

#[track_caller]
fn assert_counts(result: &Value, expected: &Value) {
    for (count, expected) in expected.as_object().expect("counts") {
        assert_eq!(result["blobs"][count], *expected, "{count} of {result}");
    }
}

async fn mounted(stack: Arc<Stack>) {
    let counted = Counted::start(&stack).await;
    let overside = CommandLine::new(&stack, "client", &counted.url);
    let images = Images::new(&stack, "images");
    images.push(&overside, &images.both, "v1").await;
    let (objects, before) = (stack.objects().await, counted.traffic());
    assert_eq!(objects.len(), 2 * BLOBS);
    assert!(before.to_target > 4 * LAYER as u64, "{before:?}");

    let from = format!("{NAME}:v1");
    let planned = overside.done(&["copy", &from, OTHER, "--dry-run"]).await;
    assert_eq!(planned.matches("would be mounted").count(), 2 * BLOBS, "{planned}");
    Repository::of(counted.server.base_url(), OTHER).get("v1").await.expect(404);
    let result = overside.result(&["copy", &from, OTHER]).await;
    assert_counts(&result, &json!({ "manifests": 3, "mounted": 2 * BLOBS, "sent": 0, "existed": 0 }));
    assert_eq!(result["digest"], images.both["digest"]);
    assert_eq!(stack.objects().await, objects);
    let (sent, read) =
        (counted.traffic().to_target - before.to_target, counted.traffic().to_client - before.to_client);
    assert!(sent + read < LAYER as u64, "{sent} bytes were sent and {read} read");

    // It is the other repository's own: what becomes of the first one is no matter.
    let name = from.strip_suffix(":v1").expect("its tag");
    overside.done(&["rm", "--repository", "--yes", name]).await;
    images.assert_in(&overside, &format!("{}/{OTHER}:v1", counted.server.base_url())).await;
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

async fn between(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let other = Stack::fresh(StackKind::SqliteFilesystem, &Servers::from_environment()).await;
    let elsewhere = Counted::start(&other).await;
    let here = CommandLine::new(&stack, "client", server.base_url());
    let there = here.at(&elsewhere.url);
    let images = Images::new(&stack, "images");
    images.push(&here, &images.both, "v1").await;
    images.push(&there, &images.one, "one").await;
    assert_eq!(other.objects().await.len(), BLOBS);

    let before = elsewhere.traffic().to_target;
    let from = format!("{}/{NAME}:v1", server.base_url());
    let copy = ["copy", &from, &format!("{}/{NAME}", elsewhere.url)];
    let result = there.result(&copy).await;
    assert_counts(&result, &json!({ "manifests": 2, "sent": BLOBS, "mounted": 0 }));
    assert!(result["blobs"]["sent_bytes"].as_u64().expect("bytes") > 2 * LAYER as u64);
    let sent = elsewhere.traffic().to_target - before;
    assert!(sent > 2 * LAYER as u64 && sent < 3 * LAYER as u64, "{sent} bytes were sent");
    images.assert_in(&there, &format!("{}/{NAME}:v1", elsewhere.url)).await;

    // Whoever doubts has every blob looked at again.
    let result = there.result(&[&copy[..], &["--force"]].concat()).await;
    assert_counts(&result, &json!({ "manifests": 3, "sent": 0, "sent_bytes": 0, "existed": 2 * BLOBS }));
    assert!(elsewhere.traffic().to_target - before - sent < LAYER as u64);
    assert_eq!(other.objects().await.len(), 2 * BLOBS);
    assert_eq!(other.temp_leftovers().await, Vec::<String>::new());
}

async fn forced(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let overside = CommandLine::new(&stack, "client", server.base_url());
    let images = Images::new(&stack, "images");
    images.push(&overside, &images.both, "new").await;
    let to = format!("{OTHER}:stable");
    images.push(&overside, &images.one, "old").await;
    overside.done(&["copy", &format!("{NAME}:old"), &to]).await;
    let stable = async || Repository::of(server.base_url(), OTHER).get("stable").await.expect(200).body;
    assert_eq!(stable().await, images.layout.read(&images.one));

    let told = overside.failed(1, &["copy", &format!("{NAME}:new"), &to]).await;
    let digest = images.one["digest"].as_str().expect("a digest");
    assert!(told.contains("--force") && told.contains("stable") && told.contains(digest), "{told}");
    assert_eq!(stable().await, images.layout.read(&images.one));
    // What it means already, it may be told again.
    overside.done(&["copy", &format!("{NAME}:old"), &to]).await;
    overside.done(&["copy", &format!("{NAME}:new"), &to, "--force"]).await;
    assert_eq!(stable().await, images.layout.read(&images.both));
    images.assert_in(&overside, &format!("{}/{to}", server.base_url())).await;
}

/// An artifact about a manifest, whose content is this text.
async fn signature(repository: &Repository, subject: &Manifest, text: &str) -> Manifest {
    repository.push(b"{}").await;
    repository.push(text.as_bytes()).await;
    let signature = image::image(&descriptor(EMPTY, b"{}"), &[descriptor(SIGNATURE, text.as_bytes())]);
    let signature = signature.with("subject", subject.descriptor()).with("artifactType", SIGNATURE.into());
    repository.put(signature.digest(), &signature).await.expect(201);
    signature
}

async fn signatures(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let other = Stack::fresh(StackKind::SqliteFilesystem, &Servers::from_environment()).await;
    let elsewhere = other.server(&[]).await;
    let from = Repository::of(server.base_url(), NAME);
    let signed = from.tagged("v1").await;
    let first = signature(&from, &signed, "signed").await;
    let second = signature(&from, &first, "countersigned").await;
    let overside = CommandLine::new(&stack, "client", server.base_url());

    for base_url in [server.base_url(), elsewhere.base_url()] {
        let copy = ["copy", &format!("{NAME}:v1"), &format!("{base_url}/{OTHER}:v1")];
        let to = Repository::of(base_url, OTHER);
        let about = async |subject: &Manifest| {
            let list = to.list(&format!("referrers/{}", subject.digest())).await.expect(200);
            image::entries(&list)
        };
        overside.done(&copy).await;
        assert_eq!(to.get("v1").await.expect(200).body, signed.payload);
        assert_eq!(about(&signed).await, Vec::<String>::new());
        let planned = overside.done(&[&copy[..], &["--referrers", "--dry-run"]].concat()).await;
        for signature in [&first, &second] {
            let line = format!("{} {} would be pushed\n", signature.digest(), signature.payload.len());
            assert!(planned.contains(&line), "{planned}");
        }
        assert_eq!(about(&signed).await, Vec::<String>::new());
        // Also when the image itself is there.
        let result = overside.result(&[&copy[..], &["--referrers"]].concat()).await;
        assert_eq!(result["blobs"]["manifests"], 3, "{result}");
        assert_eq!(about(&signed).await, [first.digest().to_string()]);
        assert_eq!(about(&first).await, [second.digest().to_string()]);
        for (signature, text) in [(&first, "signed"), (&second, "countersigned")] {
            assert_eq!(to.get(signature.digest()).await.expect(200).body, signature.payload);
            assert_eq!(to.read(&digest_of(text.as_bytes())).await.expect(200).body, text);
        }
    }
}

async fn foreign(stack: Arc<Stack>) {
    let server = stack.server(&[]).await;
    let from = Repository::of(server.base_url(), NAME);
    let (kept, left) = (b"a layer that a registry keeps", b"a layer that only its makers keep");
    let diff_ids = json!({ "type": "layers", "diff_ids": [digest_of(left), digest_of(kept)] });
    let config = json!({ "architecture": "amd64", "os": "windows", "rootfs": diff_ids }).to_string();
    from.push(config.as_bytes()).await;
    from.push(kept).await;
    let mut layer = descriptor(FOREIGN, left);
    layer["urls"] = json!(["https://example.com/layer"]);
    let manifest =
        image::image(&descriptor(CONFIG, config.as_bytes()), &[layer, descriptor(LAYER_TAR, kept)]);
    from.put("v1", &manifest).await.expect(201);
    let objects = stack.objects().await;
    assert_eq!(objects.len(), 2);
    let overside = CommandLine::new(&stack, "client", server.base_url());

    let result = overside.result(&["copy", &format!("{NAME}:v1"), OTHER]).await;
    assert_counts(&result, &json!({ "foreign": 1, "mounted": 2, "sent": 0 }));
    let to = Repository::of(server.base_url(), OTHER);
    assert_eq!(to.get("v1").await.expect(200).body, manifest.payload);
    to.head_blob(&digest_of(left)).await.expect(404);

    // The same into a folder, and out of it.
    let folder = stack.folder().join("pulled");
    let folder = folder.to_str().expect("UTF-8");
    let result = overside.result(&["pull", &format!("{OTHER}:v1"), folder]).await;
    assert_counts(&result, &json!({ "foreign": 1, "sent": 2 }));
    let result = overside.result(&["push", folder, "third/app:v1"]).await;
    assert_counts(&result, &json!({ "foreign": 1 }));
    let third = Repository::of(server.base_url(), "third/app");
    assert_eq!(third.get("v1").await.expect(200).body, manifest.payload);
    assert_eq!(stack.objects().await, objects);
}
