//! The answer comes before the copy: what holds between the two, whoever dies there.

use std::sync::Arc;

use overside::db::Committed;
use overside::domain::blob::{Blob, Placement, Proof, SealedObject};
use overside::domain::digest::Digest;
use overside::domain::upload::{Lease, State, Transfer, Upload as Row};
use url::Url;

use super::{NAME, PATIENCE, POLL, now};
use crate::support::api::{self, Answer, Repository, Upload};
use crate::support::process::signal;
use crate::support::trial::not_here;
use crate::support::{FaultProxy, Stack, Store, Strike};

/// Too large for the answer to wait for its copy.
const SIZE: usize = 5_000_000;
/// More than a finalize asks of any store.
const MOST_REQUESTS: u64 = 40;
const SHORT_LIVES: [&str; 6] = ["--url-lifetime", "2s", "--lease", "400ms", "--clean-interval", "1h"];

pub(super) async fn after_a_kill(stack: Arc<Stack>) {
    if let Store::Filesystem { .. } = stack.store {
        not_here("a rename is no copy: there is nothing between the two")
    }
    let survivor = stack.server(&SHORT_LIVES).await;
    let repository = Repository::of(survivor.base_url(), NAME);
    // A store that proves by its copies has placed what it proves: there is nothing between the two either.
    let Some(digest) = completed_but_not_placed(&stack, &repository).await else {
        not_here("it is about a store that copies what it has proven")
    };
    assert_eq!(stack.store.objects().await, [], "nothing is placed");

    // No cleaner takes it for a left-over, whatever it thinks of ages.
    let cleaning = stack.command(&["cleanup", "--sweep-grace", "1ms", "--dry-run", "--json"]).await;
    assert!(cleaning.stdout.contains(r#""swept_objects":0"#), "{cleaning:?}");
    // Whoever waits for it has it placed as soon as the dead replica's claim has run out.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while Answer::to(repository.http.head(repository.url(digest))).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "nobody has placed it");
    }
    assert_eq!(stack.store.blob_hash(&digest).await, Some(digest));
    stack.settled().await;
    assert_eq!(stack.store.leftovers().await, Vec::<String>::new());
    assert_eq!(api::digest_of(&repository.read(&digest).await.expect(200).body), digest);
}

/// A URL that still writes to proven bytes may be a way to replace them.
pub(super) async fn read_by_nobody(stack: Arc<Stack>) {
    let server = stack.server(&["--clean-interval", "1h"]).await;
    let repository = Repository::of(server.base_url(), NAME);
    let content = api::content(SIZE);
    let digest = api::digest_of(&content);
    let an_hour = chrono::TimeDelta::hours(1);
    let upload = exposed(&stack, &repository, &digest, content.len(), an_hour).await;
    stack.store.write(&format!("temp/{}/data", upload.id()), &content).await;
    unreadable(&repository, &digest).await;
}

/// An exposed blob is waited for and then said to come: by whoever reads it, mounts it or refers to it.
async fn unreadable(repository: &Repository, digest: &Digest) {
    let http = &repository.http;
    let base = repository.url("");
    let base = base.split("/v2/").next().expect("a base");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2 }, "layers": [],
    });
    let digest_text = digest.to_string();
    let (read, head, push, mount) = tokio::join!(
        Answer::to(http.get(repository.url(digest))),
        Answer::to(http.head(repository.url(digest))),
        Answer::to(http.put(format!("{base}/v2/{NAME}/manifests/v1")).body(manifest.to_string())),
        Answer::to(
            http.post(format!("{base}/v2/team/other/blobs/uploads/"))
                .query(&[("mount", digest_text.as_str()), ("from", NAME)])
                .header("content-length", 0)
        ),
    );
    assert_eq!((read.status, read.header("retry-after")), (503, Some("1")), "{}", read.text());
    assert_eq!((head.status, push.status, mount.status), (503, 503, 202), "{}", push.text());
}

/// What the uploader of an exposed blob puts in the place of proven bytes is read by nobody, and costs nobody else
/// anything: not whoever uploads the true bytes meanwhile, nor whoever does afterwards.
pub(super) async fn replaced(stack: Arc<Stack>) {
    let server = stack.server(&["--clean-interval", "1h"]).await;
    let (attacker, honest) =
        (Repository::of(server.base_url(), NAME), Repository::of(server.base_url(), "team/honest"));
    for is_contended in [true, false] {
        let content = api::content(SIZE + usize::from(is_contended));
        let digest = api::digest_of(&content);
        let upload = exposed(&stack, &attacker, &digest, content.len(), chrono::TimeDelta::zero()).await;
        stack.store.write(&format!("temp/{}/data", upload.id()), &api::content(content.len() + 7)[7..]).await;
        if is_contended {
            push_signed(&honest, &content).await;
            assert_eq!(api::digest_of(&honest.read(&digest).await.expect(200).body), digest);
        }
        let cleaning = stack.command(&["cleanup", "--json"]).await;
        assert_eq!(cleaning.code, Some(0), "{cleaning:?}");
        if !is_contended {
            assert_eq!(stack.store.blob_hash(&digest).await, None, "nothing unproven is published");
            attacker.read(&digest).await.refused(404, "BLOB_UNKNOWN");
            assert_eq!(upload.state().await.expect(200).json()["status"], "failed");
            push_signed(&honest, &content).await;
        }
        assert_eq!(stack.store.blob_hash(&digest).await, Some(digest));
        assert_eq!(api::digest_of(&honest.read(&digest).await.expect(200).body), digest);
        stack.settled().await;
    }
}

async fn push_signed(repository: &Repository, content: &[u8]) {
    let upload = repository.begin().await;
    let digest = api::digest_of(content);
    let terms = [("size", content.len().to_string()), ("digest", digest.to_string())];
    let terms = terms.each_ref().map(|(name, value)| (*name, value.as_str()));
    let signed = upload.sign(&terms).await.expect(200).json();
    api::send(&upload.http, &signed, content.to_vec()).await;
    upload.finalize(&digest).await.expect(201);
}

/// A session that a replica has completed whose bytes a URL still writes to, as one leaves it that died then: its claim
/// on placing them goes on for a while.
async fn exposed(
    stack: &Stack,
    repository: &Repository,
    digest: &Digest,
    size: usize,
    claimed_for: chrono::TimeDelta,
) -> Upload {
    let db = api::database(stack).await;
    let upload = repository.begin().await;
    let (begun, size) = (upload.row(stack).await, size as u64);
    let lease = Lease { owner: uuid::Uuid::nil(), expires_at: now() };
    let state = State::Finalizing { transfer: Transfer::Put, claim: (*digest).into(), lease };
    let claimed = Row { state, ..begun.clone() };
    assert!(db.swap_upload(&begun, &claimed, now()).await.expect("a swap"));
    let claimed = upload.row(stack).await;
    let completed =
        Row { state: State::Completed { digest: *digest, size }, size: Some(size), ..claimed.clone() };
    let object = SealedObject { upload: upload.id(), path: format!("temp/{}/data", upload.id()), etag: None };
    let (proof, placement) = (Proof::StoreChecksum, Placement::Exposed(object));
    let blob = Blob { digest: *digest, size, proof, created_at: now(), placement };
    let committed = db.commit_blob(&claimed, &completed, &blob, now() + claimed_for, None, None).await;
    assert_eq!(committed.expect("a commit"), Committed::Done);
    db.close().await;
    upload
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
        if blob.as_ref().is_some_and(|blob| blob.placement != Placement::Placed) {
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
    blob.is_some_and(|blob| blob.placement == Placement::Placed)
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
