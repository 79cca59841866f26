//! Uploads that go on at another machine, or at another process.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use overside::domain::upload::UploadId;
use overside_client::{Event, Progress, Registry, Stage};

use super::{NAME, PART_SIZE, SMALL_PARTS, here, stop};
use crate::support::Stack;
use crate::support::api::{self, Repository, Upload};
use crate::support::front::Front;

/// What the second machine's client tells of its upload.
#[derive(Debug, Default)]
struct Sent {
    started: Mutex<Option<(u64, u64)>>,
    bytes: AtomicU64,
}

pub async fn another_machine(stack: Arc<Stack>) {
    let server = stack.server(&SMALL_PARTS).await;
    let content = api::content(3 * PART_SIZE + 700_000);
    let (size, digest) = (content.len().to_string(), api::digest_of(&content));

    // The first machine sends parts 1 and 3 and is never heard of again.
    let id: UploadId = {
        let upload = Repository::of(server.base_url(), NAME).begin().await;
        for number in ["1", "3"] {
            let query = [("size", size.as_str()), ("mode", "multipart"), ("parts", number)];
            let signed = upload.sign(&query).await.expect(200).json();
            api::send_parts(&upload.http, &signed, &content).await;
        }
        upload.id()
    };

    // Whoever asks with the UUID alone is told what is there, and given URLs for what is not.
    let repository = Repository::of(server.base_url(), NAME);
    let upload = Upload { http: repository.http.clone(), url: repository.url(format!("uploads/{id}")) };
    let told = upload.sign(&[]).await.expect(200).json();
    let numbers = |list: &str| -> Vec<u64> {
        let parts = told[list].as_array().expect("a list").iter();
        parts.map(|part| part["part_number"].as_u64().expect("a number")).collect()
    };
    assert_eq!((numbers("received"), numbers("parts")), (vec![1, 3], vec![2, 4]));

    let file = stack.folder().join("cargo");
    std::fs::write(&file, &content).expect("a file");
    let sent = Arc::new(Sent::default());
    let registry = Registry::builder(server.base_url()).build().expect("a registry");
    let put = registry.repository(NAME.parse().expect("a name")).put(&file).resume(id);
    let put = here(put.progress(counting(&sent)).send()).expect("it completes");

    assert_eq!(put.digest, digest);
    let (total, done) = (content.len() as u64, 2 * PART_SIZE as u64);
    assert_eq!(*sent.started.lock().expect("nobody panics in here"), Some((total, done)));
    assert_eq!(sent.bytes.load(SeqCst), total - done, "no part is sent twice");
    assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(content.as_slice()));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

fn counting(sent: &Arc<Sent>) -> Progress {
    let (sent, uploading) = (Arc::clone(sent), Mutex::new(false));
    Progress::new(move |_, event| {
        let mut uploading = uploading.lock().expect("nobody panics in here");
        match event {
            Event::Started { stage: Stage::Uploading, total, done } => {
                *uploading = true;
                *sent.started.lock().expect("nobody panics in here") = Some((total, done));
            }
            Event::Started { .. } => *uploading = false,
            Event::Advanced(bytes) if *uploading => drop(sent.bytes.fetch_add(bytes, SeqCst)),
            _ => {}
        }
    })
}

pub async fn restarts(stack: Arc<Stack>) {
    let front = Front::open().await;
    let flags = [&SMALL_PARTS[..], &["--public-url", front.url()]].concat();
    let mut server = stack.server(&flags).await;
    front.lead_to(server.base_url());
    let restart = async |mut server| {
        stop(&mut server).await;
        let server = stack.server(&flags).await;
        front.lead_to(server.base_url());
        server
    };
    let repository = Repository::of(front.url(), NAME);
    let content = api::content(PART_SIZE + 3_000);
    let (size, digest) = (content.len().to_string(), api::digest_of(&content));

    let (put, multipart, proxied) =
        (repository.begin().await, repository.begin().await, repository.begin().await);
    server = restart(server).await;
    let one = put.sign(&[("size", &size), ("mode", "put")]).await.expect(200).json();
    let many = multipart.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    proxied.patch(Some("0-2999"), content[..3_000].to_vec()).await.expect(202);
    server = restart(server).await;
    api::send(&put.http, &one, content.clone()).await.expect(200);
    api::send_parts(&multipart.http, &many, &content).await;
    let rest = format!("3000-{}", content.len() - 1);
    proxied.patch(Some(&rest), content[3_000..].to_vec()).await.expect(202);
    server = restart(server).await;
    for upload in [&put, &multipart, &proxied] {
        upload.finalize(&digest).await.expect(201);
    }
    let server = restart(server).await;
    // An answer that was lost is given again.
    put.finalize(&digest).await.expect(201);
    let read = repository.read(&digest).await.expect(200);
    assert_eq!(read.body, content);
    assert_eq!(stack.objects().await.len(), 1);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    drop(server);
}
