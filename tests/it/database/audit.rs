//! The audit log.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::FutureExt;
use overside::db::Db;
use overside::domain::access::{ProjectName, ProjectReference};
use overside::domain::audit::{AuditEntry, Deed, Operation, ResourceType};

use super::{Case, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("audit_entries_come_back_by_project_newest_first_and_by_the_page", |db| pages(db).boxed()),
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
    let deed = Deed {
        operation: Operation::Push,
        resource_type: ResourceType::Artifact,
        resource: resource.to_owned(),
        project: resource.split('/').next().filter(|name| !name.is_empty()).map(project),
    };
    AuditEntry::new(name, Some(IpAddr::from([192, 0, 2, 7])), deed, now() - age)
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
            batch => forgotten += batch as usize,
        }
    }
    assert_eq!(forgotten, entries.len() - kept);
    let (left, _) = db.audit_entries(None, None, 100, 0).await.expect("read");
    assert_eq!(left.len(), kept);
    assert!(left.iter().all(|entry| is_kept(entry.happened_at)));
    db.insert_audit_entries(&entries).await.expect("also of a month that was forgotten");
}
