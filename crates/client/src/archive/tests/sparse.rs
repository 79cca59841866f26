//! Layouts that lack something, or name it by other digests.

use overside_protocol::digest::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;

use super::makers::{
    CONFIG, DOCKER_LAYER, Files, IMAGE, LAYER, Layout, Tar, config, digest_of, gzip, image_list, layer,
    named, xz,
};
use super::malformed::unpack;
use crate::archive::{Archive, ArchiveError, LayerCompression};
use crate::progress::Progress;

async fn opened(files: &Files) -> Result<(TempDir, Archive), ArchiveError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image.tar");
    std::fs::write(&path, Tar::of(files).end()).unwrap();
    let archive = Archive::open(&path, &Progress::default()).await?;
    Ok((folder, archive))
}

fn of_platform(mut descriptor: Value, architecture: &str) -> Value {
    descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
    descriptor
}

/// Two platforms and an attestation of the first; without the files whose names end so.
fn platforms(layout: &mut Layout) -> [Value; 4] {
    let one = of_platform(layout.simple("one"), "amd64");
    let two = of_platform(layout.simple("two"), "arm64");
    let mut attestation = of_platform(layout.simple("statement"), "unknown");
    attestation["annotations"] = json!({ "vnd.docker.reference.digest": one["digest"] });
    let index = layout.index(&[one.clone(), two.clone(), attestation.clone()]);
    [index, one, two, attestation]
}

fn hex(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap()
}

#[tokio::test]
async fn an_index_that_lacks_a_platform_is_told_with_what_it_has() {
    let mut layout = Layout::default();
    let [index, one, two, _] = platforms(&mut layout);
    let sound = layout.simple("three");
    let mut files = layout.end(&[named(index.clone(), "v1"), named(sound, "v3")]);
    for lost in [hex(&two).to_owned(), digest_of(&layer("two")).replace("sha256:", "")] {
        // First without a manifest, then without a layer beside it.
        files.retain(|(name, _)| !name.ends_with(&lost));
        let (_folder, archive) = opened(&files).await.unwrap();
        let [sparse, whole] = archive.images() else { panic!("{:?}", archive.images()) };
        assert!(whole.missing.is_empty() && whole.whole.is_empty());
        assert_eq!(
            (&sparse.names, sparse.root.digest.to_string()),
            (&vec!["v1".to_owned()], index["digest"].as_str().unwrap().to_owned())
        );
        let kept: Vec<_> = sparse.whole.iter().map(|entry| entry.digest.to_string()).collect();
        assert_eq!(kept, [one["digest"].as_str().unwrap()], "no attestation");
        assert!(sparse.missing[0].to_string().contains(hex(&two)), "{}", sparse.missing[0]);
        assert!(sparse.missing[0].to_string().contains("linux/arm64"));
        assert!(
            archive.manifest(&sparse.root.digest).is_none()
                && archive.manifest(&sparse.whole[0].digest).is_some()
        );
    }
}

#[tokio::test]
async fn a_blob_that_is_missing_names_itself_and_cut_archives_are_not_sparse() {
    let mut layout = Layout::default();
    let [index, ..] = platforms(&mut layout);
    let mut files = layout.end(&[index]);
    files.retain(|(name, _)| !name.ends_with(&digest_of(&layer("two")).replace("sha256:", "")));
    let (_folder, archive) = opened(&files).await.unwrap();
    assert_eq!(archive.images()[0].missing[0].to_string(), format!("the blob {}", digest_of(&layer("two"))));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image.tar");
    std::fs::write(&path, Tar::of(&files).0).unwrap();
    let cut = Archive::open(&path, &Progress::default()).await;
    assert!(matches!(cut, Err(ArchiveError::Truncated(_))), "{cut:?}");
}

#[tokio::test]
async fn of_two_lists_the_one_that_is_whole_is_taken() {
    let mut layout = Layout::default();
    let [index, one, two, _] = platforms(&mut layout);
    let mut files = layout.end(&[named(index, "v1")]);
    let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
    files.push(image_list("app:v1", &names[0], &[&names[1]]));
    files.retain(|(name, _)| !name.ends_with(hex(&two)));
    // As docker saves one platform: the digest of its manifest stays.
    let (_folder, archive) = opened(&files).await.unwrap();
    assert!(!archive.makes_manifests());
    assert_eq!(archive.images()[0].whole[0].digest.to_string(), one["digest"]);
    // Without any manifest there is still the other list.
    files.retain(|(name, _)| !name.ends_with(hex(&one)));
    let (_folder, archive) = opened(&files).await.unwrap();
    assert!(archive.makes_manifests() && archive.images()[0].names == ["app:v1"]);
}

#[tokio::test]
async fn an_index_of_nothing_says_so() {
    for index in [json!([]), Value::Null] {
        let mut files = Layout::default().end(&[]);
        files[1].1 = json!({ "schemaVersion": 2, "manifests": index }).to_string().into_bytes();
        let refused = opened(&files).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("index.json lists no image"), "{refused}");
    }
}

fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex::encode(Sha512::digest(bytes)))
}

/// A blob of a layout by its SHA-512.
fn blob(files: &mut Files, media_type: &str, bytes: &[u8]) -> Value {
    let digest = sha512(bytes);
    files.push((format!("blobs/{}", digest.replace(':', "/")), bytes.to_vec()));
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// An image of three layers, all by their SHA-512, whose config has these diff ids.
fn by_sha512(diff_ids: impl Fn(&[u8]) -> String) -> (Files, Value) {
    let plain = ["a", "b", "c"].map(layer);
    let ids: Vec<_> = plain.iter().map(|layer| diff_ids(layer)).collect();
    let mut layout = Layout::default();
    let files = &mut layout.files;
    let config = blob(files, CONFIG, &config(&ids));
    let packed = [
        (LAYER.to_owned(), plain[0].clone()),
        (format!("{LAYER}+gzip"), gzip(&plain[1])),
        (format!("{DOCKER_LAYER}.xz"), xz(&plain[2])),
    ];
    let layers: Vec<_> = packed.iter().map(|(media_type, bytes)| blob(files, media_type, bytes)).collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers });
    let manifest = blob(files, IMAGE, manifest.to_string().as_bytes());
    (layout.end(std::slice::from_ref(&manifest)), manifest)
}

#[tokio::test]
async fn digests_of_sha512_are_proven_whatever_the_diff_ids_are_of() {
    for diff_ids in [|bytes: &[u8]| digest_of(bytes), sha512] {
        let (files, root) = by_sha512(diff_ids);
        let (_folder, archive) = opened(&files).await.unwrap();
        assert_eq!(archive.images()[0].root.digest.to_string(), root["digest"]);
    }
    for wrong in [|_: &[u8]| digest_of(b"another"), |_: &[u8]| sha512(b"another")] {
        let refused = opened(&by_sha512(wrong).0).await.map(drop);
        assert!(matches!(refused, Err(ArchiveError::WrongDiffId { .. })), "{refused:?}");
    }
    let (mut files, _) = by_sha512(digest_of);
    let layer =
        files.iter_mut().find(|(name, _)| name.ends_with(&sha512(&layer("a")).replace("sha512:", "")));
    layer.unwrap().1[600] ^= 1;
    assert!(matches!(opened(&files).await.map(drop), Err(ArchiveError::WrongDigest { .. })));
}

#[tokio::test]
async fn packed_layers_of_such_an_image_are_proven_by_its_own_digests() {
    let (files, root) = by_sha512(sha512);
    let (_folder, archive) = opened(&files).await.unwrap();
    let root: Digest = root["digest"].as_str().unwrap().parse().unwrap();
    let archive = std::sync::Arc::new(archive);
    let packed = archive.compress(&[root], LayerCompression::Gzip, 2, &Progress::default()).await.unwrap();
    let manifest = packed.manifest(&packed.renamed(&root)).unwrap();
    let types: Vec<_> = manifest.layers.iter().map(|layer| layer.media_type.to_string()).collect();
    assert_eq!(types, [format!("{LAYER}+gzip"), format!("{LAYER}+gzip"), format!("{DOCKER_LAYER}.gzip")]);
    let [first, second, third] = [0, 1, 2].map(|n| packed.layer(&manifest.layers[n].digest));
    assert!(first.is_some() && second.is_none() && third.is_some());
    assert_eq!(manifest.config, archive.manifest(&root).unwrap().config);
}

#[tokio::test]
async fn a_config_may_have_any_name_and_one_that_is_a_digest_is_its_own() {
    let bytes = config(&[digest_of(&layer("one"))]);
    let by_512 = sha512(&bytes);
    for (name, digest) in [
        ("config".to_owned(), digest_of(&bytes)),
        ("md5:0123456789abcdef.json".to_owned(), digest_of(&bytes)),
        (format!("{}.json", by_512.replace("sha512:", "")), by_512.clone()),
        (by_512.clone(), by_512.clone()),
        (digest_of(&bytes).replace("sha256:", ""), digest_of(&bytes)),
    ] {
        let files: Files = vec![
            (name.clone(), bytes.clone()),
            ("md5/layer".to_owned(), layer("one")),
            image_list("app:v1", &name, &["md5/layer"]),
        ];
        let (_folder, archive) = opened(&files).await.unwrap();
        let manifest = archive.manifest(&archive.images()[0].root.digest).unwrap();
        assert_eq!(manifest.config.as_ref().unwrap().digest.to_string(), digest, "{name}");
    }
}

#[tokio::test]
async fn a_folder_may_be_sparse_too() {
    let folder = TempDir::new().unwrap();
    let mut layout = Layout::default();
    let [index, one, ..] = platforms(&mut layout);
    unpack(folder.path(), &layout.end(&[index]));
    std::fs::remove_file(folder.path().join("blobs/sha256").join(hex(&one))).unwrap();
    let archive = Archive::open(folder.path(), &Progress::default()).await.unwrap();
    assert!(archive.images()[0].missing[0].to_string().contains(hex(&one)));
}
