//! Blobs that cannot be read: proven where a URL still writes, or gone from the store.

use std::sync::Arc;

use overside::db::{Committed, Db, Pushed, Stored};
use overside::domain::blob::{Blob, Placement, Proof, SealedObject};
use overside::domain::digest::Digest;
use overside::domain::upload::{State, Transfer, Upload, UploadId};
use serde_json::json;

use super::manifests::{content, push_to};
use super::{blob, in_state, lease, name, now};

/// Commits an upload of `digest` to `team/app/model` and says what came of it.
async fn commit(db: &Db, digest: Digest, placement: fn(SealedObject) -> Placement) -> (UploadId, Committed) {
    let state = State::Finalizing { transfer: Transfer::Put, claim: digest.into(), lease: lease(now()) };
    let before = in_state(db, state, now()).await;
    let after = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..before.clone() };
    let object = SealedObject { upload: before.id, path: format!("temp/{}/data", before.id), etag: None };
    let blob = Blob { placement: placement(object), proof: Proof::StoreChecksum, ..blob(digest) };
    let committed = db.commit_blob(&before, &after, &blob, now(), None, None).await.expect("commit");
    (before.id, committed)
}

async fn placement(db: &Db, digest: &Digest) -> Placement {
    let Some(Stored::Live(blob)) = db.find_stored(digest).await.expect("find") else { panic!("no blob") };
    blob.placement
}

pub async fn not_rested_on(db: Arc<Db>) {
    let digest = Digest::from_sha256([21; 32]);
    let (first, committed) = commit(&db, digest, Placement::Exposed).await;
    assert_eq!(committed, Committed::Done);
    assert!(matches!(placement(&db, &digest).await, Placement::Exposed(object) if object.upload == first));

    assert!(!db.link_blob(&name("team/other"), &digest, now()).await.expect("link"), "nobody mounts it");
    let image =
        content(&json!({ "schemaVersion": 2, "layers": [], "config": { "digest": digest, "size": 3 } }));
    let repository = name("team/app/model");
    assert_eq!(push_to(&db, &repository, &image, &["v1"]).await, Pushed::Missing(vec![digest]));
    for other in [Placement::Exposed, Placement::Sealed] {
        assert_eq!(commit(&db, digest, other).await.1, Committed::Changed, "nobody's upload rests on it");
    }
    assert!(matches!(placement(&db, &digest).await, Placement::Exposed(object) if object.upload == first));

    // Whoever has placed its own bytes takes the row over, and the first one's copy comes too late.
    assert_eq!(commit(&db, digest, |_| Placement::Placed).await.1, Committed::Done);
    assert_eq!(placement(&db, &digest).await, Placement::Placed);
    assert!(!db.holds_blob(first).await.expect("an answer"));
    db.retract_blob(&digest, first, now()).await.expect("retract");
    assert_eq!(placement(&db, &digest).await, Placement::Placed);
    assert_eq!(push_to(&db, &repository, &image, &["v1"]).await, Pushed::Done);
}

pub async fn retracted(db: Arc<Db>) {
    let digest = Digest::from_sha256([22; 32]);
    let (first, _) = commit(&db, digest, Placement::Exposed).await;
    db.retract_blob(&digest, first, now()).await.expect("retract");
    assert_eq!(placement(&db, &digest).await, Placement::Lost);
    assert!(!db.link_blob(&name("team/other"), &digest, now()).await.expect("link"));
    let (second, committed) = commit(&db, digest, Placement::Exposed).await;
    assert_eq!(committed, Committed::Done, "it is as if it had never been there");
    assert!(db.mark_placed(&digest, second, now()).await.expect("placed"));
    assert_eq!(placement(&db, &digest).await, Placement::Placed);
}

pub async fn lost(db: Arc<Db>) {
    let digest = Digest::from_sha256([23; 32]);
    commit(&db, digest, |_| Placement::Placed).await;
    let placed_at = db.placed_at(&digest).await.expect("find").expect("it is placed");
    let earlier = placed_at - chrono::TimeDelta::seconds(1);
    assert!(
        !db.mark_lost(&digest, earlier, now()).await.expect("an answer"),
        "another object was looked for"
    );
    assert!(db.mark_lost(&digest, placed_at, now()).await.expect("an answer"));
    assert_eq!(placement(&db, &digest).await, Placement::Lost);
    assert_eq!(db.placed_at(&digest).await.expect("find"), None);
    assert_eq!(commit(&db, digest, |_| Placement::Placed).await.1, Committed::Done);
    assert_eq!(placement(&db, &digest).await, Placement::Placed);
}
