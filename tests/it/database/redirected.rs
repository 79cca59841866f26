//! Sessions that are looked at, because nobody tells when their bytes are there.

use std::sync::Arc;

use chrono::TimeDelta;
use overside::db::Db;
use overside::domain::digest::Digest;
use overside::domain::upload::{State, Transfer, Upload};

use super::{find, in_state, inserted, lease, now};

fn redirected() -> State {
    State::Uploading { transfer: Transfer::Redirected, append_lease: None }
}

async fn declared(db: &Db, digest: Digest) -> Upload {
    let before = inserted(db).await;
    let after = Upload { state: redirected(), declared_digest: Some(digest), ..before.clone() };
    assert!(db.swap_upload(&before, &after, now()).await.expect("swap"));
    find(db, &before).await
}

pub async fn looked_at(db: Arc<Db>) {
    let an_hour = TimeDelta::hours(1);
    let upload = in_state(&db, redirected(), now() + an_hour).await;
    // Of others nobody ever has to look.
    in_state(&db, State::Uploading { transfer: Transfer::Put, append_lease: None }, now() + an_hour).await;
    let due = async |at| db.uploads_to_look_at(at, 10).await.expect("the list");
    assert_eq!(due(now() + an_hour).await, std::slice::from_ref(&upload), "at once");
    assert_eq!(due(now() - an_hour).await, []);

    let next = now() + TimeDelta::minutes(1);
    assert!(db.take_look(upload.id, now(), next).await.expect("a look"));
    assert!(!db.take_look(upload.id, now(), next).await.expect("a look"), "another replica has it");
    assert_eq!(find(&db, &upload).await, upload, "it is what it was");
    assert_eq!((due(now()).await, due(next).await), (vec![], vec![upload.clone()]));

    // Whoever finalizes it has found the bytes, and goes on as long as it lives; where they are gone again, they are looked
    // for anew.
    let dead = now() + TimeDelta::minutes(2);
    let state =
        State::Finalizing { transfer: Transfer::Redirected, claim: Digest::EMPTY.into(), lease: lease(dead) };
    let claimed = Upload { state, ..upload.clone() };
    assert!(db.swap_upload(&upload, &claimed, now()).await.expect("swap"));
    assert_eq!((due(next).await.len(), due(dead).await.len()), (0, 1));
    let claimed = find(&db, &upload).await;
    let reopened = Upload { state: redirected(), ..claimed.clone() };
    assert!(db.swap_upload(&claimed, &reopened, now()).await.expect("swap"));
    assert_eq!(due(now()).await.len(), 1);
    let reopened = find(&db, &upload).await;
    let ended = Upload { state: State::Aborted, ..reopened.clone() };
    assert!(db.swap_upload(&reopened, &ended, now()).await.expect("swap"));
    assert_eq!(due(next).await, []);
}

pub async fn of_a_blob(db: Arc<Db>) {
    let other = Digest::from_sha256([7; 32]);
    let (first, second) = (declared(&db, Digest::EMPTY).await, declared(&db, Digest::EMPTY).await);
    let third = declared(&db, other).await;
    let oldest = first.id.min(second.id);
    let found = async |name: &str, digests: &[Digest]| {
        let name = name.parse().expect("a name");
        let found = db.redirected_uploads(&name, digests, 2).await.expect("the list");
        found.into_iter().map(|upload| upload.id).collect::<Vec<_>>()
    };
    let one =
        db.redirected_uploads(&"team/app/model".parse().expect("a name"), &[Digest::EMPTY, other], 1).await;
    let one: Vec<_> = one.expect("the list").into_iter().map(|upload| upload.id).collect();
    assert!(one.len() == 2 && !one.contains(&oldest), "of each the newest");
    let mut both = found("team/app/model", &[Digest::EMPTY]).await;
    both.sort_unstable();
    assert_eq!(both, [first.id, second.id]);
    assert_eq!(found("team/app/model", &[Digest::EMPTY, other, Digest::EMPTY_SHA512]).await.len(), 3);
    assert_eq!(found("team/app/model", &[other]).await, [third.id]);
    assert_eq!(found("team/elsewhere", &[other]).await, []);
    assert_eq!(found("team/app/model", &[]).await, []);
    let ended = Upload { state: State::Aborted, ..third.clone() };
    assert!(db.swap_upload(&third, &ended, now()).await.expect("swap"));
    assert_eq!(found("team/app/model", &[other]).await, []);
    // Whose time is up.
    let later = now() + TimeDelta::days(400);
    db.expire_uploads(later, 100).await.expect("expired");
    assert_eq!(found("team/app/model", &[Digest::EMPTY]).await, []);
}
