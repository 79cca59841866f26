//! Sessions that have had their time, and what gives them more.

use std::sync::Arc;
use std::time::Duration;

use overside::domain::upload::{State, Status};

use super::{NAME, PART_SIZE, SMALL_PARTS, now, passed, time};
use crate::support::api::{self, Answer, Repository, Upload};
use crate::support::trial::not_here;
use crate::support::{Stack, Store};

/// Long enough to begin an upload and send a few bytes on a busy machine.
const LIFETIME: [&str; 4] = ["--upload-lifetime", "5s", "--url-lifetime", "5s"];

pub async fn every_verb(stack: Arc<Stack>) {
    let server = stack.server(&[&LIFETIME[..], &SMALL_PARTS].concat()).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(3_000);
    let size = content.len().to_string();
    let (pending, put, multipart, proxied) = (
        repository.begin().await,
        repository.begin().await,
        repository.begin().await,
        repository.begin().await,
    );
    put.put(&content).await;
    let signed = multipart.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    api::send_parts(&multipart.http, &signed, &content).await;
    proxied.patch(None, content.clone()).await.expect(202);
    let uploads = [pending, put, multipart, proxied];
    for upload in &uploads {
        passed(upload.row(&stack).await.expires_at).await;
    }

    // No cleaner has been here: the session's own time is what counts.
    for upload in &uploads {
        assert!(!upload.row(&stack).await.state.status().is_terminal());
        assert_gone(upload, &content).await;
    }
    // And none is needed to give one up: aborting it removes what it left at once.
    uploads[1].abort().await.expect(204);
    uploads[1].state().await.expect(200);
    assert_eq!(uploads[1].row(&stack).await.state, State::Aborted);

    assert_eq!(stack.command(&["cleanup"]).await.code, Some(0));
    for upload in [&uploads[0], &uploads[2], &uploads[3]] {
        assert_eq!(upload.row(&stack).await.state.status(), Status::Expired);
        assert_gone(upload, &content).await;
        upload.abort().await.refused(410, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(stack.objects().await, []);
}

async fn assert_gone(upload: &Upload, content: &[u8]) {
    let gone = |answer: Answer| drop(answer.refused(410, "BLOB_UPLOAD_UNKNOWN"));
    gone(Answer::to(upload.http.get(&upload.url)).await);
    gone(upload.state().await);
    gone(upload.sign(&[]).await);
    gone(upload.sign(&[("size", "3000"), ("mode", "put")]).await);
    gone(upload.patch(None, content.to_vec()).await);
    gone(upload.patch(Some("0-2999"), content.to_vec()).await);
    gone(upload.finalize(&api::digest_of(content)).await);
}

pub async fn prolonged(stack: Arc<Stack>) {
    let server = stack.server(&[&LIFETIME[..], &SMALL_PARTS].concat()).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(PART_SIZE + 100);
    let size = content.len().to_string();
    let (signed, appended) = (repository.begin().await, repository.begin().await);
    let first = (expiry(&signed).await, expiry(&appended).await);

    let (mut expires, mut offset) = (first, 0);
    // Alive for longer than the session would have been without a sign of life.
    while now() <= first.0.max(first.1) {
        let answer = signed.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
        api::send_parts(&signed.http, &answer, &content).await;
        let range = format!("{offset}-{offset}");
        appended.patch(Some(&range), content[offset..=offset].to_vec()).await.expect(202);
        offset += 1;
        let later = (expiry(&signed).await, expiry(&appended).await);
        assert!(later.0 > expires.0 && later.1 > expires.1, "{later:?} after {expires:?}");
        // Looking is no sign of life.
        assert_eq!((expiry(&signed).await, expiry(&appended).await), later);
        expires = later;
        tokio::time::sleep(super::POLL).await;
    }
    signed.finalize(&api::digest_of(&content)).await.expect(201);
    appended.finalize(&api::digest_of(&content[..offset])).await.expect(201);
    assert_eq!(stack.objects().await.len(), 2);
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

pub async fn by_url(stack: Arc<Stack>) {
    if matches!(stack.store, Store::S3 { .. }) {
        not_here("the bytes go past the service");
    }
    let server = stack
        .server(&[&["--upload-lifetime", "20s", "--url-lifetime", "15s"][..], &SMALL_PARTS].concat())
        .await;
    let upload = Repository::of(server.base_url(), NAME).begin().await;
    let content = api::content(PART_SIZE + 100);
    let size = content.len().to_string();
    let signed = upload.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    let first = expiry(&upload).await;
    // So long that it is worth writing down.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(expiry(&upload).await, first, "whoever asks sends nothing");
    api::send_parts(&upload.http, &signed, &content).await;
    assert!(expiry(&upload).await > first);
    upload.finalize(&api::digest_of(&content)).await.expect(201);
}

async fn expiry(upload: &Upload) -> chrono::DateTime<chrono::Utc> {
    time(&upload.state().await.expect(200).json(), "expires_at")
}
