//! Many at once: sessions, and cleaners.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use overside::domain::upload::{Status, UploadId};

use super::{NAME, NO_GRACE, PATIENCE, POLL, clean, now, report};
use crate::support::Stack;
use crate::support::api::{self, Repository, Upload};

/// Ten batches of the cleaner's.
const THOUSAND: usize = 1_000;
/// Two of them, for two cleaners.
const FEW: usize = 200;
/// Of so many one has sent something, so that there is more to remove than rows.
const SENDING: usize = 20;
/// Clients side by side.
const CLIENTS: usize = 16;
/// Long enough to begin an upload and send a few bytes on a busy machine.
const LIFETIME: [&str; 2] = ["--upload-lifetime", "10s"];

pub async fn thousand(stack: Arc<Stack>) {
    let server = stack.server(&LIFETIME).await;
    let uploads = expired(&stack, server.base_url(), THOUSAND).await;
    assert_eq!(clean(&stack, &[]).await, report(THOUSAND as u64, THOUSAND as u64, 0, 0));
    assert_all_expired(&stack, &uploads).await;
    assert_eq!(clean(&stack, &[]).await, report(0, 0, 0, 0));
}

pub async fn two_at_once(stack: Arc<Stack>) {
    let server = stack.server(&LIFETIME).await;
    let uploads = expired(&stack, server.base_url(), FEW).await;
    let (one, other) = tokio::join!(clean(&stack, &[]), clean(&stack, &[]));
    let count = |name: &str| [&one, &other].map(|report| report[name].as_u64().expect("a count"));
    assert_eq!(count("expired_sessions").iter().sum::<u64>(), FEW as u64, "each by one of them");
    // Both may remove what one would have: twice is as good as once.
    assert!(count("discarded_sessions").iter().sum::<u64>() >= FEW as u64, "{one} {other}");
    assert_all_expired(&stack, &uploads).await;
}

pub async fn inside_serve(stack: Arc<Stack>) {
    let flags = [&LIFETIME[..], &NO_GRACE, &["--clean-interval", "200ms"]].concat();
    let server = stack.server(&flags).await;
    let repository = Repository::of(server.base_url(), NAME);
    let digest = repository.push(b"published").await;
    let uploads = expired(&stack, server.base_url(), SENDING).await;

    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = stack.temp_leftovers().await;
        let mut living = 0;
        for upload in &uploads {
            living += usize::from(upload.row(&stack).await.state.status() != Status::Expired);
        }
        if left.is_empty() && living == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{living} live, {left:?}");
        tokio::time::sleep(POLL).await;
    }
    assert_all_expired(&stack, &uploads).await;
    assert_eq!(stack.blob_bytes(&digest).await.as_deref(), Some(&b"published"[..]));
    assert_eq!(clean(&stack, &[]).await, report(0, 0, 0, 0), "nothing is left for the command");
}

/// Begins so many uploads, sends a little to some, and waits until the time of all is up.
async fn expired(stack: &Stack, base_url: &str, count: usize) -> Vec<Upload> {
    let repository = Repository::of(base_url, NAME);
    let begin = |index: usize| {
        let repository = repository.clone();
        tokio::spawn(async move {
            let upload = repository.begin().await;
            if index.is_multiple_of(SENDING) {
                upload.patch(None, api::content(1_000)).await.expect(202);
            }
            upload
        })
    };
    let all = stream::iter(0..count).map(begin).buffer_unordered(CLIENTS);
    let uploads: Vec<_> = all.map(|upload| upload.expect("a task that does not panic")).collect().await;
    let newest = uploads.iter().max_by_key(|upload| upload.id()).expect("some");
    let end = newest.row(stack).await.expires_at;
    // Appending prolongs, and the last to append need not be the last begun.
    let end = end + chrono::TimeDelta::seconds(5);
    while now() <= end {
        tokio::time::sleep(POLL).await;
    }
    uploads
}

async fn assert_all_expired(stack: &Stack, uploads: &[Upload]) {
    let db = api::database(stack).await;
    let ids: Vec<UploadId> = uploads.iter().map(Upload::id).collect();
    for id in ids {
        let row = db.find_upload(id).await.expect("the database answers").expect("the row");
        assert_eq!(row.state.status(), Status::Expired);
    }
    db.close().await;
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
