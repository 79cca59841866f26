//! The answer comes before the copy: what holds between the two, whoever dies there.

use std::sync::Arc;

use overside::domain::blob::{Proof, Standing};
use overside::domain::digest::Digest;
use url::Url;

use super::{NAME, PATIENCE, POLL, now, passed};
use crate::support::api::{self, Repository, Upload};
use crate::support::process::signal;
use crate::support::{FaultProxy, Stack, Store, Strike};

/// Too large for the answer to wait for its copy.
const SIZE: usize = 5_000_000;
/// More than a finalize asks of any store.
const MOST_REQUESTS: u64 = 40;
const SHORT_LIVES: [&str; 6] = ["--url-lifetime", "2s", "--lease", "400ms", "--clean-interval", "1h"];

pub(super) async fn after_a_kill(stack: Arc<Stack>) {
    let survivor = stack.server(&SHORT_LIVES).await;
    let repository = Repository::of(survivor.base_url(), NAME);
    if let Store::Filesystem { .. } = stack.store {
        // A rename is no copy: there is nothing between the two.
        let (upload, digest) = uploaded(&repository, 0).await;
        upload.finalize(&digest).await.expect(201);
        assert_eq!(stack.store.blob_hash(&digest).await, Some(digest));
        return;
    }
    // A store that proves by its copies has placed what it proves: there is nothing between the two either.
    let Some(digest) = completed_but_not_placed(&stack, &repository).await else { return };
    assert_eq!(stack.store.objects().await, [], "nothing is placed");

    // No cleaner takes it for a left-over, whatever it thinks of ages.
    let db = api::database(&stack).await;
    let cleaning = stack.command(&["cleanup", "--sweep-grace", "1ms", "--dry-run", "--json"]).await;
    assert!(cleaning.stdout.contains(r#""swept_objects":0"#), "{cleaning:?}");
    let read = repository.read(&digest).await.expect(200);
    assert_eq!(api::digest_of(&read.body), digest);
    let until = now() + chrono::TimeDelta::seconds(2);

    // Placed as soon as the dead replica's claim has run out; the URL that was given out goes on working.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while matches!(db.find_blob(&digest).await, Ok(Some(blob)) if blob.standing != Standing::Placed) {
        assert!(tokio::time::Instant::now() < deadline, "nobody has placed it");
        let cleaning = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
        assert_eq!(cleaning.code, Some(0), "{cleaning:?}");
    }
    assert_eq!(stack.store.blob_hash(&digest).await, Some(digest));
    assert_ne!(stack.store.leftovers().await, Vec::<String>::new(), "what a URL may still lead to");

    passed(until).await;
    let cleaning = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
    assert_eq!(cleaning.code, Some(0), "{cleaning:?}");
    assert_eq!(stack.store.leftovers().await, Vec::<String>::new());
    assert_eq!(api::digest_of(&repository.read(&digest).await.expect(200).body), digest);
    db.close().await;
}

/// Kills replicas one request later each time, until one dies between its commit and its copy.
async fn completed_but_not_placed(stack: &Stack, repository: &Repository) -> Option<Digest> {
    let Store::S3 { endpoint, .. } = &stack.store else { unreachable!("struck where there is a wire") };
    let endpoint = endpoint.as_str().trim_end_matches('/');
    let db = api::database(stack).await;
    for request in 2..MOST_REQUESTS {
        let (upload, digest) = uploaded(repository, usize::try_from(request).expect("small")).await;
        let proxy = FaultProxy::in_front_of(&Url::parse(endpoint).expect("a URL")).await;
        let through = proxy.url().as_str().trim_end_matches('/').to_owned();
        let mut flags = vec!["--s3-endpoint", &through, "--s3-public-endpoint", endpoint];
        flags.extend(SHORT_LIVES);
        let mut victim = stack.server(&flags).await;
        let pid = victim.pid();
        proxy.arm(request, Strike::Before, move || signal(pid, "-KILL"));
        let there = super::at(victim.base_url(), &upload);
        // Answered or not: the kill may come between.
        let _ = there.http.put(&there.url).query(&[("digest", digest.to_string())]).send().await;
        while proxy.is_armed() && !is_placed(&db, &digest).await {
            tokio::time::sleep(POLL).await;
        }
        victim.kill9();
        let blob = db.find_blob(&digest).await.expect("the database answers");
        if blob.as_ref().is_some_and(|blob| blob.standing != Standing::Placed) {
            db.close().await;
            return Some(digest);
        }
        if blob.is_some_and(|blob| blob.proof == Proof::StoreCopy) {
            db.close().await;
            return None;
        }
        // Out of the way of what is looked at later.
        upload.finalize(&digest).await;
        assert!(!proxy.is_armed(), "the copy came through, and no replica died before it");
        stack.settled().await;
        stack.store.remove().await;
    }
    panic!("{MOST_REQUESTS} requests were not enough");
}

async fn is_placed(db: &overside::db::Db, digest: &Digest) -> bool {
    let blob = db.find_blob(digest).await.expect("the database answers");
    blob.is_some_and(|blob| blob.standing == Standing::Placed)
}

/// Sent in one PUT that is bound to its digest.
async fn uploaded(repository: &Repository, number: usize) -> (Upload, Digest) {
    let content = api::content(SIZE + number);
    let (size, digest) = (content.len().to_string(), api::digest_of(&content));
    let upload = repository.begin().await;
    let terms = [("size", size.as_str()), ("digest", &digest.to_string())];
    let signed = upload.sign(&terms).await.expect(200).json();
    api::send(&upload.http, &signed, content).await.expect(200);
    (upload, digest)
}
