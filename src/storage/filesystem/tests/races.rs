//! Writers that stall, vanish or come twice.

use super::*;

#[tokio::test]
async fn a_put_whose_client_vanished_is_cleared_away_by_the_next() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let (sender, slow) = slow_body();
    sender.send(Ok(Bytes::from_static(b"half"))).await?;
    let put = fixture.store.receive_put(upload, ANY, MAX_SIZE, slow);
    // The request's future is dropped in the middle, as a broken connection drops it.
    assert!(tokio::time::timeout(Duration::from_millis(200), put).await.is_err());
    assert_eq!(fixture.names(upload).len(), 2);
    fixture.put(upload, b"whole").await?;
    assert_eq!(fixture.names(upload), ["data", "data.digest", "lock"]);
    Ok(())
}

/// The bytes of all files below a folder that this process has open, those without a name included.
fn held_below(folder: &Path) -> u64 {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let held =
        open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(folder)));
    held.filter_map(|entry| Some(fs::metadata(entry.path()).ok()?.len())).sum()
}

/// A PUT that has sent two blocks, and sends no more before it is told to.
struct Stalled {
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    put: tokio::task::JoinHandle<Result<String>>,
}

impl Stalled {
    async fn begin(
        fixture: &Fixture,
        upload: UploadId,
    ) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let (sender, slow) = slow_body();
        let store = fixture.store.clone();
        let put = tokio::spawn(async move { store.receive_put(upload, ANY, 8 * MAX_SIZE, slow).await });
        sender.send(Ok(Bytes::from(vec![9; 2 * blocks::BLOCK_SIZE]))).await?;
        sender.send(Ok(Bytes::new())).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(Self { sender, put })
    }

    /// Sends two blocks more, and tells what becomes of it.
    async fn go_on(self) -> std::result::Result<Result<String>, tokio::task::JoinError> {
        // It may have found out already.
        let _ = self.sender.send(Ok(Bytes::from(vec![9; 2 * blocks::BLOCK_SIZE]))).await;
        drop(self.sender);
        self.put.await
    }
}

#[tokio::test]
async fn a_put_sent_again_takes_over_and_one_at_a_time_is_on_the_disk() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(Stalled::begin(&fixture, upload).await?);
        assert!(held_below(&fixture.temp()) <= 2 * blocks::BLOCK_SIZE as u64, "more than one PUT's bytes");
    }
    fixture.put(upload, b"the last one").await?;
    for older in stalled {
        let outcome = older.go_on().await?;
        assert!(matches!(outcome, Err(StorageError::Busy(_))), "{outcome:?}");
    }
    assert_eq!(fixture.names(upload), ["data", "data.digest", "lock"]);
    let sealed = fixture.seal_put(upload).await?;
    assert_eq!(fixture.read(&sealed).await?, "the last one");
    Ok(())
}

#[tokio::test]
async fn a_put_sent_again_is_not_on_the_disk_beside_the_whole_one() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = fixture.begin_put().await?;
    let whole = vec![9; 2 * blocks::BLOCK_SIZE];
    let bound = PutTerms { size: Some(whole.len() as u64), digest: Some(digest_of(&whole)) };
    for terms in [ANY, bound, bound] {
        let bytes = stream::iter([Ok(Bytes::from(whole.clone()))]);
        fixture.store.receive_put(upload, terms, MAX_SIZE, bytes).await?;
        assert_eq!(fixture.names(upload), ["data", "data.digest", "lock"]);
    }
    let again = Stalled::begin(&fixture, upload).await?;
    assert_eq!(fixture.names(upload).len(), 2, "the lock, and what comes");
    let other = fixture.store.receive_put(upload, bound, MAX_SIZE, stream::iter([Ok(Bytes::from(whole))]));
    other.await?;
    assert!(matches!(again.go_on().await?, Err(StorageError::Busy(_))));
    assert_eq!(fixture.seal_put(upload).await?.digest(), bound.digest);
    Ok(())
}

#[tokio::test]
async fn a_put_whose_upload_was_sealed_or_discarded_holds_nothing_and_stores_nothing_more() -> Outcome {
    let fixture = Fixture::new().await?;
    for seals in [false, true] {
        let upload = fixture.begin_put().await?;
        let stalled = Stalled::begin(&fixture, upload).await?;
        if seals {
            fs::write(fixture.store.directory(upload).data(), "whole")?;
            fixture.seal_put(upload).await?;
        } else {
            fixture.store.discard(upload).await?;
        }
        assert_eq!(held_below(&fixture.temp()), 0, "the sender still has the file open");
        let outcome = stalled.go_on().await?;
        assert!(matches!(outcome, Err(StorageError::UploadNotFound)), "{outcome:?}");
        assert_eq!(held_below(&fixture.temp()), 0);
        fixture.store.discard(upload).await?;
        assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    }
    Ok(())
}

#[tokio::test]
async fn an_append_stores_nothing_more_once_its_upload_was_discarded() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = UploadId::generate();
    let mut appender = fixture.store.append(upload, &received(0)).await?;
    appender.write(Bytes::from(vec![9; 3 * blocks::BLOCK_SIZE])).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    fixture.store.discard(upload).await?;
    assert_eq!(held_below(&fixture.temp()), 0, "it still has the file open");
    let late = appender.write(Bytes::from(vec![9; 3 * blocks::BLOCK_SIZE])).await;
    assert!(matches!(late, Err(StorageError::UploadNotFound)), "{late:?}");
    assert_eq!(held_below(&fixture.temp()), 0);
    Ok(())
}

#[tokio::test]
async fn a_part_sent_again_does_not_wait_for_a_stalled_connection() -> Outcome {
    let fixture = Fixture::new().await?;
    let multipart = fixture.begin_multipart().await?;
    let (upload, part) = (multipart.upload, multipart.parts[0]);
    let (sender, slow) = slow_body();
    let store = fixture.store.clone();
    let stalled = tokio::spawn(async move { store.receive_part(upload, part, slow).await });
    sender.send(Ok(Bytes::from(vec![9; 3 * blocks::BLOCK_SIZE]))).await?;
    sender.send(Ok(Bytes::new())).await?;
    let parts = [multipart.send(&fixture, 0, 1).await?, multipart.send(&fixture, 1, 2).await?];
    // It may have found out already, with the block it was writing.
    let _ = sender.send(Ok(Bytes::from(vec![9; 2 * blocks::BLOCK_SIZE]))).await;
    drop(sender);
    assert!(matches!(stalled.await?, Err(StorageError::Busy(_))));
    assert_eq!(fixture.store.list_parts(upload, "").await?, parts);
    fixture.store.complete_multipart(upload, "", &parts).await?;
    let sealed = fixture.store.seal(upload, &multipart.transfer).await?;
    let bytes = fixture.read(&sealed).await?;
    let first = usize::try_from(part.size)?;
    assert!(bytes[..first].iter().all(|byte| *byte == 1) && bytes[first..].iter().all(|byte| *byte == 2));
    Ok(())
}

#[tokio::test]
async fn a_stalled_part_neither_delays_a_discard_nor_survives_it() -> Outcome {
    let fixture = Fixture::new().await?;
    let multipart = fixture.begin_multipart().await?;
    let (upload, part) = (multipart.upload, multipart.parts[0]);
    let (sender, slow) = slow_body();
    let store = fixture.store.clone();
    let stalled = tokio::spawn(async move { store.receive_part(upload, part, slow).await });
    sender.send(Ok(Bytes::from(vec![9; blocks::BLOCK_SIZE]))).await?;
    sender.send(Ok(Bytes::new())).await?;
    fixture.store.discard(upload).await?;
    // It may have found out already, with the block it was writing.
    let _ = sender.send(Ok(Bytes::from(vec![9; 4 * blocks::BLOCK_SIZE]))).await;
    drop(sender);
    assert!(matches!(stalled.await?, Err(StorageError::UploadNotFound)));
    assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    Ok(())
}

#[tokio::test]
async fn a_part_that_is_too_long_does_not_touch_its_neighbour() -> Outcome {
    let fixture = Fixture::new().await?;
    let multipart = fixture.begin_multipart().await?;
    let (upload, part) = (multipart.upload, multipart.parts[0]);
    let second = multipart.send(&fixture, 1, 2).await?;
    let outcome = fixture.store.receive_part(upload, part, filled(part.size + 1, 9)).await;
    assert!(matches!(outcome, Err(StorageError::TooLarge(_))), "{outcome:?}");
    let parts = [multipart.send(&fixture, 0, 1).await?, second];
    fixture.store.complete_multipart(upload, "", &parts).await?;
    let sealed = fixture.store.seal(upload, &multipart.transfer).await?;
    assert_eq!(fixture.read(&sealed).await?[usize::try_from(part.size)?], 2);
    Ok(())
}

#[tokio::test]
async fn one_append_at_a_time_and_the_next_when_it_is_dropped() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = UploadId::generate();
    let mut first = fixture.store.append(upload, &received(0)).await?;
    first.write(Bytes::from(vec![9; 3 * blocks::BLOCK_SIZE + 1])).await?;
    let second = fixture.store.append(upload, &received(0)).await;
    assert!(matches!(second, Err(StorageError::Busy(_))), "{second:?}");
    let sealed = fixture.store.seal(upload, &Transfer::Proxied(received(0))).await;
    assert!(matches!(sealed, Err(StorageError::Busy(_))), "{sealed:?}");
    drop(first);
    let mut third = fixture.store.append(upload, &received(0)).await?;
    third.write(Bytes::from_static(b"third")).await?;
    third.finish().await?;
    let sealed = fixture.store.seal(upload, &Transfer::Proxied(received(5))).await?;
    assert_eq!(fixture.read(&sealed).await?, "third");
    Ok(())
}

#[tokio::test]
async fn an_append_to_an_upload_discarded_meanwhile_is_not_acknowledged() -> Outcome {
    let fixture = Fixture::new().await?;
    let upload = UploadId::generate();
    let mut appender = fixture.store.append(upload, &received(0)).await?;
    appender.write(Bytes::from_static(b"bytes")).await?;
    fixture.store.discard(upload).await?;
    let finished = appender.finish().await;
    assert!(matches!(finished, Err(StorageError::UploadNotFound)), "{finished:?}");
    assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn discarding_under_many_writers_leaves_nothing() -> Outcome {
    let fixture = Fixture::new().await?;
    for _ in 0..20 {
        let multipart = fixture.begin_multipart().await?;
        let upload = multipart.upload;
        let mut writers = tokio::task::JoinSet::new();
        for round in 0..8 {
            let (store, part) = (fixture.store.clone(), multipart.parts[1]);
            writers.spawn(async move {
                let _ = store.receive_part(upload, part, filled(part.size, round)).await;
                let _ = store.receive_put(upload, ANY, MAX_SIZE, body(b"late")).await;
            });
        }
        let (one, other) = tokio::join!(fixture.store.discard(upload), fixture.store.discard(upload));
        one.and(other)?;
        while writers.join_next().await.is_some() {}
        assert_eq!(names(&fixture.temp()), [] as [&str; 0]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_discard_in_the_middle_of_a_part_is_not_mistaken_for_another_sender() -> Outcome {
    let fixture = Fixture::new().await?;
    for round in 0..100 {
        let multipart = fixture.begin_multipart().await?;
        let (store, upload, part) = (fixture.store.clone(), multipart.upload, multipart.parts[0]);
        let sending =
            tokio::spawn(async move { store.receive_part(upload, part, filled(part.size, 1)).await });
        tokio::time::sleep(Duration::from_micros(50 * round)).await;
        fixture.store.discard(upload).await?;
        let sent = sending.await?;
        assert!(matches!(sent, Ok(_) | Err(StorageError::UploadNotFound)), "round {round}: {sent:?}");
    }
    Ok(())
}
