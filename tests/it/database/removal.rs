//! Links, tombstones and removals.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join_all;
use overside::db::{Committed, Db, Stored, Unlinked};
use overside::domain::blob::{Blob, Placement, Proof, Removal, SealedObject};
use overside::domain::digest::Digest;
use overside::domain::upload::{State, Transfer, Upload};
use uuid::Uuid;

use super::{blob, in_state, lease, name, now};

/// Commits an upload of `digest` and says what came of it.
async fn commit(db: &Db, digest: Digest, proof: Proof, removal: Option<Uuid>) -> Committed {
    let until = now() + TimeDelta::minutes(1);
    let state = State::Finalizing { transfer: Transfer::Put, claim: digest.into(), lease: lease(until) };
    let before = in_state(db, state, until).await;
    let after = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..before.clone() };
    let committed =
        db.commit_blob(&before, &after, &Blob { proof, ..blob(digest) }, now(), removal, None).await;
    if committed.as_ref().is_ok_and(|committed| *committed != Committed::Done) {
        // It would keep its digest from being forgotten.
        assert!(
            db.swap_upload(&before, &Upload { state: State::Aborted, ..before.clone() }, now())
                .await
                .expect("swap")
        );
    }
    committed.expect("commit")
}

fn removal(seconds: i64) -> Removal {
    Removal { id: Uuid::new_v4(), until: now() + TimeDelta::seconds(seconds) }
}

async fn claim(db: &Db, removal: Removal) -> Vec<(Digest, u64)> {
    db.claim_removals(now(), now(), removal, 10).await.expect("claim")
}

pub async fn life_of_a_removal(db: Arc<Db>) {
    let (digest, repository) = (Digest::from_sha256([9; 32]), name("team/app/model"));
    assert_eq!(commit(&db, digest, Proof::Streamed, None).await, Committed::Done);
    assert_eq!(claim(&db, removal(60)).await, [], "it is linked");
    assert_eq!(db.unlink_blob(&repository, &digest, now()).await.expect("unlink"), Unlinked::Done);
    let an_hour_ago = now() - TimeDelta::hours(1);
    assert_eq!(db.claim_removals(an_hour_ago, now(), removal(60), 10).await.expect("claim"), [], "its grace");

    let first = removal(60);
    assert_eq!(claim(&db, first).await, [(digest, 3)]);
    assert_eq!(claim(&db, removal(60)).await, [], "one at a time");
    assert_eq!(db.find_blob(&digest).await.expect("find"), None);
    assert_eq!(db.find_stored(&digest).await.expect("find"), Some(Stored::Removing(first)));
    assert!(!db.link_blob(&repository, &digest, now()).await.expect("link"));
    assert!(!db.claim_stray(&digest, 3, now(), removal(60)).await.expect("claim"));
    assert_eq!(commit(&db, digest, Proof::ReadBack, None).await, Committed::Changed);
    assert_eq!(commit(&db, digest, Proof::ReadBack, Some(Uuid::new_v4())).await, Committed::Changed);
    assert_eq!(db.find_link(&repository, &digest).await.expect("find"), None);

    // Whoever has seen the end of it takes the row over, with the proof of what is there now.
    assert_eq!(commit(&db, digest, Proof::ReadBack, Some(first.id)).await, Committed::Done);
    let found = db.find_link(&repository, &digest).await.expect("find").expect("it is back");
    assert_eq!((found.blob.proof, found.is_unreferenced), (Proof::ReadBack, false));
    db.end_removal(&digest, first.id, now()).await.expect("too late");
    assert!(
        db.find_link(&repository, &digest).await.expect("find").is_some(),
        "a late collector changes nothing"
    );
}

pub async fn forgotten(db: Arc<Db>) {
    let (digest, repository) = (Digest::from_sha256([10; 32]), name("team/app/model"));
    assert_eq!(commit(&db, digest, Proof::Streamed, None).await, Committed::Done);
    assert_eq!(db.unlink_blob(&repository, &digest, now()).await.expect("unlink"), Unlinked::Done);
    // Somebody finalizes as it: not claimed while the lease lives, and the row stays for as long as the session.
    let until = now() + TimeDelta::minutes(1);
    let state = State::Finalizing { transfer: Transfer::Put, claim: digest.into(), lease: lease(until) };
    let finalizing = in_state(&db, state, until).await;
    assert_eq!(claim(&db, removal(60)).await, []);
    let state = State::Finalizing { transfer: Transfer::Put, claim: digest.into(), lease: lease(now()) };
    let idle = Upload { state, ..finalizing.clone() };
    assert!(db.swap_upload(&finalizing, &idle, now()).await.expect("swap"));
    let taken = removal(60);
    assert_eq!(claim(&db, taken).await, [(digest, 3)]);
    db.end_removal(&digest, taken.id, now()).await.expect("end");
    let Some(Stored::Removing(ended)) = db.find_stored(&digest).await.expect("find") else {
        panic!("it stays")
    };
    assert!(ended.id == taken.id && ended.until <= now(), "nobody need wait for it any more");

    let idle = db.find_upload(idle.id).await.expect("find").expect("the session");
    let aborted = Upload { state: State::Aborted, ..idle.clone() };
    assert!(db.swap_upload(&idle, &aborted, now()).await.expect("swap"));
    let again = removal(60);
    assert_eq!(claim(&db, again).await, [(digest, 3)], "its time was up");
    db.end_removal(&digest, taken.id, now()).await.expect("another's");
    assert!(db.find_stored(&digest).await.expect("find").is_some());
    db.end_removal(&digest, again.id, now()).await.expect("end");
    assert_eq!(db.find_stored(&digest).await.expect("find"), None);

    let stray = removal(60);
    assert!(db.claim_stray(&digest, 3, now(), stray).await.expect("claim"));
    assert_eq!(db.find_stored(&digest).await.expect("find"), Some(Stored::Removing(stray)));
    assert_eq!(commit(&db, digest, Proof::Streamed, None).await, Committed::Changed);
    db.end_removal(&digest, stray.id, now()).await.expect("end");
    assert_eq!(commit(&db, digest, Proof::Streamed, None).await, Committed::Done);
}

/// However linking, unlinking and collecting meet, a tombstone stands exactly where no repository has the blob.
pub async fn tombstones(db: Arc<Db>) {
    const WRONG: &str = "SELECT COUNT(*) FROM blob WHERE (unlinked_at IS NULL) <>
        EXISTS (SELECT 1 FROM repository_blob WHERE repository_blob.blob_id = blob.id)";
    let digests: Vec<_> = (20..23).map(|byte| Digest::from_sha256([byte; 32])).collect();
    for digest in &digests {
        assert_eq!(commit(&db, *digest, Proof::Streamed, None).await, Committed::Done);
    }
    for round in 0..12 {
        let tasks = (0..18).map(|task| {
            let (db, digest) = (Arc::clone(&db), digests[task % 3]);
            let repository = name(&format!("team/{}", (task / 3 + round) % 2));
            tokio::spawn(async move {
                match (task + round) % 3 {
                    0 => drop(db.link_blob(&repository, &digest, now()).await.expect("link")),
                    1 => drop(db.unlink_blob(&repository, &digest, now()).await.expect("unlink")),
                    _ => {
                        let committed = commit(&db, digest, Proof::Streamed, None).await;
                        assert_eq!(committed, Committed::Done);
                        let ours = name("team/app/model");
                        db.unlink_blob(&ours, &digest, now()).await.expect("unlink");
                    }
                }
            })
        });
        for task in join_all(tasks).await {
            task.expect("a task that does not panic");
        }
        let wrong: i64 = match &*db {
            Db::Postgres(pool) => sqlx::query_scalar(WRONG).fetch_one(pool).await.expect("a count"),
            Db::Sqlite(pool) => sqlx::query_scalar(WRONG).fetch_one(pool).await.expect("a count"),
        };
        assert_eq!(wrong, 0, "after round {round}");
    }
}

/// Should one ever stand where a repository has the blob: links are looked at as well.
pub async fn wrong_tombstone(db: Arc<Db>) {
    const MARK: &str = "UPDATE blob SET unlinked_at = created_at WHERE digest = $1";
    let (digest, repository) = (Digest::from_sha256([11; 32]), name("team/app/model"));
    assert_eq!(commit(&db, digest, Proof::Streamed, None).await, Committed::Done);
    let marked = match &*db {
        Db::Postgres(pool) => {
            sqlx::query(MARK).bind(digest.as_bytes()).execute(pool).await.map(|done| done.rows_affected())
        }
        Db::Sqlite(pool) => {
            sqlx::query(MARK).bind(digest.as_bytes()).execute(pool).await.map(|done| done.rows_affected())
        }
    };
    assert_eq!(marked.expect("a tombstone"), 1);
    assert_eq!(claim(&db, removal(60)).await, []);
    assert!(db.find_link(&repository, &digest).await.expect("find").is_some());
}

/// Its object would come to stand where it was just removed.
pub async fn unplaced(db: Arc<Db>) {
    let (digest, repository) = (Digest::from_sha256([12; 32]), name("team/app/model"));
    let until = now() + TimeDelta::minutes(1);
    let state = State::Finalizing { transfer: Transfer::Put, claim: digest.into(), lease: lease(until) };
    let before = in_state(&db, state, until).await;
    let after = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..before.clone() };
    let object = SealedObject { upload: before.id, path: "temp/x/sealed".to_owned(), etag: None };
    let sealed = Blob { placement: Placement::Sealed(object), ..blob(digest) };
    let committed = db.commit_blob(&before, &after, &sealed, now(), None, None).await.expect("commit");
    assert_eq!(committed, Committed::Done);
    assert_eq!(db.unlink_blob(&repository, &digest, now()).await.expect("unlink"), Unlinked::Done);
    assert_eq!(claim(&db, removal(60)).await, []);
    db.mark_placed(&digest, before.id, now()).await.expect("placed");
    assert_eq!(claim(&db, removal(60)).await, [(digest, 3)]);
}

pub async fn chores(db: Arc<Db>) {
    let day_ago = now() - TimeDelta::days(1);
    let claims = join_all((0..8).map(|_| db.claim_chore("test", now(), day_ago))).await;
    assert_eq!(claims.into_iter().filter(|claim| *claim.as_ref().expect("claim")).count(), 1);
    assert!(!db.claim_chore("test", now(), day_ago).await.expect("claim"));
    assert!(db.claim_chore("other", now(), day_ago).await.expect("claim"));
    assert!(db.claim_chore("test", now(), now()).await.expect("its time has come"));
}
