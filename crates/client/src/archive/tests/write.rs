//! What is written is read again, byte by byte, also when it was interrupted.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use overside_protocol::digest::{Algorithm, Digest};
use overside_protocol::hash::Hasher;
use overside_protocol::wire::Descriptor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::makers::{BLOCK, CONFIG, Files, IMAGE, Layout, Tar, digest_of, gzip, layer};
use super::malformed::unpack;
use crate::Error;
use crate::archive::ArchiveError;
use crate::archive::{Archive, ArchiveFormat, Bundle, ImageName, Output};
use crate::error::Result;
use crate::progress::Progress;
use crate::registry::manifest::Manifest;

/// What a registry would have: the bundle, and the bytes of its blobs.
struct Registry {
    bundle: Bundle,
    blobs: HashMap<Digest, Vec<u8>>,
}

fn manifest(files: &Files, descriptor: &Value) -> Manifest {
    let digest = descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    let payload = files.iter().find(|(name, _)| *name == digest).unwrap().1.clone();
    Manifest::read(payload.into(), None, None).unwrap()
}

impl Registry {
    /// An index of two images, under this tag.
    fn new(tag: &str) -> Self {
        let mut layout = Layout::default();
        let one = layout.simple(tag);
        let packed = gzip(&layer("packed"));
        let gzipped = "application/vnd.oci.image.layer.v1.tar+gzip";
        let two = layout.image(&[(gzipped, packed)], &[digest_of(&layer("packed"))]);
        let index = layout.index(&[one.clone(), two.clone()]);
        let below = [one, two].map(|image| manifest(&layout.files, &image)).to_vec();
        Self::of(manifest(&layout.files, &index), below, &layout.files, tag)
    }

    fn of(root: Manifest, below: Vec<Manifest>, files: &Files, tag: &str) -> Self {
        let blobs: Vec<_> = below.iter().chain([&root]).flat_map(Manifest::blobs).cloned().collect();
        let bytes = |blob: &Descriptor| {
            let hex = blob.digest.hex();
            (blob.digest, files.iter().find(|(name, _)| name.ends_with(&hex)).unwrap().1.clone())
        };
        let name = ImageName { repository: "registry.example/app".to_owned(), tag: tag.parse().unwrap() };
        Self {
            blobs: blobs.iter().map(bytes).collect(),
            bundle: Bundle { root, below, blobs, name: Some(name) },
        }
    }

    async fn output(&self, target: &Path) -> Result<Output> {
        Output::create(target, ArchiveFormat::of(target), self.bundle.clone(), &Progress::default()).await
    }

    async fn pull(&self, target: &Path) -> Result<usize> {
        let output = self.output(target).await?;
        let missing = output.missing();
        for blob in &missing {
            write(&output, &blob.digest, &self.blobs[&blob.digest], true).await?;
        }
        output.finish().await?;
        Ok(missing.len())
    }

    async fn assert_in(&self, target: &Path) {
        let archive = Archive::open(target, &Progress::default()).await.unwrap();
        let name = self.bundle.name.as_ref().unwrap();
        let image = archive.images().iter().find(|image| image.names == [name.tag.as_str()]).unwrap();
        assert_eq!(image.root.annotation("io.containerd.image.name"), Some(&*name.to_string()));
        for manifest in self.bundle.below.iter().chain([&self.bundle.root]) {
            assert_eq!(archive.manifest(&manifest.descriptor.digest), Some(manifest));
        }
        for (digest, bytes) in &self.blobs {
            let opened = archive.open_blob(digest).await.unwrap();
            let mut found = Vec::new();
            opened.source.read_blocking().unwrap().read_to_end(&mut found).unwrap();
            assert!(found == *bytes, "{digest}");
        }
    }
}

/// Writes what the slot does not have yet.
async fn write(output: &Output, digest: &Digest, bytes: &[u8], publish: bool) -> Result<()> {
    let slot = output.slot(digest, &Progress::default()).await?;
    let (sender, chunks) = mpsc::channel(4);
    let left = bytes[usize::try_from(slot.length()).unwrap()..].to_vec();
    let written = tokio::task::spawn_blocking(move || {
        let slot = slot.write(chunks)?;
        if publish { slot.publish() } else { Ok(()) }
    });
    for chunk in left.chunks(700) {
        if sender.send(Bytes::copy_from_slice(chunk)).await.is_err() {
            break;
        }
    }
    drop(sender);
    written.await.unwrap()
}

fn target(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

#[tokio::test]
async fn an_index_is_written_to_either_form_and_read_again() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new("v1"));
    for name in ["image.tar", "layout"] {
        let target = target(&folder, name);
        assert_eq!(registry.pull(&target).await.unwrap(), 4);
        registry.assert_in(&target).await;
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
    let first = std::fs::read(target(&folder, "image.tar")).unwrap();
    assert_eq!(registry.pull(&target(&folder, "image.tar")).await.unwrap(), 4, "an old one is replaced");
    assert_eq!(std::fs::read(target(&folder, "image.tar")).unwrap(), first);
    assert_eq!(registry.pull(&target(&folder, "layout")).await.unwrap(), 0, "a layout has them already");
}

#[tokio::test]
async fn the_tar_is_an_archive_of_docker_too() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new("v1"));
    let target = target(&folder, "image.tar");
    registry.pull(&target).await.unwrap();
    let mut files = Files::new();
    for entry in tar::Archive::new(std::fs::File::open(&target).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.push((entry.path().unwrap().display().to_string(), content));
    }
    files.retain(|(name, _)| name != "index.json" && name != "oci-layout");
    std::fs::write(&target, Tar::of(&files).end()).unwrap();
    let archive = Archive::open(&target, &Progress::default()).await.unwrap();
    let names: Vec<_> = archive.images().iter().map(|image| image.names.join(" ")).collect();
    assert_eq!(names, ["registry.example/app:v1", ""]);
}

#[tokio::test]
async fn an_interrupted_tar_goes_on_where_it_was() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new("v1"));
    let [whole, cut] = ["whole.tar", "cut.tar"].map(|name| target(&folder, name));
    registry.pull(&whole).await.unwrap();
    let output = registry.output(&cut).await.unwrap();
    let [first, second] = [0, 1].map(|blob| output.missing()[blob].digest);
    write(&output, &first, &registry.blobs[&first], true).await.unwrap();
    let half = &registry.blobs[&second][..1500];
    write(&output, &second, half, false).await.unwrap();
    assert!(matches!(registry.output(&cut).await, Err(Error::DownloadInProgress(_))));
    drop(output);

    let output = registry.output(&cut).await.unwrap();
    assert!(output.missing().iter().all(|blob| blob.digest != first) && output.missing().len() == 3);
    assert_eq!(output.slot(&second, &Progress::default()).await.unwrap().length(), 1500);
    let unfinished = output.finish().await;
    assert!(matches!(unfinished, Err(Error::Archive(ArchiveError::Unfinished(_)))));
    assert_eq!(registry.pull(&cut).await.unwrap(), 3);
    assert_eq!(std::fs::read(&cut).unwrap(), std::fs::read(&whole).unwrap());
}

#[tokio::test]
async fn what_was_begun_for_another_image_or_did_not_reach_the_disk_is_written_again() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new("v1"));
    let target = target(&folder, "image.tar");
    for broken in [false, true] {
        let other = if broken { Registry::new("v1") } else { Registry::new("v2") };
        let output = other.output(&target).await.unwrap();
        for blob in output.missing() {
            write(&output, &blob.digest, &other.blobs[&blob.digest], true).await.unwrap();
        }
        drop(output);
        let partial = folder.path().join("image.tar.partial");
        let mut bytes = std::fs::read(&partial).unwrap();
        let lost = bytes.len() - 3 * BLOCK;
        bytes[lost..lost + 8].fill(0);
        std::fs::write(&partial, bytes).unwrap();
        assert_eq!(registry.pull(&target).await.unwrap(), if broken { 1 } else { 4 });
        registry.assert_in(&target).await;
    }
}

#[tokio::test]
async fn bytes_that_are_not_the_blob_are_discarded() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new("v1"));
    for name in ["image.tar", "layout"] {
        let output = registry.output(&target(&folder, name)).await.unwrap();
        let blob = output.missing().remove(0);
        let mut bytes = registry.blobs[&blob.digest].clone();
        bytes[0] ^= 1;
        let refused = write(&output, &blob.digest, &bytes, true).await;
        assert!(matches!(refused, Err(Error::DigestMismatch(_))));
        assert_eq!(output.slot(&blob.digest, &Progress::default()).await.unwrap().length(), 0);
        assert!(matches!(output.finish().await, Err(Error::Archive(ArchiveError::Unfinished(_)))));
        assert!(!target(&folder, name).is_file() && !target(&folder, name).join("index.json").exists());
        assert_eq!(registry.pull(&target(&folder, name)).await.unwrap(), 4);
    }
    let output = registry.output(&target(&folder, "image.tar")).await.unwrap();
    let blob = output.missing().remove(0);
    let long = vec![7; usize::try_from(blob.size).unwrap() + 1];
    let refused = write(&output, &blob.digest, &long, true).await;
    assert!(
        matches!(refused, Err(Error::Archive(ArchiveError::WrongSize { .. }))),
        "it would go over the next one"
    );
}

#[tokio::test]
async fn a_layout_keeps_its_other_images_and_what_else_its_index_says() {
    let folder = TempDir::new().unwrap();
    let target = target(&folder, "layout");
    let mut layout = Layout::default();
    let old = layout.simple("old");
    let [v1, other] = ["v1", "other"].map(|tag| super::makers::named(old.clone(), tag));
    let mut files = layout.end(&[v1, other, old]);
    let index = &mut files.last_mut().unwrap().1;
    let mut told: Value = serde_json::from_slice(index).unwrap();
    told["annotations"] = json!({ "kept": "as it was" });
    *index = told.to_string().into_bytes();
    unpack(&target, &files);

    let registry = Registry::new("v1");
    registry.pull(&target).await.unwrap();
    registry.assert_in(&target).await;
    let archive = Archive::open(&target, &Progress::default()).await.unwrap();
    let names: Vec<_> = archive.images().iter().map(|image| image.names.join(" ")).collect();
    assert_eq!(names, ["other", "v1"]);
    let index: Value = serde_json::from_slice(&std::fs::read(target.join("index.json")).unwrap()).unwrap();
    assert_eq!((&index["annotations"]["kept"], &index["schemaVersion"]), (&json!("as it was"), &json!(2)));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_blob_that_a_layout_has_damaged_is_written_again() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new("v1"));
    let target = target(&folder, "layout");
    registry.pull(&target).await.unwrap();
    let blob = target.join("blobs/sha256").join(registry.bundle.blobs[1].digest.hex());
    let size = usize::try_from(std::fs::metadata(&blob).unwrap().len()).unwrap();
    std::fs::write(&blob, vec![0; size]).unwrap();
    let finished = registry.output(&target).await.unwrap().finish().await;
    assert!(matches!(finished, Err(Error::Archive(ArchiveError::Unfinished(_)))));
    assert_eq!(registry.pull(&target).await.unwrap(), 1);
    registry.assert_in(&target).await;
}

#[tokio::test]
async fn nothing_else_is_taken_for_a_target() {
    let (folder, registry) = (TempDir::new().unwrap(), Registry::new("v1"));
    std::fs::write(target(&folder, "notes.txt"), "mine").unwrap();
    let refused = registry.output(folder.path()).await;
    assert!(matches!(refused, Err(Error::Archive(ArchiveError::NotALayout(_)))));
    let tar =
        Output::create(folder.path(), ArchiveFormat::Tar, registry.bundle.clone(), &Progress::default())
            .await;
    assert!(matches!(tar, Err(Error::Archive(ArchiveError::TargetIsAFolder(_)))));
    assert_eq!(ArchiveFormat::of(&target(&folder, "notes.txt")), ArchiveFormat::Tar);
    let layout = target(&folder, "layout");
    unpack(&layout, &vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"9"}"#.to_vec())]);
    let refused = registry.output(&layout).await;
    assert!(matches!(refused, Err(Error::Archive(ArchiveError::LayoutVersion(_)))));
}

#[tokio::test]
async fn blobs_named_by_sha512_have_their_place() {
    let mut layout = Layout::default();
    let config = layout.blob(CONFIG, b"{}");
    let bytes = b"hashed at length".to_vec();
    let digest = Hasher::digest(Algorithm::Sha512, &bytes);
    layout.files.push((format!("blobs/sha512/{}", digest.hex()), bytes));
    let file = json!({ "mediaType": "application/vnd.example.data", "digest": digest, "size": 16 });
    let root = layout.json(IMAGE, &json!({ "schemaVersion": 2, "config": config, "layers": [file] }));
    let registry = Registry::of(manifest(&layout.files, &root), Vec::new(), &layout.files, "v1");
    let folder = TempDir::new().unwrap();
    for name in ["image.tar", "layout"] {
        assert_eq!(registry.pull(&target(&folder, name)).await.unwrap(), 2);
        registry.assert_in(&target(&folder, name)).await;
    }
}
