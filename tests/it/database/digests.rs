//! What rows know of digests: the algorithm that a session's bytes are hashed with, and who has a blob.

use std::sync::Arc;

use chrono::TimeDelta;
use overside::db::{Committed, Db, Unlinked};
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::{Hasher, SHA512_STATE_LENGTH};
use overside::domain::part::{PartNumber, ReceivedPart};
use overside::domain::upload::{Proxied, State, Transfer, Upload};

use super::{begun, blob, finalizing, find, inserted, lease, name, now};

fn hashed_with(algorithm: Algorithm) -> Transfer {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(b"some of it");
    let hash_state = hasher.save();
    Transfer::Proxied(Proxied {
        received: 10,
        hash_state,
        part_size: 8,
        store_upload_id: None,
        tail_id: None,
    })
}

pub async fn algorithm_kept(db: Arc<Db>) {
    let digest = Hasher::digest(Algorithm::Sha512, b"abc");
    let before = Upload { algorithm: Algorithm::Sha512, declared_digest: Some(digest), ..begun() };
    db.insert_upload(&before, "temp/x/").await.expect("insert");
    assert_eq!(find(&db, &before).await, before);

    let transfer = hashed_with(Algorithm::Sha512);
    let uploading = State::Uploading { transfer: transfer.clone(), append_lease: None };
    let after = Upload { state: uploading, ..before.clone() };
    let part = ReceivedPart { number: PartNumber::FIRST, size: 8, etag: "e".into() };
    assert!(db.swap_upload_with_parts(&before, &after, &[part], before.updated_at).await.expect("swap"));
    let uploading = find(&db, &before).await;
    assert_eq!(uploading, Upload { revision: 1, ..after });
    let Some(Transfer::Proxied(stored)) = uploading.state.transfer() else { panic!("{uploading:?}") };
    assert_eq!(stored.hash_state.len(), SHA512_STATE_LENGTH);

    let state = State::Finalizing { transfer, digest, lease: lease(now() + TimeDelta::minutes(1)) };
    let after = Upload { state, ..uploading.clone() };
    assert!(db.swap_upload(&uploading, &after, now()).await.expect("swap"));
    assert!(db.is_placing(&digest, now()).await.expect("placing"));
    let claimed = find(&db, &before).await;
    let done = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..claimed.clone() };
    let committed = db.commit_blob(&claimed, &done, &blob(digest), now(), None).await.expect("commit");
    assert_eq!(committed, Committed::Done);
    assert_eq!(db.find_blob(&digest).await.expect("find").map(|blob| blob.digest), Some(digest));
    assert_eq!(find(&db, &before).await.algorithm, Algorithm::Sha512);
}

/// Learned with the only chunk.
pub async fn algorithm_changed(db: Arc<Db>) {
    let before = inserted(&db).await;
    assert_eq!(before.algorithm, Algorithm::Sha256);
    let state = State::Uploading { transfer: hashed_with(Algorithm::Sha512), append_lease: None };
    let after = Upload { state, algorithm: Algorithm::Sha512, ..before.clone() };
    assert!(db.swap_upload(&before, &after, before.updated_at).await.expect("swap"));
    assert_eq!(find(&db, &before).await, Upload { revision: 1, ..after });
}

pub async fn repositories(db: Arc<Db>) {
    let digest = Hasher::digest(Algorithm::Sha512, b"many have it");
    let having = async |limit| {
        let mut having = db.repositories_with(&digest, limit).await.expect("repositories");
        having.sort_unstable();
        having
    };
    assert_eq!(having(16).await, []);
    let claimed = Upload { state: finalizing(now()), repository: name("a/first"), ..begun() };
    let pending = Upload { state: State::Pending { store_asked: false }, ..claimed.clone() };
    db.insert_upload(&pending, "temp/x/").await.expect("insert");
    assert!(db.swap_upload(&pending, &claimed, now()).await.expect("swap"));
    let claimed = find(&db, &claimed).await;
    let done = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..claimed.clone() };
    let committed = db.commit_blob(&claimed, &done, &blob(digest), now(), None).await.expect("commit");
    assert_eq!(committed, Committed::Done);
    for other in ["b/second", "c/third"] {
        assert!(db.link_blob(&name(other), &digest, now()).await.expect("link"));
    }
    assert_eq!(having(16).await, ["a/first", "b/second", "c/third"].map(name));
    assert_eq!(having(2).await.len(), 2);
    assert_eq!(db.repositories_with(&Digest::EMPTY, 16).await.expect("repositories"), []);
    assert_eq!(db.unlink_blob(&name("b/second"), &digest, now()).await.expect("unlink"), Unlinked::Done);
    assert_eq!(having(16).await, ["a/first", "c/third"].map(name));
}
