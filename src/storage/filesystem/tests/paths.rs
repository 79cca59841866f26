//! The sweep removes what a listing named and nothing else.

use std::os::unix::fs::symlink;

use chrono::{DateTime, Utc};

use super::*;
use crate::storage::{TempEntry, TempKind, TempListing, TempOwner};

fn entry(key: &str) -> TempEntry {
    let kind = TempKind::Object { key: key.to_owned() };
    TempEntry { owner: TempOwner::Nobody, kind, modified: Clock::System.now() }
}

#[tokio::test]
async fn a_key_that_climbs_or_descends_removes_nothing() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    fs::write(fixture.folder.path().join("outside"), b"stays")?;
    let mut tricks: Vec<String> = [
        "",
        "temp",
        "temp/",
        "temp/.",
        "temp/..",
        "temp/../blobs",
        "blobs",
        "blobs/",
        "/",
        "../outside",
        "temp//x",
    ]
    .map(str::to_owned)
    .into();
    tricks.push(format!("temp/{upload}/lock"));
    tricks.push(format!("temp/{upload}/"));
    tricks.push(fixture.folder.path().join("outside").to_string_lossy().into_owned());
    tricks.push(format!("temp/{}", fixture.folder.path().join("outside").display()));
    for trick in tricks {
        assert!(fixture.store.remove_temp(&entry(&trick)).await.is_err(), "{trick}");
    }
    assert_eq!(names(&fixture.store.root), [".writable", "blobs", "temp"]);
    assert_eq!(fixture.names(upload), ["lock"]);
    assert!(fixture.folder.path().join("outside").exists());
    Ok(())
}

#[tokio::test]
async fn a_symbolic_link_is_removed_and_not_followed() -> Outcome {
    let fixture = Fixture::new().await?;
    let outside = fixture.folder.path().join("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("file"), b"stays")?;
    let upload = fixture.begin_put().await?;
    let other = UploadId::generate();
    symlink(&outside, fixture.store.directory(upload).path().join("link"))?;
    symlink(&outside, fixture.temp().join("link"))?;
    symlink(&outside, fixture.temp().join(other.to_string()))?;
    let page = fixture.store.temp_entries(TempListing::Objects, None).await?;
    assert_eq!(page.entries.len(), 3);
    for entry in &page.entries {
        fixture.store.remove_temp(entry).await?;
    }
    assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    assert_eq!(names(&outside), ["file"]);
    Ok(())
}

#[tokio::test]
async fn whatever_lies_among_the_uploads_is_listed_and_can_be_removed() -> Outcome {
    let fixture = Fixture::new().await?;
    fs::write(fixture.temp().join("file"), b"")?;
    fs::create_dir_all(fixture.temp().join("folder/in/folder"))?;
    fs::create_dir_all(fixture.temp().join(format!("discarded-{}", UploadId::generate())))?;
    let page = fixture.store.temp_entries(TempListing::Objects, None).await?;
    assert_eq!(page.entries.len(), 3);
    for entry in page.entries.iter().chain(&page.entries) {
        assert_eq!(entry.owner, TempOwner::Nobody);
        fixture.store.remove_temp(entry).await?;
    }
    assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    Ok(())
}

#[tokio::test]
async fn an_upload_is_as_young_as_what_was_last_written_in_it() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    fixture.put(upload, b"bytes").await?;
    let directory = fixture.store.directory(upload);
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let date = |path: &Path, time| fs::File::open(path).and_then(|file| file.set_modified(time));
    for path in [directory.path().to_owned(), directory.lock(), directory.data(), directory.checksum()] {
        date(&path, long_ago)?;
    }
    let modified = async || {
        Ok::<_, StorageError>(
            fixture.store.temp_entries(TempListing::Objects, None).await?.entries[0].modified,
        )
    };
    assert_eq!(modified().await?, DateTime::<Utc>::from(long_ago));
    let later = long_ago + Duration::from_secs(5);
    date(&directory.data(), later)?;
    assert_eq!(modified().await?, DateTime::<Utc>::from(later));
    Ok(())
}

#[tokio::test]
async fn a_root_that_is_a_file_is_refused() -> Outcome {
    let folder = tempfile::NamedTempFile::new()?;
    let signer = UrlSigner::new([7; SIGNING_KEY_LENGTH], Some("http://127.0.0.1:1/".parse()?));
    let opened = Filesystem::open_at(folder.path().to_owned(), signer, Clock::System).await;
    assert!(matches!(opened, Err(StorageError::Unavailable { .. })), "{opened:?}");
    Ok(())
}
