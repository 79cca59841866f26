//! What an administrator has set.

use std::sync::Arc;

use futures_util::future::FutureExt;
use overside::db::Db;
use overside::domain::settings::{Setting, Value};

use super::{Case, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![("settings_are_kept_until_they_are_changed_or_taken_away", |db| kept(db).boxed())]
}

async fn entries(db: &Db) -> Vec<(String, String)> {
    let mut entries = db.settings().await.expect("settings");
    entries.sort();
    entries
}

async fn kept(db: Arc<Db>) {
    assert_eq!(entries(&db).await, []);
    let (rate, uploads) = (Setting::RequestRate, Setting::UploadConcurrent);
    let five = Some(Value::Number(5));
    db.change_settings(&[(uploads, five), (rate, five)], now()).await.expect("changed");
    db.change_settings(&[(rate, Some(Value::Number(6)))], now()).await.expect("changed");
    let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(entries(&db).await, [entry("request_rate", "6"), entry("upload_concurrent", "5")]);
    db.change_settings(&[(uploads, None), (rate, five)], now()).await.expect("changed");
    assert_eq!(entries(&db).await, [entry("request_rate", "5")]);
    // Many at once, in whatever order they name them.
    let changes = (0..16).map(|turn| {
        let (db, value) = (Arc::clone(&db), Some(Value::Number(turn + 1)));
        let both =
            if turn % 2 == 0 { [(rate, value), (uploads, value)] } else { [(uploads, value), (rate, value)] };
        tokio::spawn(async move { db.change_settings(&both, now()).await })
    });
    for change in futures_util::future::join_all(changes).await {
        change.expect("a task").expect("changed");
    }
    let entries = entries(&db).await;
    assert_eq!(entries[0].1, entries[1].1, "both of the last change, or neither");
}
