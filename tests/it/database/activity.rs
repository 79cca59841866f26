//! What replicas tell each other while a limit is set, and what is counted where one is met.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::FutureExt;
use overside::db::Db;
use overside::domain::access::Share;
use overside::domain::upload::Upload;
use uuid::Uuid;

use super::{Case, begun, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a_replica_hears_the_sum_of_what_all_others_have_under_way", |db| under_way(db).boxed()),
        ("what_a_replica_has_not_told_for_seconds_counts_no_more", |db| silent(db).boxed()),
        ("a_replica_hears_what_each_other_one_has_let_in", |db| let_in(db).boxed()),
        ("a_users_open_sessions_are_counted_up_to_the_limit", |db| open_sessions(db).boxed()),
    ]
}

async fn under_way(db: Arc<Db>) {
    let [a, b, c] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    assert_eq!(db.activity_of_others(a).await.expect("heard"), (0, 0));
    for (replica, uploads, downloads) in [(a, 1, 9), (b, 2, 0), (c, 5, 1), (b, 3, 4)] {
        db.publish_activity(replica, uploads, downloads).await.expect("told");
    }
    assert_eq!(db.activity_of_others(a).await.expect("heard"), (8, 5));
    assert_eq!(db.activity_of_others(Uuid::new_v4()).await.expect("heard"), (9, 14));
    db.withdraw_activity(c).await.expect("withdrawn");
    assert_eq!(db.activity_of_others(a).await.expect("heard"), (3, 4));
}

async fn silent(db: Arc<Db>) {
    let replica = Uuid::new_v4();
    db.publish_activity(replica, 1, 1).await.expect("told");
    db.publish_requests(replica, &[("user alice".to_owned(), 1)]).await.expect("told");
    let other = Uuid::new_v4();
    assert_eq!(db.activity_of_others(other).await.expect("heard"), (1, 1));
    db.sweep_activity().await.expect("swept");
    assert_eq!(db.requests_of_others(other).await.expect("heard").len(), 1, "what is fresh stays");
    tokio::time::sleep(std::time::Duration::from_millis(3_500)).await;
    assert_eq!(db.activity_of_others(other).await.expect("heard"), (0, 0));
    assert_eq!(db.requests_of_others(other).await.expect("heard"), []);
}

async fn let_in(db: Arc<Db>) {
    let [a, b] = [Uuid::new_v4(), Uuid::new_v4()];
    let of = |alice: u64, bob: u64| vec![("user alice".to_owned(), alice), ("user \"b'ob".to_owned(), bob)];
    db.publish_requests(a, &of(1, 2)).await.expect("told");
    db.publish_requests(b, &of(10, 20)).await.expect("told");
    db.publish_requests(a, &of(3, 4)[..1]).await.expect("told");
    let heard = async |replica| {
        let mut heard = db.requests_of_others(replica).await.expect("heard");
        heard.sort_by_key(|(subject, _, _)| std::cmp::Reverse(subject.clone()));
        heard
    };
    let expected = |replica: Uuid, counts: Vec<(String, u64)>| {
        let mut all: Vec<_> = counts.into_iter().map(|(subject, count)| (subject, replica, count)).collect();
        all.sort_by_key(|(subject, _, _)| std::cmp::Reverse(subject.clone()));
        all
    };
    assert_eq!(heard(b).await, expected(a, of(3, 2)));
    assert_eq!(heard(a).await, expected(b, of(10, 20)));
    db.publish_requests(a, &[]).await.expect("nothing to tell");
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
