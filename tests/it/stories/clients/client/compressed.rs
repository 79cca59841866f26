//! Layers that nobody packed are packed before they are sent, and digests that are somebody's stay.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use futures_util::future::FutureExt;
use serde_json::{Value, json};

use super::NAME;
use super::malformed::makers::{
    CONFIG, DOCKER_LAYER, Files, IMAGE, LAYER, Layout, Tar, config, digest_of, gzip, image_list, named, xz,
};
use crate::support::Stack;
use crate::support::api::{self, Repository};
use crate::support::command_line::{CommandLine, events};
use crate::support::process::{Process, signal};
use crate::support::trial::Story;

/// In bytes: sent in one PUT, and with midstates.
const LARGE: usize = 3 << 20;
/// In bytes: takes seconds to pack.
const HUGE: usize = 160 << 20;
const ENDS_WITHIN: Duration = Duration::from_secs(20);

pub fn cases() -> Vec<Story> {
    vec![
        ("layers_of_a_docker_archive_are_packed_and_sent_once", |s| saved(s).boxed()),
        ("a_layout_keeps_its_digests_unless_it_is_packed_by_request", |s| kept(s).boxed()),
        ("an_index_names_its_packed_images_and_attestations_those", |s| index(s).boxed()),
        ("ctrl_c_while_packing_leaves_nothing", |s| interrupted(s).boxed()),
    ]
}

struct Machine {
    stack: Arc<Stack>,
    ours: CommandLine,
    base: String,
    temporary: PathBuf,
    _server: crate::support::process::Server,
}

impl Machine {
    async fn of(stack: &Arc<Stack>) -> Self {
        let server = stack.server(&[]).await;
        let ours = CommandLine::new(stack, "ours", server.base_url());
        let temporary = ours.path("temporary");
        fs::create_dir(&temporary).expect("a folder of our own");
        Self {
            stack: Arc::clone(stack),
            ours,
            base: server.base_url().to_owned(),
            temporary,
            _server: server,
        }
    }

    fn write(&self, name: &str, files: &Files) {
        self.ours.write(name, Tar::of(files).end());
    }

    /// What pushing says, and that nothing temporary is left.
    async fn push(&self, arguments: &[&str]) -> Value {
        let mut command = self.ours.command(&[&["push", "--json"], arguments].concat());
        let done = self.stack.run(command.env("TMPDIR", &self.temporary)).await;
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}: {done:?}");
        assert_eq!(files_in(&self.temporary), Vec::<PathBuf>::new());
        let said = events(&done.stdout).pop();
        said.unwrap_or_else(|| panic!("{arguments:?}: nothing"))
    }

    async fn manifest(&self, reference: &str) -> Value {
        Repository::of(&self.base, NAME).get(reference).await.expect(200).json()
    }

    async fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let read = Repository::of(&self.base, NAME).read(&digest.parse().expect("a digest")).await;
        assert_eq!(
            (api::digest_of(&read.body).to_string().as_str(), read.body.len() as u64),
            (digest, descriptor["size"].as_u64().expect("a size"))
        );
        read.body.to_vec()
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// A layer of one large file that gets a third of its size, like no other of another number.
fn layer(number: usize) -> Vec<u8> {
    let mut bytes = api::content(LARGE + number);
    bytes.chunks_mut(3).for_each(|chunk| chunk[1..].fill(0));
    Tar::default().file(&format!("srv/{number}"), &bytes).end()
}

fn unpacked(bytes: &[u8], media_type: &Value) -> Vec<u8> {
    let mut plain = Vec::new();
    match media_type.as_str().expect("text").rsplit_once(['+', '.']) {
        Some((_, "gzip")) => GzDecoder::new(bytes).read_to_end(&mut plain).expect("a gzip'd layer"),
        Some((_, "zstd")) => {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(bytes).expect("zstd");
            decoder.read_to_end(&mut plain).expect("a layer in zstd")
        }
        _ => panic!("{media_type}"),
    };
    plain
}

fn types(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().expect("layers");
    layers.iter().map(|layer| layer["mediaType"].as_str().expect("text")).collect()
}

async fn saved(stack: Arc<Stack>) {
    let machine = Machine::of(&stack).await;
    let plain = [layer(1), layer(2), layer(3), layer(4)];
    let diff_ids: Vec<_> = plain.iter().map(|layer| digest_of(layer)).collect();
    let (packed, other) = (gzip(&plain[2]), xz(&plain[3]));
    let files: Files = vec![
        ("0".to_owned(), plain[0].clone()),
        ("1".to_owned(), plain[1].clone()),
        ("2".to_owned(), packed.clone()),
        ("3".to_owned(), other.clone()),
        ("c".to_owned(), config(&diff_ids)),
        image_list("app:v1", "c", &["0", "1", "2", "3"]),
    ];
    machine.write("image.tar", &files);
    machine.ours.write("image.tar.gz", gzip(&Tar::of(&files).end()));
    let (name, gzipped) = (format!("{NAME}:v1"), format!("{LAYER}+gzip"));

    // What would be sent is what is sent, by its digests.
    machine.push(&["image.tar", &name, "--dry-run"]).await;
    assert_eq!(stack.objects().await, []);
    let first = machine.push(&["image.tar", &name]).await;
    assert_eq!((&first["blobs"]["sent"], first.get("digest_before")), (&json!(5), None));
    let manifest = machine.manifest("v1").await;
    assert_eq!(types(&manifest), [&gzipped; 4]);
    assert_eq!(machine.blob(&manifest["config"]).await, config(&diff_ids));
    for (sent, diff_id) in manifest["layers"].as_array().expect("layers").iter().zip(&diff_ids) {
        let bytes = machine.blob(sent).await;
        assert!(bytes.len() < LARGE / 4 * 3, "{}", bytes.len());
        assert_eq!(digest_of(&unpacked(&bytes, &sent["mediaType"])), *diff_id);
    }
    assert_eq!(manifest["layers"][2]["digest"], digest_of(&packed), "what is packed stays");

    // Again, by the digest that it got, and out of a packed archive: nothing of it is sent.
    let digest = first["digest"].as_str().expect("a digest");
    for arguments in [
        &["image.tar", &name, "--recheck"][..],
        &["image.tar", &format!("{NAME}@{digest}"), "--recheck"],
        &["image.tar.gz", &name, "--recheck", "--compress", "gzip"],
    ] {
        let again = machine.push(arguments).await;
        assert_eq!(
            (&again["digest"], &again["blobs"]["sent"]),
            (&first["digest"], &json!(0)),
            "{arguments:?}"
        );
    }
    let complaint =
        machine.ours.failed(1, &["push", "image.tar", &format!("{NAME}@{}", digest_of(b"another"))]).await;
    assert!(complaint.contains("cannot become"), "{complaint}");

    machine.push(&["image.tar", &name, "--compress", "none"]).await;
    let as_it_is = machine.manifest("v1").await;
    assert_eq!(types(&as_it_is), [LAYER, LAYER, &gzipped, &format!("{LAYER}+xz")]);
    assert_eq!(as_it_is["layers"][0]["digest"], diff_ids[0]);
    machine.push(&["image.tar", &name, "--compress", "zstd"]).await;
    let zstd = machine.manifest("v1").await;
    let zstandard = format!("{LAYER}+zstd");
    assert_eq!(types(&zstd), [&zstandard, &zstandard, &gzipped, &zstandard]);
    let sent = machine.blob(&zstd["layers"][3]).await;
    assert_eq!(digest_of(&unpacked(&sent, &zstd["layers"][3]["mediaType"])), diff_ids[3]);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

/// An image of two plain layers; one of them is called what Docker calls it.
fn image(layout: &mut Layout, numbers: [usize; 2]) -> Value {
    let layers = numbers.map(layer);
    let diff_ids = layers.clone().map(|layer| digest_of(&layer));
    let [first, second] = layers;
    layout.image(&[(LAYER, first), (DOCKER_LAYER, second)], &diff_ids)
}

async fn kept(stack: Arc<Stack>) {
    let machine = Machine::of(&stack).await;
    let mut layout = Layout::default();
    let image = named(image(&mut layout, [1, 2]), "v1");
    // An artifact's files are not layers, whatever they are called.
    let file = layout.blob(LAYER, b"a model, and no tar");
    let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}");
    let artifact = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": empty, "layers": [file] });
    let artifact = named(layout.json(IMAGE, &artifact), "model");
    let files = layout.end(&[image.clone(), artifact.clone()]);
    machine.write("image.tar", &files);
    let name = format!("{NAME}:v1");
    for compress in [&[][..], &["--compress", "none"]] {
        let kept = machine.push(&[&["image.tar", &name, "--image", "v1"], compress].concat()).await;
        assert_eq!((&kept["digest"], kept.get("digest_before")), (&image["digest"], None));
    }
    let planned =
        machine.push(&["image.tar", &name, "--image", "v1", "--compress", "gzip", "--dry-run"]).await;
    let said = machine.push(&["image.tar", &name, "--image", "v1", "--compress", "gzip"]).await;
    assert_eq!((&said["digest_before"], &planned["digest_before"]), (&image["digest"], &image["digest"]));
    assert_eq!(said["digest"], planned["digest"]);
    assert_eq!(said["blobs"]["sent"], 2, "two layers, and no config: {said}");
    let manifest = machine.manifest(said["digest"].as_str().expect("a digest")).await;
    assert_eq!(types(&manifest), [&format!("{LAYER}+gzip"), &format!("{DOCKER_LAYER}.gzip")]);
    let printed =
        machine.ours.done(&["push", "image.tar", &name, "--image", "v1", "--compress", "gzip"]).await;
    let (now, before) = (said["digest"].as_str().expect("text"), image["digest"].as_str().expect("text"));
    assert!(printed.starts_with(now) && printed.contains(before), "{printed}");
    let model =
        machine.push(&["image.tar", &format!("{NAME}:m"), "--image", "model", "--compress", "zstd"]).await;
    assert_eq!(model["digest"], artifact["digest"]);
    // A digest that is asked for is not changed.
    let asked = format!("{NAME}@{before}");
    assert_eq!(machine.push(&["image.tar", &asked, "--compress", "gzip"]).await["digest"], before);
}

async fn index(stack: Arc<Stack>) {
    let machine = Machine::of(&stack).await;
    let mut layout = Layout::default();
    let images: BTreeMap<_, _> = [("amd64", [1, 2]), ("arm64", [1, 3])]
        .map(|(name, layers)| (name, image(&mut layout, layers)))
        .into();
    let statement = layout.blob("application/vnd.in-toto+json", b"{}");
    let config = layout.blob(CONFIG, &config(&[digest_of(b"{}")]));
    let attestation =
        json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [statement] });
    let mut attestation = layout.json(IMAGE, &attestation);
    attestation["annotations"] = json!({ "vnd.docker.reference.digest": images["amd64"]["digest"] });
    let mut entries: Vec<_> = images
        .iter()
        .map(|(name, image)| {
            let mut entry = image.clone();
            entry["platform"] = json!({ "architecture": name, "os": "linux" });
            entry
        })
        .collect();
    entries.push(attestation.clone());
    let index = layout.index(&entries);
    machine.write("image.tar", &layout.end(&[named(index.clone(), "v1")]));

    let said = machine.push(&["image.tar", NAME, "--compress", "zstd"]).await;
    assert_eq!(said["digest_before"], index["digest"]);
    // Three layers, two configs of images and one of the attestation, and its statement.
    assert_eq!((&said["blobs"]["manifests"], &said["blobs"]["sent"]), (&json!(4), &json!(7)), "{said}");
    let packed = machine.manifest("v1").await;
    for (entry, before) in packed["manifests"].as_array().expect("manifests").iter().zip(&entries[..2]) {
        assert_eq!(entry["platform"], before["platform"]);
        assert_ne!(entry["digest"], before["digest"]);
        let image = machine.manifest(entry["digest"].as_str().expect("a digest")).await;
        assert_eq!(types(&image), [&format!("{LAYER}+zstd"), &format!("{DOCKER_LAYER}.zstd")]);
    }
    let [first, _, last] = packed["manifests"].as_array().expect("manifests").as_slice() else {
        panic!("{packed}")
    };
    assert_eq!(last["digest"], attestation["digest"]);
    assert_eq!(last["annotations"]["vnd.docker.reference.digest"], first["digest"]);
}

async fn interrupted(stack: Arc<Stack>) {
    let machine = Machine::of(&stack).await;
    let layers = [1, 2].map(|n| Tar::default().file("srv/noise", &api::content(HUGE + n)).end());
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer)).collect();
    let mut files: Files = vec![("c".to_owned(), config(&diff_ids)), image_list("app:v1", "c", &["0", "1"])];
    files.extend(layers.into_iter().enumerate().map(|(n, layer)| (n.to_string(), layer)));
    machine.write("image.tar", &files);
    let mut command = machine.ours.command(&["push", "image.tar", &format!("{NAME}:v1")]);
    command.env("TMPDIR", &machine.temporary).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process::spawn(&mut command);
    let begun = Instant::now();
    let is_packing = |path: &PathBuf| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).expect("a file");
        assert_eq!(metadata.mode() & 0o777, 0o600, "nobody else may read it");
        metadata.len() > 0
    };
    while !files_in(&machine.temporary).iter().any(is_packing) {
        assert!(begun.elapsed() < 3 * ENDS_WITHIN, "it does not begin to pack");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signal(process.id(), "-INT");
    let status = process.wait(ENDS_WITHIN).await.expect("it has ended");
    assert_eq!(status.code(), Some(130));
    assert_eq!(files_in(&machine.temporary), Vec::<PathBuf>::new());
    assert_eq!(stack.objects().await, []);
}
