//! What the cleaner asks of the sessions and does to them.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join_all;
use overside::db::{Db, Expired};
use overside::domain::digest::Digest;
use overside::domain::part::{PartNumber, ReceivedPart};
use overside::domain::upload::{State, Transfer, Upload};

use super::{begun, finalizing, find, in_state, inserted, lease, now, proxied};

pub async fn due(db: Arc<Db>) {
    let (past, future) = (now() - TimeDelta::minutes(1), now() + TimeDelta::minutes(1));
    let appending = |until| State::Uploading { transfer: proxied(), append_lease: Some(lease(until)) };
    let put = || State::Uploading { transfer: Transfer::Put, append_lease: None };
    let pending = |store_asked| State::Pending { store_asked };
    let silent = in_state(&db, pending(false), past).await;
    let due = [
        in_state(&db, pending(true), past).await,
        in_state(&db, put(), past).await,
        in_state(&db, appending(past), past).await,
        in_state(&db, finalizing(past), past).await,
    ];
    let abandoned = in_state(&db, finalizing(past), future).await;
    let living = [
        in_state(&db, pending(false), future).await,
        in_state(&db, put(), future).await,
        in_state(&db, appending(future), past).await,
        in_state(&db, finalizing(future), past).await,
    ];
    let ended = in_state(&db, State::Aborted, past).await;

    let found = db.abandoned_uploads(now(), 100).await.expect("abandoned");
    assert_eq!(found, std::slice::from_ref(&abandoned));
    assert!(db.is_placing(&Digest::EMPTY, now()).await.expect("placing"));
    assert!(!db.is_placing(&Digest::EMPTY, future + TimeDelta::hours(1)).await.expect("placing"));
    assert!(!db.is_placing(&Digest::from_sha256([9; 32]), now()).await.expect("placing"));

    // In batches, and to the state that the state machine says.
    let time = now();
    assert_eq!(db.count_due(time).await.expect("count"), 5);
    assert_eq!(db.count_undiscarded(time).await.expect("count"), 1);
    let (first, second) = (db.expire_uploads(time, 3).await, db.expire_uploads(time, 100).await);
    let (first, second) = (first.expect("expired"), second.expect("expired"));
    assert_eq!((first.sessions, second.sessions, first.discarded + second.discarded), (3, 2, 1));
    assert_eq!(db.expire_uploads(time, 100).await.expect("expired"), Expired::default());
    for session in due.iter().chain([&silent]) {
        let expected = session.clone().expire(time).expect("its time is up").persisted(time);
        assert_eq!(find(&db, session).await, expected);
    }
    for session in living.iter().chain([&abandoned]) {
        assert!(session.clone().expire(time).is_err());
        assert_eq!(find(&db, session).await, *session);
    }
    // What the store was never asked for has left nothing there.
    let mut left: Vec<_> = due.iter().chain([&ended]).map(|session| session.id).collect();
    left.sort_unstable();
    let mut undiscarded = db.undiscarded_uploads(now(), 100, 0).await.expect("undiscarded");
    undiscarded.sort_unstable();
    assert_eq!(undiscarded, left);
    db.mark_discarded(&left[..3], now()).await.expect("mark");
    let rest = db.undiscarded_uploads(now(), 100, 0).await.expect("undiscarded");
    assert_eq!(rest.len(), 2);
    assert_eq!(db.undiscarded_uploads(now(), 100, 1).await.expect("undiscarded"), rest[1..]);
    db.mark_discarded(&rest, now()).await.expect("mark");
    assert_eq!(db.count_undiscarded(now()).await.expect("count"), 0);
}

pub async fn found_together(db: Arc<Db>) {
    let sessions = [inserted(&db).await, inserted(&db).await];
    let _other = inserted(&db).await;
    let ids = [sessions[1].id, sessions[0].id, begun().id];
    let mut found = db.find_uploads(&ids).await.expect("find");
    found.sort_unstable_by_key(|session| session.id);
    assert_eq!(found, sessions);
    assert_eq!(db.find_uploads(&[]).await.expect("find"), []);
}

/// Two cleaners take different sessions, and together each once.
pub async fn two_cleaners(db: Arc<Db>) {
    for _ in 0..40 {
        in_state(&db, State::Pending { store_asked: false }, now() - TimeDelta::minutes(1)).await;
    }
    let cleaners = (0..4).map(|_| {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            let mut count = 0;
            for _ in 0..10 {
                count += db.expire_uploads(now(), 5).await.expect("expired").sessions;
            }
            count
        })
    });
    let counts: u64 = join_all(cleaners).await.into_iter().map(|count| count.expect("a task")).sum();
    assert_eq!(counts, 40);
    assert_eq!(db.count_undiscarded(now()).await.expect("count"), 0, "nothing was ever sent");
}

pub async fn forget(db: Arc<Db>) {
    let before = inserted(&db).await;
    let part = ReceivedPart { number: PartNumber::FIRST, size: 1, etag: "e".into() };
    let after = Upload { state: State::Aborted, ..before.clone() };
    assert!(db.swap_upload_with_parts(&before, &after, &[part], now()).await.expect("swap"));
    assert_eq!(db.forget_uploads(now(), 100).await.expect("forget"), 0, "not before it is discarded");
    db.mark_discarded(&[before.id], now()).await.expect("mark");
    assert_eq!(
        db.forget_uploads(now() - TimeDelta::hours(1), 100).await.expect("forget"),
        0,
        "not before its time"
    );
    assert_eq!(db.forget_uploads(now(), 100).await.expect("forget"), 1);
    assert_eq!(db.find_upload(before.id).await.expect("find"), None);
    assert!(db.stored_parts(before.id).await.expect("parts").is_empty());
}
