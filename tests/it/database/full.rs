//! A database that has no room left.

use std::sync::Arc;

use overside::db::Db;
use overside::domain::upload::Upload;

use super::{begun, find, inserted};
use crate::support::trial::not_here;

/// What a session brings along, so that few of them fill what is free, in bytes.
const LARGE: usize = 50_000;
/// Beyond this many the limit is none.
const MANY: usize = 100;

/// `SQLite` alone can be made full by itself: by a limit on its pages, each connection's own.
pub async fn recovers(db: Arc<Db>) {
    let Db::Sqlite(pool) = &*db else { not_here("only SQLite can be limited by itself") };
    let kept = inserted(&db).await;
    // Never less than there are.
    limit(pool, "PRAGMA max_page_count = 1").await;
    let metadata = serde_json::json!({ "user_agent": "x".repeat(LARGE) });
    let large = || Upload { metadata: metadata.clone(), ..begun() };
    let mut refused = None;
    for _ in 0..MANY {
        let upload = large();
        if let Err(error) = db.insert_upload(&upload, "temp/x/").await {
            assert!(db.find_upload(upload.id).await.expect("it still reads").is_none());
            refused = Some(error);
            break;
        }
    }
    let error = refused.expect("it is full");
    assert!(error.is_disk_full(), "{error:?}");
    assert_eq!(find(&db, &kept).await.id, kept.id);
    db.check().await.expect("it still answers");

    limit(pool, "PRAGMA max_page_count = 4294967294").await;
    let upload = large();
    db.insert_upload(&upload, "temp/x/").await.expect("there is room again");
    assert_eq!(find(&db, &upload).await.metadata, metadata);
}

async fn limit(pool: &sqlx::SqlitePool, pragma: &'static str) {
    let mut connections = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        let mut connection = pool.acquire().await.expect("a connection");
        sqlx::query(pragma).execute(&mut *connection).await.expect("it can be limited");
        connections.push(connection);
    }
}
