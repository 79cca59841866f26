//! Whatever is wrong with an archive is told, and in its own words.

use std::error::Error as _;

use tempfile::TempDir;

use super::makers::{BLOCK, Files, Layout, Tar, named};
use super::malformed;
use crate::archive::{Archive, ArchiveError};
use crate::progress::Progress;

fn told(error: &ArchiveError) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[tokio::test]
async fn every_malformed_archive_is_refused_with_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image.tar");
    let cases = malformed::all();
    assert!(cases.len() > 50, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        std::fs::write(&path, &case.archive).unwrap();
        match Archive::open(&path, &Progress::default()).await {
            Ok(_) => wrong.push(format!("{}: taken", case.what)),
            Err(error) if !told(&error).contains(case.told) => {
                wrong.push(format!("{}: {}", case.what, told(&error)));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn sound() -> Files {
    let mut layout = Layout::default();
    let image = named(layout.simple("one"), "v1");
    layout.end(&[image])
}

#[tokio::test]
async fn a_sound_archive_cut_anywhere_is_refused_or_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image.tar");
    let whole = Tar::of(&sound()).end();
    for length in (0..whole.len()).step_by(256) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let opened = Archive::open(&path, &Progress::default()).await;
        // All that follows is padding and the mark of its end.
        let is_whole = whole.len() - length < 1024 + BLOCK;
        match opened {
            Ok(_) => assert!(is_whole, "{length} of {}", whole.len()),
            Err(ArchiveError::Truncated(_) | ArchiveError::Empty(_) | ArchiveError::NotAnArchive(_)) => {}
            Err(other) => panic!("{length}: {}", told(&other)),
        }
    }
}

#[tokio::test]
async fn a_folder_is_refused_as_a_tar_would_be() {
    let folder = TempDir::new().unwrap();
    let open =
        async || Archive::open(folder.path(), &Progress::default()).await.map_err(|error| told(&error));
    assert!(open().await.is_err_and(|told| told.contains("no OCI image layout")));
    malformed::unpack(folder.path(), &sound());
    assert_eq!(open().await.unwrap().images().len(), 1);
    let layer = folder.path().join(&sound()[1].0);
    std::fs::write(&layer, "short").unwrap();
    assert!(open().await.is_err_and(|told| told.contains("has 5 bytes")));
    std::fs::remove_file(&layer).unwrap();
    assert!(open().await.is_err_and(|told| told.contains("is not in the archive")));
    std::fs::create_dir(&layer).unwrap();
    assert!(open().await.is_err_and(|told| told.contains("is neither a file nor a folder")));
    std::fs::remove_file(folder.path().join("index.json")).unwrap();
    assert!(open().await.is_err_and(|told| told.contains("no index.json")));
    let gone = folder.path().join("gone");
    assert!(matches!(Archive::open(&gone, &Progress::default()).await, Err(ArchiveError::File { .. })));
}
