//! What a crash between any two steps leaves, and what is made of it.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn a_checksum_that_was_not_recorded_is_unknown() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    fixture.put(upload, b"bytes").await?;
    fs::remove_file(fixture.store.directory(upload).checksum())?;
    assert_eq!(fixture.seal_put(upload).await?.digest(), None);
    Ok(())
}

#[tokio::test]
async fn a_checksum_recorded_for_another_file_is_not_believed() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let directory = fixture.store.directory(upload);
    fixture.put(upload, b"first").await?;
    let record = fs::read(directory.checksum())?;
    fixture.put(upload, b"other").await?;
    fs::write(directory.checksum(), &record)?;
    assert_eq!(fixture.seal_put(upload).await?.digest(), None);
    Ok(())
}

#[tokio::test]
async fn a_checksum_record_cut_short_is_not_believed() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let path = fixture.store.directory(upload).checksum();
    fixture.put(upload, b"bytes").await?;
    let record = fs::read(&path)?;
    fs::write(&path, &record[..record.len() - 1])?;
    assert_eq!(fixture.seal_put(upload).await?.digest(), None);
    fs::write(&path, record)?;
    assert_eq!(fixture.seal_put(upload).await?.digest(), Some(digest_of(b"bytes")));
    Ok(())
}

#[tokio::test]
async fn a_checksum_is_forgotten_when_something_else_writes_into_the_file() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    fixture.put(upload, b"bytes").await?;
    let mut appender = fixture.store.append(upload, &received(0)).await?;
    appender.write(Bytes::from_static(b"other")).await?;
    appender.finish().await?;
    assert_eq!(fixture.seal_put(upload).await?.digest(), None);
    Ok(())
}

#[tokio::test]
async fn a_seal_interrupted_after_the_rename_goes_on() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let directory = fixture.store.directory(upload);
    fixture.put(upload, b"bytes").await?;
    fs::rename(directory.data(), directory.sealed())?;
    let sealed = fixture.seal_put(upload).await?;
    assert_eq!((sealed.size, sealed.digest()), (5, Some(digest_of(b"bytes"))));
    assert_eq!(fs::metadata(directory.sealed())?.permissions().mode() & 0o777, 0o400);
    assert_eq!(fixture.read(&sealed).await?, "bytes");
    Ok(())
}

#[tokio::test]
async fn bytes_appended_but_never_acknowledged_are_cut_off() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = UploadId::generate();
    let mut appender = fixture.store.append(upload, &received(0)).await?;
    appender.write(Bytes::from_static(b"kept, lost")).await?;
    appender.finish().await?;
    // The database heard of four bytes only.
    let transfer = Transfer::Proxied(received(4));
    let sealed = fixture.store.seal(upload, &transfer).await?;
    assert_eq!(fixture.read(&sealed).await?, "kept");
    let longer = fixture.store.seal(upload, &Transfer::Proxied(received(5))).await;
    assert!(matches!(longer, Err(StorageError::Precondition)), "{longer:?}");
    Ok(())
}

#[tokio::test]
async fn a_file_shorter_than_what_was_acknowledged_is_not_sealed() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = UploadId::generate();
    fixture.store.append(upload, &received(0)).await?.finish().await?;
    let sealed = fixture.store.seal(upload, &Transfer::Proxied(received(1))).await;
    assert!(matches!(sealed, Err(StorageError::NotFound)), "{sealed:?}");
    let appended = fixture.store.append(upload, &received(1)).await;
    assert!(matches!(appended, Err(StorageError::NotFound)), "{appended:?}");
    Ok(())
}

#[tokio::test]
async fn an_empty_blob_is_sealed_though_nothing_was_ever_appended() -> Outcome {
    let fixture = Fixture::new().await?;
    let sealed = fixture.store.seal(UploadId::generate(), &Transfer::Proxied(received(0))).await?;
    assert_eq!(sealed.size, 0);
    Ok(())
}

#[tokio::test]
async fn a_part_being_sent_again_when_the_server_died_counts_as_missing() -> Outcome {
    let fixture = Fixture::new().await?;
    let multipart = fixture.begin_multipart().await?;
    let whole = [multipart.send(&fixture, 0, 1).await?, multipart.send(&fixture, 1, 1).await?];
    let again = multipart.parts[1];
    let outcome = fixture.store.receive_part(multipart.upload, again, filled(again.size - 1, 2)).await;
    assert!(matches!(outcome, Err(StorageError::Incomplete)), "{outcome:?}");
    assert_eq!(fixture.store.list_parts(multipart.upload, "").await?, whole[..1]);
    let completed = fixture.store.complete_multipart(multipart.upload, "", &whole).await;
    assert!(matches!(completed, Err(StorageError::InvalidPart(_))), "{completed:?}");
    Ok(())
}

#[tokio::test]
async fn a_placing_interrupted_before_its_rename_is_repeated_and_leaves_nothing() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    fixture.put(upload, b"bytes").await?;
    let (sealed, digest) = (fixture.seal_put(upload).await?, digest_of(b"bytes"));
    let directory = fixture.store.directory(upload);
    fs::hard_link(directory.sealed(), directory.placing())?;
    fixture.store.place(&sealed, &digest).await?;
    fixture.store.place(&sealed, &digest).await?;
    fixture.store.discard(upload).await?;
    assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    assert_eq!(fixture.store.blob_size(&digest).await?, Some(5));
    Ok(())
}

#[tokio::test]
async fn a_discard_interrupted_after_its_rename_is_finished_by_the_next() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let aside = fixture.temp().join(format!("discarded-{upload}"));
    fixture.put(upload, b"bytes").await?;
    fs::rename(fixture.store.directory(upload).path(), &aside)?;
    // Or the upload was begun anew meanwhile.
    fixture.store.presign_put(upload, ANY, Duration::from_mins(1)).await?;
    fixture.store.discard(upload).await?;
    assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    Ok(())
}
