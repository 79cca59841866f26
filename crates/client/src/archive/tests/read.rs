//! Every form that archives of the field have.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use overside_protocol::digest::Digest;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::makers::{
    CONFIG, Files, IMAGE, LAYER, Layout, Tar, bzip2, config, digest_of, gzip, image_list, layer, named,
    saved, xz, zstd,
};
use super::malformed::unpack;
use crate::archive::examine::Watch;
use crate::archive::{Archive, ArchiveError};
use crate::progress::{Event, Progress};
use crate::registry::manifest::Manifest;

async fn open(bytes: &[u8]) -> (TempDir, Archive) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, bytes).unwrap();
    let archive = Archive::open(&path, &Progress::default()).await;
    (folder, archive.unwrap_or_else(|error| panic!("{error:?}")))
}

async fn read(archive: &Archive, digest: &Digest) -> Vec<u8> {
    let opened = archive.open_blob(digest).await.unwrap();
    let mut bytes = Vec::new();
    opened.source.read_blocking().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(digest_of(&bytes), digest.to_string());
    bytes
}

fn manifest(archive: &Archive, image: usize) -> &Manifest {
    archive.manifest(&archive.images()[image].root.digest).unwrap()
}

/// The layers of the first image, read.
async fn layers(archive: &Archive) -> Vec<Vec<u8>> {
    let mut layers = Vec::new();
    for layer in &manifest(archive, 0).layers {
        layers.push(read(archive, &layer.digest).await);
    }
    layers
}

#[tokio::test]
async fn an_old_archive_of_docker_gets_a_manifest_and_keeps_its_layers() {
    let mut made = Vec::new();
    for packed in [false, true] {
        let tar = Tar::of(&saved("app:v1", &["one", "two"])).end();
        let (_folder, archive) = open(&if packed { gzip(&tar) } else { tar }).await;
        assert_eq!(archive.is_packed(), packed);
        assert_eq!(archive.images().len(), 1);
        assert_eq!(archive.images()[0].names, ["app:v1"]);
        assert_eq!(layers(&archive).await, [layer("one"), layer("two")]);
        let manifest = manifest(&archive, 0);
        let config = manifest.config.as_ref().unwrap();
        assert_eq!(read(&archive, &config.digest).await, saved("app:v1", &["one", "two"])[0].1);
        made.push(manifest.payload.clone());
        let [first, second] = [0, 1].map(|layer| archive.order(&manifest.layers[layer].digest));
        assert!(first < second);
    }
    assert_eq!(made[0], made[1]);
    insta::assert_snapshot!(std::str::from_utf8(&made[0]).unwrap(), @r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:81db608a6d495057f2972a49bc7672031f0f5aa821664f391c8dc27a2bc6c9af","size":225},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:b05825cdda776ad155db5f6364516160ea28c6b0916e94bd7f042e8de7b1d460","size":2048},{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:cf218dea774be68c2e4db918d83e0f74cad5702cab39ef3b7b484d18c45adaa0","size":2048}]}"#);
}

#[tokio::test]
async fn several_images_share_a_layer_through_links() {
    let files = saved("app:v1", &["one", "two"]);
    let diff_ids = [digest_of(&layer("two")), digest_of(&layer("one")), digest_of(&layer("one"))];
    let list = json!([
        { "Config": files[0].0, "RepoTags": ["app:v1", "app:latest"], "Layers": ["one/layer.tar", "two/layer.tar"] },
        { "Config": "other.json", "RepoTags": null, "Layers": ["a/layer.tar", "./b/layer.tar", "c/layer.tar"] },
    ]);
    let mut tar = Tar::default().hard_link("a/layer.tar", "two/layer.tar");
    for (name, content) in files.iter().filter(|(name, _)| name != "manifest.json") {
        tar = tar.file(&format!("./{name}"), content);
    }
    let tar = tar.link("b/layer.tar", "../d/layer.tar").link("d/layer.tar", "../one/layer.tar");
    let tar = tar.link("c/layer.tar", "../a/../b/layer.tar").file("other.json", &config(&diff_ids));
    let (_folder, archive) = open(&tar.file("manifest.json", list.to_string().as_bytes()).end()).await;
    assert_eq!(archive.images()[0].names, ["app:v1", "app:latest"]);
    assert!(archive.images()[1].names.is_empty());
    let other: Vec<_> = manifest(&archive, 1).layers.iter().map(|layer| layer.digest.to_string()).collect();
    assert_eq!(other, diff_ids);
}

#[tokio::test]
async fn packed_layers_go_as_they_are_and_are_known_by_their_first_bytes() {
    let plain = ["gzip", "zstd", "xz", "bzip2", "plain"].map(layer);
    let diff_ids: Vec<_> = plain.iter().map(|layer| digest_of(layer)).collect();
    let packed = [gzip(&plain[0]), zstd(&plain[1]), xz(&plain[2]), bzip2(&plain[3]), plain[4].clone()];
    let mut files: Files =
        vec![("c".to_owned(), config(&diff_ids)), image_list("a:b", "c", &["0", "1", "2", "3", "4"])];
    files.extend(packed.iter().enumerate().map(|(n, layer)| (n.to_string(), layer.clone())));
    let tar = Tar::of(&files).end();
    for archive in [tar.clone(), gzip(&tar), zstd(&tar), xz(&tar), bzip2(&tar)] {
        let (_folder, archive) = open(&archive).await;
        assert_eq!(layers(&archive).await, packed);
        let types = manifest(&archive, 0).layers.iter().map(|layer| layer.media_type.to_string());
        assert_eq!(
            types.collect::<Vec<_>>(),
            ["+gzip", "+zstd", "+xz", "+bzip2", ""].map(|suffix| format!("{LAYER}{suffix}"))
        );
    }
}

#[tokio::test]
async fn a_tar_whose_first_file_is_called_as_bzip2_begins_is_a_tar() {
    let mut files = saved("app:v1", &["one"]);
    files.insert(0, ("BZh91AY".to_owned(), b"text".to_vec()));
    let (_folder, archive) = open(&Tar::of(&files).end()).await;
    assert_eq!(layers(&archive).await, [layer("one")]);
}

/// Two platforms, an attestation and an encrypted image beside them, and artifacts that have borrowed the type of an
/// image's config.
fn layout() -> Files {
    let mut layout = Layout::default();
    let one = layout.simple("one");
    let packed = gzip(&layer("two"));
    let two =
        layout.image(&[("application/vnd.oci.image.layer.v1.tar+gzip", packed)], &[digest_of(&layer("two"))]);
    let statement = br#"{"predicate":{}}"#.to_vec();
    let diff_id = digest_of(&statement);
    let attestation = layout.image(&[("application/vnd.in-toto+json", statement)], &[diff_id]);
    let encrypted = ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", b"ciphertext".to_vec());
    let mut listed = vec![one.clone(), two, attestation, layout.image(&[encrypted], &[digest_of(b"plain")])];
    for config in [&b"{}"[..], b"", br#"{"architecture":"arm","os":"linux"}"#] {
        let (config, layer) = (layout.blob(CONFIG, config), layout.blob(LAYER, &layer("an artifact's")));
        let artifact = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        listed.push(layout.json(IMAGE, &artifact));
    }
    let index = layout.index(&listed);
    let index = layout.index(&[index]);
    let empty = layout.blob(CONFIG, b"{}");
    let file = layout.blob("application/vnd.example.data", &gzip(b"data"));
    let foreign = json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": digest_of(b"elsewhere"), "size": 9,
    });
    let artifact = json!({ "schemaVersion": 2, "config": empty, "layers": [file, foreign] });
    let artifact = layout.json(IMAGE, &artifact);
    layout.end(&[named(index, "all"), named(one.clone(), "one"), named(one, "uno"), artifact])
}

async fn assert_layout(archive: &Archive) {
    let names: Vec<_> = archive.images().iter().map(|image| image.names.join(" ")).collect();
    assert_eq!(names, ["all", "one uno", ""]);
    for (name, content) in layout() {
        let Some(hex) = name.strip_prefix("blobs/sha256/") else { continue };
        let digest = format!("sha256:{hex}").parse().unwrap();
        match archive.manifest(&digest) {
            Some(manifest) => assert_eq!(manifest.payload, content),
            None => assert_eq!(read(archive, &digest).await, content),
        }
    }
    let unknown = archive.open_blob(&Digest::from_sha256([9; 32])).await;
    assert!(matches!(unknown, Err(ArchiveError::BlobUnknown(_))));
}

#[tokio::test]
async fn a_layout_is_read_from_a_folder_a_tar_and_a_packed_tar() {
    let tar = Tar::of(&layout()).end();
    for archive in [tar.clone(), gzip(&tar), xz(&tar), bzip2(&tar)] {
        let (_folder, archive) = open(&archive).await;
        assert_layout(&archive).await;
    }
    let folder = TempDir::new().unwrap();
    unpack(folder.path(), &layout());
    let archive = Archive::open(folder.path(), &Progress::default()).await.unwrap();
    assert_layout(&archive).await;
}

/// What `docker save` writes since version 25: both lists, over one set of blobs.
fn saved_with_index() -> Files {
    let mut layout = Layout::default();
    let image = named(layout.simple("one"), "v1");
    let names: Vec<_> = layout.files.iter().map(|(name, _)| name.clone()).collect();
    let mut files = layout.end(&[image]);
    files.push(image_list("app:v1", &names[0], &[&names[1]]));
    files
}

#[tokio::test]
async fn of_two_lists_the_index_is_taken_if_it_is_sound() {
    let (_folder, archive) = open(&Tar::of(&saved_with_index()).end()).await;
    assert_eq!(archive.images()[0].names, ["v1"]);
    assert_eq!(manifest(&archive, 0).payload, saved_with_index()[2].1);
    let mut incomplete = saved_with_index();
    incomplete.remove(2);
    let (_folder, archive) = open(&Tar::of(&incomplete).end()).await;
    assert_eq!(archive.images()[0].names, ["app:v1"]);
    assert_eq!(layers(&archive).await, [layer("one")]);
}

#[tokio::test]
async fn names_of_gnu_and_of_pax_are_read() {
    let long = format!("{}/layer.tar", "deep/".repeat(30));
    let record = format!("path={long}\n");
    let record = format!("{} {record}", record.len() + 4);
    let record = format!("27 SCHILY.xattr.user.a=\n=\n\n{record}");
    let diff_ids = [digest_of(&layer("l"))];
    let files: Files = vec![("c".to_owned(), config(&diff_ids)), image_list("a:b", "c", &[&long])];
    let pax = Tar::of(&files).entry(tar::EntryType::XGlobalHeader, "g", "", b"12 comment=\n");
    let pax = pax.entry(tar::EntryType::XHeader, "x", "", record.as_bytes());
    let gnu = Tar::of(&files).entry(
        tar::EntryType::GNULongName,
        "././@LongLink",
        "",
        format!("{long}\0").as_bytes(),
    );
    for tar in [pax, gnu] {
        let (_folder, archive) = open(&tar.file("short", &layer("l")).end()).await;
        assert_eq!(layers(&archive).await, [layer("l")]);
    }
}

#[tokio::test]
async fn a_file_that_is_there_twice_with_the_same_content_is_one() {
    let files = saved("app:v1", &["one"]);
    let tar = files.iter().fold(Tar::of(&files), |tar, (name, content)| tar.file(name, content)).end();
    for archive in [tar.clone(), gzip(&tar)] {
        let (_folder, archive) = open(&archive).await;
        assert_eq!(layers(&archive).await, [layer("one")]);
    }
}

/// Progress, and what it comes to: the total, and the bytes counted.
fn counted() -> (Progress, Arc<[AtomicU64; 2]>) {
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let noted = Arc::clone(&counts);
    let progress = Progress::new(move |_, event| match event {
        Event::Started { total, .. } => drop(noted[0].fetch_add(total, Ordering::Relaxed)),
        Event::Advanced(bytes) => drop(noted[1].fetch_add(bytes, Ordering::Relaxed)),
        _ => {}
    });
    (progress, counts)
}

#[tokio::test]
async fn progress_counts_each_byte_once_also_of_a_layer_that_images_share() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image.tar");
    let tar = Tar::of(&layout()).end();
    for (bytes, is_packed) in [(tar.clone(), false), (gzip(&tar), true)] {
        std::fs::write(&path, &bytes).unwrap();
        let (progress, counts) = counted();
        Archive::open(&path, &progress).await.unwrap();
        let [total, counted] = [0, 1].map(|n| counts[n].load(Ordering::Relaxed));
        assert!(total > 0 && total == counted, "{counted} of {total}, packed: {is_packed}");
    }
}

#[tokio::test]
async fn an_archive_that_changes_after_it_was_checked_is_not_used() {
    for packed in [false, true] {
        let tar = Tar::of(&saved("app:v1", &["one", "two"])).end();
        let (folder, archive) = open(&if packed { gzip(&tar) } else { tar }).await;
        let other = Tar::of(&saved("app:v1", &["three", "four"])).end();
        let path = folder.path().join("image");
        std::fs::write(path, if packed { gzip(&other) } else { [other, vec![0; 512]].concat() }).unwrap();
        let layer = manifest(&archive, 0).layers[0].digest;
        assert!(archive.open_blob(&layer).await.is_err());
    }
}

#[tokio::test]
async fn what_is_unpacked_for_a_blob_goes_with_it() {
    let (_folder, archive) = open(&gzip(&Tar::of(&saved("app:v1", &["one", "two"])).end())).await;
    let [first, second] = [0, 1].map(|layer| manifest(&archive, 0).layers[layer].digest);
    let opened = archive.open_blob(&second).await.unwrap();
    let path = opened.source.path().to_owned();
    assert!(path.exists() && Path::starts_with(&path, std::env::temp_dir()));
    drop(opened);
    assert!(!path.exists());
    assert_eq!(read(&archive, &first).await, layer("one"), "going back begins again");
}

#[tokio::test]
async fn large_blobs_of_a_packed_archive_are_unpacked_one_after_the_other() {
    // Bytes that do not get smaller, so that unpacking one does not read the file to its end.
    let large = |seed: u64| -> Vec<u8> {
        let mut state = seed;
        let words = (0..400_000).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()
        });
        words.collect()
    };
    let layers_in = [large(1), large(2), large(3)];
    let diff_ids: Vec<_> = layers_in.iter().map(|layer| digest_of(layer)).collect();
    let mut files: Files =
        vec![("c".to_owned(), config(&diff_ids)), image_list("a:b", "c", &["0", "1", "2"])];
    files.extend(layers_in.iter().enumerate().map(|(n, layer)| (n.to_string(), layer.clone())));
    let tar = Tar::of(&files).end();
    for archive in [gzip(&tar), zstd(&tar), xz(&tar), bzip2(&tar)] {
        let (_folder, archive) = open(&archive).await;
        assert!(layers(&archive).await == layers_in);
        assert!(layers(&archive).await == layers_in, "and once more");
    }
}

#[tokio::test]
async fn checking_ends_when_nobody_waits_for_it() {
    let tar = Tar::of(&saved("app:v1", &["one"])).end();
    for bytes in [tar.clone(), gzip(&tar)] {
        let (folder, _) = open(&bytes).await;
        let watch = Watch { progress: Progress::default(), stop: CancellationToken::new() };
        watch.stop.cancel();
        let stopped = Archive::open_blocking(&folder.path().join("image"), &watch);
        assert!(matches!(stopped, Err(ArchiveError::File { .. })));
    }
}
