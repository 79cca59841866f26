//! What rows know of digests: the algorithm that a session's bytes are hashed with, and who has a blob.

use std::sync::Arc;

use chrono::TimeDelta;
use overside::db::{Committed, Db, Reader, Unlinked};
use overside::domain::access::Role;
use overside::domain::digest::Algorithm;
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

    let state =
        State::Finalizing { transfer, claim: digest.into(), lease: lease(now() + TimeDelta::minutes(1)) };
    let after = Upload { state, ..uploading.clone() };
    assert!(db.swap_upload(&uploading, &after, now()).await.expect("swap"));
    assert!(db.is_placing(&digest, now()).await.expect("placing"));
    let claimed = find(&db, &before).await;
    let done = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..claimed.clone() };
    let committed = db.commit_blob(&claimed, &done, &blob(digest), now(), None, None).await.expect("commit");
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
    let found = async |reader: Reader| {
        let found = db.readable_blobs(&[digest], &reader, 16).await.expect("an answer").remove(&digest);
        found.map(|found| found.to_string())
    };
    let of_any = async |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|text| name(text)).collect();
        let found = db.blobs_of_any(&[digest], &names).await.expect("an answer").remove(&digest);
        found.map(|found| found.to_string())
    };
    let all = || Reader { is_all: true, ..Reader::default() };
    assert_eq!((found(all()).await, of_any(&["a/first"]).await), (None, None));
    let claimed = Upload { state: finalizing(now()), repository: name("a/first"), ..begun() };
    let pending = Upload { state: State::Pending { store_asked: false }, ..claimed.clone() };
    db.insert_upload(&pending, "temp/x/").await.expect("insert");
    assert!(db.swap_upload(&pending, &claimed, now()).await.expect("swap"));
    let claimed = find(&db, &claimed).await;
    let done = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..claimed.clone() };
    let committed = db.commit_blob(&claimed, &done, &blob(digest), now(), None, None).await.expect("commit");
    assert_eq!(committed, Committed::Done);
    for other in ["b/second", "c/third"] {
        assert!(db.link_blob(&name(other), &digest, now()).await.expect("link"));
    }
    let user = super::accounts::user(&db, "alice").await;
    let alice = || Reader { user: Some(user), ..Reader::default() };
    assert!(found(all()).await.is_some());
    assert_eq!((found(Reader::default()).await, found(alice()).await), (None, None));
    let project = super::accounts::project(&db, "b", false).await;
    assert_eq!(found(alice()).await, None);
    db.insert_member(project, user, Role::Guest, now()).await.expect("a member");
    assert_eq!(found(alice()).await.as_deref(), Some("b/second"));
    assert_eq!(found(Reader::default()).await, None);
    let of_b = Reader { projects: vec!["b".parse().expect("a name")], ..Reader::default() };
    assert_eq!(found(of_b).await.as_deref(), Some("b/second"));
    super::accounts::project(&db, "c", true).await;
    assert_eq!(found(Reader::default()).await.as_deref(), Some("c/third"));
    assert_eq!(of_any(&["x/none", "a/first"]).await.as_deref(), Some("a/first"));
    assert_eq!((of_any(&["x/none"]).await, of_any(&[]).await), (None, None));
    assert_eq!(db.unlink_blob(&name("b/second"), &digest, now()).await.expect("unlink"), Unlinked::Done);
    assert_eq!(found(alice()).await.as_deref(), Some("c/third"));
}
