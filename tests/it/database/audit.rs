//! The audit log.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use futures_util::future::{FutureExt, join_all};
use overside::db::Db;
use overside::domain::access::{ProjectName, ProjectReference};
use overside::domain::audit::{AuditEntry, AuditedAction, Operation, ResourceType};

use super::{Case, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("audit_entries_come_back_by_project_newest_first_and_by_the_page", |db| pages(db).boxed()),
        ("audit_entries_of_any_month_are_written_and_the_next_month_has_its_room", |db| months(db).boxed()),
        ("audit_entries_are_forgotten_by_their_age_in_batches_or_months", |db| forgotten(db).boxed()),
    ]
}

fn project(name: &str) -> ProjectName {
    name.parse().expect("a project's name")
}

fn named(name: &str) -> ProjectReference {
    ProjectReference::Name(project(name))
}

fn entry(name: &str, resource: &str, age: TimeDelta) -> AuditEntry {
    let action = AuditedAction {
        operation: Operation::Push,
        resource_type: ResourceType::Artifact,
        resource: resource.to_owned(),
        project: resource.split('/').next().filter(|name| !name.is_empty()).map(project),
    };
    AuditEntry::new(name, Some(IpAddr::from([192, 0, 2, 7])), action, now() - age)
}

async fn pages(db: Arc<Db>) {
    let none = TimeDelta::zero();
    let mut entries: Vec<_> =
        (0..7).map(|number| entry("alice \"'\0é", &format!("team/app:v{number}"), none)).collect();
    entries.push(entry("bob", "other/app:v1", none));
    entries.push(entry("bob", "", none));
    db.insert_audit_entries(&entries).await.expect("written");
    let (page, total) = db.audit_entries(Some(&named("team")), None, 3, 0).await.expect("read");
    let resources: Vec<_> = page.iter().map(|entry| entry.resource.as_str()).collect();
    assert_eq!((resources.as_slice(), total), (["team/app:v6", "team/app:v5", "team/app:v4"].as_slice(), 7));
    assert_eq!(page[0].username, "alice \"'é", "a NUL keeps nothing out of the log");
    assert_eq!((page[0].operation.as_str(), page[0].resource_type.as_str()), ("push", "artifact"));
    assert_eq!(page[0].client_address.as_deref(), Some("192.0.2.7"));
    assert_eq!(page[0].happened_at, entries[6].happened_at);
    let (page, total) = db.audit_entries(Some(&named("team")), None, 3, 6).await.expect("read");
    assert_eq!((page.len(), page[0].resource.as_str(), total), (1, "team/app:v0", 7));
    let (after, total) =
        db.audit_entries(Some(&named("team")), Some(page[0].id + 2), 3, 0).await.expect("read");
    let resources: Vec<_> = after.iter().map(|entry| entry.resource.as_str()).collect();
    assert_eq!((resources.as_slice(), total), (["team/app:v1", "team/app:v0"].as_slice(), 7));
    assert_eq!(db.audit_entries(Some(&named("team")), None, 3, 99).await.expect("read").0, []);
    assert_eq!(db.audit_entries(Some(&named("nobodys")), None, 3, 0).await.expect("read"), (Vec::new(), 0));
    let (all, total) = db.audit_entries(None, None, 100, 0).await.expect("read");
    assert_eq!((all.len(), total), (9, 9));
}

/// A replica's idea of the time may be behind or ahead of the others', and entries may have waited: around the end of each
/// month, and in months that nobody has thought of.
async fn months(db: Arc<Db>) {
    if let Db::Postgres(pool) = &*db {
        const TABLES: &str = "SELECT relname::TEXT FROM pg_class WHERE relispartition AND relkind = 'r'";
        let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(pool).await.expect("tables");
        let next = now().checked_add_months(Months::new(1)).expect("a time");
        for month in [now(), next] {
            let table = month.format("audit_entry_%Y_%m").to_string();
            assert!(tables.contains(&table), "{table} of {tables:?}");
        }
    }
    let end = |month: u32| {
        let first = now().date_naive().with_day(1).and_then(|day| day.checked_add_months(Months::new(month)));
        first.and_then(|day| day.and_hms_opt(0, 0, 0)).expect("midnight").and_utc()
    };
    // Of both sides of midnight in one statement, and by several replicas at once.
    let at = |time| AuditEntry { happened_at: time, ..entry("alice", "team/app:v1", TimeDelta::zero()) };
    let batches = [0, 1, 2, 7, 7, 7, 30].map(|month| {
        let (db, end) = (Arc::clone(&db), end(month));
        let times = [-1, 0, 1].map(|distance| at(end + TimeDelta::milliseconds(distance)));
        async move { db.insert_audit_entries(&times).await.expect("written") }
    });
    join_all(batches).await;
    let old = [400, 3_000].map(|days| entry("alice", "team/app:v1", TimeDelta::days(days)));
    db.insert_audit_entries(&old).await.expect("written");
    assert_eq!(db.audit_entries(None, None, 100, 0).await.expect("read").1, 7 * 3 + 2);
    let (first, again) = tokio::join!(db.make_audit_months(), db.make_audit_months());
    first.and(again).expect("made, however often");
}

/// On PostgreSQL with the last of their month.
async fn forgotten(db: Arc<Db>) {
    let entries = (0..10).map(|number| entry("alice", "team/app:v1", TimeDelta::days(12 * number)));
    let entries: Vec<_> = entries.collect();
    db.insert_audit_entries(&entries).await.expect("written");
    let before = now() - TimeDelta::days(54);
    let month = |time: DateTime<Utc>| time.format("%Y-%m").to_string();
    let is_kept = |time: DateTime<Utc>| match &*db {
        Db::Postgres(_) => month(time) >= month(before),
        Db::Sqlite(_) => time > before,
    };
    let kept = entries.iter().filter(|entry| is_kept(entry.happened_at)).count();
    assert!((5..10).contains(&kept), "{kept}");
    let mut forgotten = 0;
    loop {
        match db.forget_audit_entries(before, 3).await.expect("forgotten") {
            0 => break,
            batch => forgotten += batch,
        }
    }
    assert_eq!(forgotten, (entries.len() - kept) as u64);
    let (left, _) = db.audit_entries(None, None, 100, 0).await.expect("read");
    assert_eq!(left.len(), kept);
    assert!(left.iter().all(|entry| is_kept(entry.happened_at)));
    db.insert_audit_entries(&entries).await.expect("also of a month that was forgotten");
}
