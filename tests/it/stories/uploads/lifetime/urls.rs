//! Signed URLs that have had their time.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overside::domain::upload::TransferMode;
use overside_client::{Event, Registry, Subject};
use serde_json::Value;

use super::{NAME, PART_SIZE, SMALL_PARTS, here, passed, time};
use crate::support::api::{self, Answer, Repository, Upload};
use crate::support::front::Front;
use crate::support::{Stack, Store};

/// S3 writes the time of signing in whole seconds, so a URL of one second may live a few milliseconds.
const LIFETIME: [&str; 2] = ["--url-lifetime", "2s"];
/// Longer than such a URL lives, however the seconds fall.
const HOLD: Duration = Duration::from_millis(3_500);
/// Times that a fresh URL may be too old all the same on a machine that is busy with other tests.
const ATTEMPTS: usize = 20;

pub async fn with_the_client(stack: Arc<Stack>) {
    // Between client and store, on its way: a line so slow that the first two URLs expire in it.
    let line = Front::holding(2, HOLD).await;
    let door = match &stack.store {
        Store::S3 { .. } => "--s3-public-endpoint",
        Store::Filesystem { .. } => "--public-url",
    };
    let flags = [&LIFETIME[..], &SMALL_PARTS, &[door, line.url()]].concat();
    let server = stack.server(&flags).await;
    match &stack.store {
        Store::S3 { endpoint, .. } => line.lead_to(endpoint.as_str()),
        Store::Filesystem { .. } => line.lead_to(server.base_url()),
    }
    let content = api::content(2 * PART_SIZE + 700_000);
    let file = stack.folder().join("cargo");
    std::fs::write(&file, &content).expect("a file");

    let refusals = Arc::new((AtomicU32::new(0), Mutex::new(Vec::new())));
    let seen = Arc::clone(&refusals);
    let count = move |_: &Subject, event: Event<'_>| {
        if let Event::Retrying { error, .. } = event {
            seen.0.fetch_add(1, SeqCst);
            seen.1.lock().expect("nobody panics in here").push(error.to_string());
        }
    };
    let registry = Registry::builder(server.base_url()).build().expect("a registry");
    let put = registry.repository(NAME.parse().expect("a name")).put(&file).jobs(1);
    let put = put.mode(TransferMode::Multipart).on_event(count);
    let put = here(put.send()).expect("it completes");

    assert_eq!(put.digest, api::digest_of(&content));
    assert_eq!(line.held(), 0);
    assert!(refusals.0.load(SeqCst) >= 2, "{:?}", refusals.1.lock());
    assert_eq!(stack.blob_bytes(&put.digest).await.as_deref(), Some(content.as_slice()));
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn signed_again(stack: Arc<Stack>) {
    let server = stack.server(&[&LIFETIME[..], &SMALL_PARTS].concat()).await;
    let repository = Repository::of(server.base_url(), NAME);
    let (small, large) = (api::content(3_000), api::content(PART_SIZE + 3_000));
    let (put, multipart) = (repository.begin().await, repository.begin().await);

    for _ in 0..2 {
        let signed = [sign_put(&put, &small).await, sign_part(&multipart, &large, 2).await];
        passed(time(&signed[0], "expires_at").max(time(&signed[1], "expires_at"))).await;
        assert_eq!(send_put(&put, &signed[0], &small).await.status, 403);
        assert_eq!(send_part(&multipart, &signed[1], &large).await.status, 403);
    }
    for number in 0..=2 {
        let mut attempts = 0;
        loop {
            let sent = match number {
                0 => send_put(&put, &sign_put(&put, &small).await, &small).await,
                part => send_part(&multipart, &sign_part(&multipart, &large, part).await, &large).await,
            };
            attempts += 1;
            if sent.status == 200 {
                break;
            }
            assert!(sent.status == 403 && attempts < ATTEMPTS, "{}: {}", sent.status, sent.text());
        }
    }
    for (upload, content) in [(put, small), (multipart, large)] {
        let digest = api::digest_of(&content);
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.blob_bytes(&digest).await, Some(content));
    }
    assert_eq!(stack.objects().await.len(), 2);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn refused(stack: Arc<Stack>) {
    let server = stack.server(&[&LIFETIME[..], &SMALL_PARTS].concat()).await;
    let repository = Repository::of(server.base_url(), NAME);
    let small = api::content(3_000);
    let large = api::content(PART_SIZE + 3_000);
    let (put, multipart) = (repository.begin().await, repository.begin().await);
    let signed = [sign_put(&put, &small).await, sign_part(&multipart, &large, 2).await];
    let before = stack.temp_leftovers().await;
    passed(time(&signed[0], "expires_at").max(time(&signed[1], "expires_at"))).await;
    assert_eq!(send_put(&put, &signed[0], &small).await.status, 403);
    assert_eq!(send_part(&multipart, &signed[1], &large).await.status, 403);

    assert_eq!(stack.temp_leftovers().await, before);
    let received = multipart.sign(&[]).await.expect(200).json();
    assert_eq!(received["received"], Value::Array(Vec::new()));
    put.finalize(&api::digest_of(&small)).await.refused(400, "BLOB_UPLOAD_INVALID");
    multipart.finalize(&api::digest_of(&large)).await.refused(400, "BLOB_UPLOAD_INVALID");
    put.abort().await.expect(204);
    multipart.abort().await.expect(204);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.objects().await, []);
}

async fn sign_put(upload: &Upload, content: &[u8]) -> Value {
    upload.sign(&[("size", &content.len().to_string()), ("mode", "put")]).await.expect(200).json()
}

async fn sign_part(upload: &Upload, content: &[u8], number: usize) -> Value {
    let (size, number) = (content.len().to_string(), number.to_string());
    upload.sign(&[("size", &size), ("mode", "multipart"), ("parts", &number)]).await.expect(200).json()
}

async fn send_put(upload: &Upload, signed: &Value, content: &[u8]) -> Answer {
    api::send(&upload.http, signed, content.to_vec()).await
}

async fn send_part(upload: &Upload, signed: &Value, content: &[u8]) -> Answer {
    let part = &signed["parts"][0];
    let number = |field: &str| usize::try_from(part[field].as_u64().expect(field)).expect("a small number");
    let (offset, size) = (number("offset"), number("size"));
    api::send(&upload.http, part, content[offset..offset + size].to_vec()).await
}
