//! Uploads through failures.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use overside_protocol::name::RepositoryName;
use overside_protocol::upload::{TransferMode, UploadId};
use tempfile::TempDir;

use super::server::{Fault, Server, content, digest_of, repository_at};
use crate::{Error, Event, Progress, PutOutcome, Registry};

const PART_SIZE: u64 = 1000;

struct Put {
    server: Server,
    folder: TempDir,
    bytes: Vec<u8>,
}

impl Put {
    /// `part_size` 0 is one PUT.
    async fn new(length: usize, part_size: u64) -> Self {
        let (server, folder, bytes) = (Server::start().await, TempDir::new().unwrap(), content(length));
        server.world().part_size = part_size;
        std::fs::write(folder.path().join("file"), &bytes).unwrap();
        Self { server, folder, bytes }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    /// The upload of the file.
    fn upload(&self) -> crate::Put {
        self.server.repository().put(self.path())
    }

    async fn succeeds(&self) -> PutOutcome {
        let outcome = self.upload().send().await.unwrap();
        assert_eq!(outcome.digest, digest_of(&self.bytes));
        assert_eq!(self.server.world().blob.as_deref(), Some(&self.bytes[..]));
        outcome
    }

    fn fault(&self, faults: &[Fault]) {
        self.server.world().put_faults.extend(faults.iter().cloned());
    }
}

#[tokio::test]
async fn an_empty_file_is_one_put_of_length_zero() {
    let put = Put::new(0, 0).await;
    assert_eq!(put.succeeds().await.mode, Some(TransferMode::Put));
}

#[tokio::test]
async fn an_upload_can_be_spawned() {
    let put = Put::new(3_000, PART_SIZE).await;
    assert_eq!(tokio::spawn(put.upload().send()).await.unwrap().unwrap().digest, digest_of(&put.bytes));
}

#[tokio::test]
async fn a_file_is_sent_once_and_then_known() {
    let put = Put::new(300_000, 0).await;
    assert!(!put.succeeds().await.existed());
    assert!(put.succeeds().await.existed());
    assert_eq!(put.server.count("PUT whole"), 1);
}

#[tokio::test]
async fn the_first_urls_come_with_the_session_or_are_asked_for() {
    for (signs_by_get, asked) in [(false, 0), (true, 1)] {
        let put = Put::new(3000, 0).await;
        put.server.world().signs_by_get = signs_by_get;
        put.succeeds().await;
        assert_eq!((put.server.count("POST /v2/"), put.server.count("GET /v2/")), (1, asked));
    }
}

#[tokio::test]
async fn parts_are_signed_in_batches_and_finalized_with_their_etags() {
    let put = Put::new(250_500, PART_SIZE).await;
    assert_eq!(put.succeeds().await.mode, Some(TransferMode::Multipart));
    assert_eq!((put.server.count("PUT part/"), put.server.count("GET /v2/")), (251, 2));
    let body: serde_json::Value = serde_json::from_str(&put.server.world().finalize_body).unwrap();
    assert_eq!(body["parts"].as_array().map(Vec::len), Some(251));
    assert_eq!(body["parts"][250], serde_json::json!({"part_number": 251, "etag": "\"part/251\""}));
}

#[tokio::test]
async fn what_passes_is_waited_out() {
    for part_size in [0, PART_SIZE] {
        let put = Put::new(3000, part_size).await;
        put.fault(&[
            Fault::Status(503, "SlowDown"),
            Fault::Break,
            Fault::Status(400, "RequestTimeout"),
            Fault::Break,
        ]);
        put.succeeds().await;
    }
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_an_upload_and_that_is_shown() {
    let put = Put::new(10, 0).await;
    put.server.world().refuses_mounts = true;
    let (shown, progress) = super::server::shown_retries();
    let mounting = put.upload().mount_from("team/other".parse::<RepositoryName>().unwrap());
    let outcome = mounting.progress(progress).send().await.unwrap();
    assert_eq!((outcome.mode, put.server.count("POST")), (Some(TransferMode::Put), 2));
    assert_eq!(*shown.lock().unwrap(), [(Some(403), Duration::ZERO)]);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let put = Put::new(10, 0).await;
    put.fault(&[Fault::RetryAfter("1")]);
    let begun = Instant::now();
    put.succeeds().await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_store_that_stays_broken_ends_the_upload_with_its_own_words() {
    let put = Put::new(10, 0).await;
    put.fault(&vec![Fault::Status(500, "InternalError"); 100]);
    let error = put.upload().send().await.unwrap_err();
    assert_eq!(error.to_string(), "the store refused: as told (InternalError, status 500)");
    assert_eq!(put.server.count("PUT whole"), 6);
}

#[tokio::test]
async fn urls_that_have_expired_are_signed_anew() {
    for part_size in [0, PART_SIZE] {
        let put = Put::new(5000, part_size).await;
        put.server.world().oldest_signature = 3;
        put.succeeds().await;
    }
}

#[tokio::test]
async fn urls_known_to_have_expired_are_not_tried() {
    let put = Put::new(5000, PART_SIZE).await;
    {
        let mut world = put.server.world();
        (world.url_lifetime, world.oldest_signature) = (-1, 2);
    }
    put.succeeds().await;
    assert_eq!(put.server.count("PUT part/"), 5);
}

#[tokio::test]
async fn signatures_that_are_always_refused_are_not_asked_for_without_end() {
    let put = Put::new(10, 0).await;
    put.server.world().oldest_signature = u64::MAX;
    let error = put.upload().send().await.unwrap_err();
    assert_eq!(error.refusal().map(|refusal| refusal.status.as_u16()), Some(403));
    assert_eq!(put.server.count("PUT whole"), 4);
}

#[tokio::test]
async fn resuming_sends_only_what_has_not_arrived() {
    let put = Put::new(5500, PART_SIZE).await;
    let id = UploadId::generate();
    {
        let mut world = put.server.world();
        (world.id, world.status) = (Some(id), "uploading");
        for part in [0, 2, 5] {
            let bytes = put.bytes.chunks(1000).nth(part).unwrap().to_vec();
            world.parts.insert(u16::try_from(part).unwrap() + 1, bytes.into());
        }
        // Cut short on its way: not the part that is wanted.
        world.parts.insert(4, Bytes::from_static(b"short"));
    }
    let counted = Arc::new(Mutex::new(Vec::new()));
    let events = counted.clone();
    let progress = Progress::new(move |_, event| {
        if let Event::Started { total, done, .. } = event {
            events.lock().unwrap().push((total, done));
        }
    });
    // The mock hands out no signature for part 4, which is "there", before it is asked by number.
    put.upload().resume(id).progress(progress).send().await.unwrap();
    assert_eq!(counted.lock().unwrap()[1], (5500, 2500));
    assert_eq!((put.server.count("PUT part/"), put.server.count("POST")), (3, 0));
    assert_eq!(put.server.world().finalize_body, "", "three parts were sent by somebody else");
}

/// A session in which these parts, counted from 0, arrived as they are, and those as nothing but zeros.
fn begun(put: &Put, whole: &[usize], cut: &[usize]) -> crate::Put {
    let id = UploadId::generate();
    let mut world = put.server.world();
    (world.id, world.status) = (Some(id), "uploading");
    let part =
        |index: usize| put.bytes.chunks(usize::try_from(PART_SIZE).unwrap()).nth(index).unwrap().to_vec();
    for (index, bytes) in whole
        .iter()
        .map(|index| (*index, part(*index)))
        .chain(cut.iter().map(|index| (*index, vec![0; part(*index).len()])))
    {
        world.parts.insert(u16::try_from(index).unwrap() + 1, bytes.into());
    }
    drop(world);
    put.upload().resume(id)
}

#[tokio::test]
async fn a_part_that_was_cut_and_padded_by_the_store_is_sent_again() {
    // With parts to send, with none, and with none that is sound.
    for (whole, cut, sent) in
        [(&[0, 4][..], &[2][..], 4), (&[0, 1, 3, 4, 5], &[2], 1), (&[], &[0, 1, 2, 3, 4, 5], 6)]
    {
        let put = Put::new(5500, PART_SIZE).await;
        put.server.world().names_by_md5 = true;
        let resumed = begun(&put, whole, cut);
        resumed.send().await.unwrap();
        assert_eq!(put.server.world().blob.as_deref(), Some(&put.bytes[..]));
        assert_eq!((put.server.count("PUT part/"), put.server.count("POST")), (sent, 0), "{whole:?} {cut:?}");
    }
}

#[tokio::test]
async fn an_etag_that_is_no_md5_has_nothing_sent_again() {
    let put = Put::new(5500, PART_SIZE).await;
    let resumed = begun(&put, &[0, 2, 5], &[]);
    resumed.send().await.unwrap();
    assert_eq!(put.server.count("PUT part/"), 3);
}

#[tokio::test]
async fn a_resumed_upload_that_turns_out_wrong_begins_anew_once() {
    let put = Put::new(5500, PART_SIZE).await;
    let resumed = begun(&put, &[0], &[2]);
    resumed.send().await.unwrap();
    assert_eq!(put.server.world().blob.as_deref(), Some(&put.bytes[..]));
    assert_eq!((put.server.count("PUT part/"), put.server.count("POST")), (4 + 6, 1));

    // One that was not resumed is wrong for good.
    let put = Put::new(5500, PART_SIZE).await;
    let resumed = begun(&put, &[0], &[]);
    put.server.world().finalize_faults.extend([Fault::Wrong, Fault::Wrong]);
    let error = resumed.send().await.unwrap_err();
    assert_eq!(error.refusal().map(|refusal| refusal.code.as_str()), Some("DIGEST_INVALID"), "{error}");
    assert_eq!(put.server.count("POST"), 1);
}

#[tokio::test]
async fn a_finalize_that_takes_long_is_asked_after_and_its_progress_told() {
    let put = Put::new(10, 0).await;
    put.server.world().finalize_faults.push_back(Fault::Slow(3));
    let told = Arc::new(Mutex::new(Vec::new()));
    let events = told.clone();
    let progress = Progress::new(move |_, event| {
        if let Event::Finalizing { phase, done, total } = event {
            events.lock().unwrap().push((phase.to_owned(), done, total));
        }
    });
    put.upload().progress(progress).send().await.unwrap();
    let proving = |done| ("proving\\u001b[2J".to_owned(), done, 10);
    assert_eq!(*told.lock().unwrap(), [proving(3), proving(2), proving(1)]);
}

#[tokio::test]
async fn a_finalize_without_progress_is_given_up_and_one_with_some_is_not() {
    let put = Put::new(10, 0).await;
    put.upload().send().await.unwrap();
    let (id, digest) = (put.server.world().id.unwrap(), digest_of(&put.bytes));
    let session = put.server.repository().session(id);
    let limit = Duration::from_millis(300);
    let finalize = async || session.finalize_within(digest, None, &Progress::default(), limit).await;

    // Every look at it tells a little more, for longer than the limit.
    (put.server.world().status, put.server.world().looks) = ("finalizing", Some(4));
    put.server.world().finalize_faults.push_back(Fault::Moved(409, "finalizing"));
    let begun = Instant::now();
    finalize().await.unwrap();
    assert!(begun.elapsed() > limit, "{:?}", begun.elapsed());

    put.server.world().status = "finalizing";
    put.server.world().finalize_faults.push_back(Fault::Moved(409, "finalizing"));
    let error = finalize().await.unwrap_err();
    assert!(matches!(error, Error::FinalizeStalled { id: stalled, .. } if stalled == id), "{error}");
    assert!(error.to_string().contains("resume it later"), "{error}");
}

#[tokio::test]
async fn an_upload_that_is_complete_is_resumed_to_its_end() {
    let put = Put::new(2000, PART_SIZE).await;
    let id = UploadId::generate();
    let session = put.server.repository().session(id);
    let digest = digest_of(&put.bytes);
    {
        let mut world = put.server.world();
        (world.id, world.status, world.size) = (Some(id), "completed", 2000);
        world.blob = Some(put.bytes.clone().into());
    }
    session.finalize(digest, None, &Progress::default()).await.unwrap();
    assert!(put.upload().resume(id).send().await.unwrap().existed());
}

#[tokio::test]
async fn what_finalizing_misses_is_sent_once_more() {
    let put = Put::new(3000, PART_SIZE).await;
    put.server.world().finalize_faults.push_back(Fault::Status(400, "BLOB_UPLOAD_INVALID"));
    put.succeeds().await;
    assert_eq!(put.server.world().finalize_body, "");
    let put = Put::new(3000, PART_SIZE).await;
    put.server.world().finalize_faults.extend(vec![Fault::Status(400, "BLOB_UPLOAD_INVALID"); 2]);
    assert!(matches!(put.upload().send().await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_finalize_whose_answer_is_lost_is_asked_for_again() {
    let put = Put::new(3000, PART_SIZE).await;
    let faults = [Fault::Break, Fault::Status(504, ""), Fault::RetryAfter("0")];
    put.server.world().finalize_faults.extend(faults);
    put.succeeds().await;
}

#[tokio::test]
async fn finalizing_by_somebody_else_is_waited_for() {
    let put = Put::new(3000, PART_SIZE).await;
    put.server.world().finalize_faults.push_back(Fault::Moved(409, "finalizing"));
    let (server, bytes) = (put.server.clone(), put.bytes.clone());
    let other = tokio::spawn(async move {
        while server.world().status != "finalizing" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut world = server.world();
        (world.status, world.blob) = ("completed", Some(bytes.into()));
    });
    put.succeeds().await;
    other.await.unwrap();
    assert_eq!(put.server.count("PUT /v2/"), 1);
}

#[tokio::test]
async fn wrong_bytes_are_final() {
    let put = Put::new(3000, PART_SIZE).await;
    put.server.world().finalize_faults.push_back(Fault::Status(400, "DIGEST_INVALID"));
    let error = put.upload().send().await.unwrap_err();
    assert_eq!(error.refusal().map(|refusal| refusal.code.as_str()), Some("DIGEST_INVALID"));
    assert_eq!(put.server.count("PUT /v2/"), 1);
}

#[tokio::test]
async fn a_url_that_leads_nowhere_is_explained_by_the_session() {
    let put = Put::new(10, 0).await;
    put.fault(&[Fault::Status(404, "NoSuchUpload"), Fault::Status(404, "NoSuchUpload")]);
    put.succeeds().await;

    let put = Put::new(10, 0).await;
    put.fault(&[Fault::Moved(404, "aborted")]);
    let error = put.upload().send().await.unwrap_err();
    assert!(matches!(error, Error::UploadEnded { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_on_the_way_is_noticed_and_the_upload_given_up() {
    let put = Put::new(200_000, 0).await;
    let path = put.path();
    let progress = Progress::new(move |_, event| {
        if matches!(event, Event::Session(_)) {
            std::fs::write(&path, "shorter now").unwrap();
        }
    });
    let error = put.upload().progress(progress).send().await.unwrap_err();
    assert!(matches!(error, Error::FileChanged(_)), "{error}");
    assert_eq!(put.server.world().status, "aborted");
}

#[tokio::test]
async fn a_session_the_server_does_not_know_is_named() {
    let put = Put::new(10, 0).await;
    let id = UploadId::generate();
    let error = put.upload().resume(id).send().await.unwrap_err();
    assert!(matches!(error, Error::UploadUnknown(unknown) if unknown == id), "{error}");
}

#[tokio::test]
async fn a_wrong_address_is_told_without_long_patience() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let repository = repository_at(&format!("http://{address}"));
    let begun = Instant::now();
    let error = repository.blob_size(&digest_of(b"")).await.unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. }) && begun.elapsed() < Duration::from_secs(5),
        "{error}"
    );
    assert!(matches!(Registry::builder("ftp://host").build(), Err(Error::Address(_))));
}
