//! What limits rest on: how many replicas there are, and what is counted where one is met.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::FutureExt;
use overside::db::Db;
use overside::domain::access::Share;
use overside::domain::upload::Upload;
use uuid::Uuid;

use super::{Case, begun, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("replicas_are_counted_until_they_leave", |db| counted(db).boxed()),
        ("a_replica_that_has_not_been_seen_for_long_counts_no_more", |db| stale(db).boxed()),
        ("a_users_open_sessions_are_counted_up_to_the_limit", |db| open_sessions(db).boxed()),
    ]
}

async fn counted(db: Arc<Db>) {
    let [a, b] = [Uuid::new_v4(), Uuid::new_v4()];
    let count = async |replica| db.count_replicas(replica, Duration::from_mins(1)).await.expect("counted");
    assert_eq!((count(a).await, count(a).await, count(b).await, count(a).await), (1, 1, 2, 2));
    db.remove_replica(b).await.expect("removed");
    db.remove_replica(b).await.expect("removed before");
    assert_eq!(count(a).await, 1);
}

async fn stale(db: Arc<Db>) {
    let [a, b] = [Uuid::new_v4(), Uuid::new_v4()];
    let count = async |replica| db.count_replicas(replica, Duration::from_secs(1)).await.expect("counted");
    count(b).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(count(a).await, 2);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(count(a).await, 1);
    // It was only slow.
    assert_eq!(count(b).await, 2);
}

async fn open_sessions(db: Arc<Db>) {
    let of = |user: &str| Upload { user_id: Some(user.to_owned()), ..begun() };
    for user in ["alice", "alice", "alice", "bob"] {
        db.insert_upload(&of(user), "temp/x/").await.expect("insert");
    }
    let ended = of("alice");
    db.insert_upload(&ended, "temp/x/").await.expect("insert");
    let aborted = ended.clone().abort(now()).expect("it is open");
    assert!(db.swap_upload(&ended, &aborted, now()).await.expect("swap"));
    let over = Upload { expires_at: now() - TimeDelta::seconds(1), ..of("alice") };
    db.insert_upload(&over, "temp/x/").await.expect("insert");
    let count = async |user: &str, most| {
        let share = Share::User(user.to_owned());
        db.count_open_uploads(&share, now(), most).await.expect("counted")
    };
    assert_eq!((count("alice", 100).await, count("alice", 2).await), (3, 2));
    assert_eq!((count("bob", 100).await, count("carol", 100).await), (1, 0));
}
