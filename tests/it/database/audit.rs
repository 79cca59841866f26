//! The audit log.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::FutureExt;
use overside::db::Db;
use overside::domain::access::{ProjectName, ProjectReference};
use overside::domain::audit::{AuditEntry, Deed, Operation, ResourceType};

use super::{Case, now};

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("audit_entries_come_back_by_project_newest_first_and_by_the_page", |db| pages(db).boxed()),
        ("audit_entries_are_forgotten_by_their_age_in_batches", |db| forgotten(db).boxed()),
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
    let (page, total) = db.audit_entries(Some(&named("team")), 3, 0).await.expect("read");
    let resources: Vec<_> = page.iter().map(|entry| entry.resource.as_str()).collect();
    assert_eq!((resources.as_slice(), total), (["team/app:v6", "team/app:v5", "team/app:v4"].as_slice(), 7));
    assert_eq!(page[0].username, "alice \"'é", "a NUL keeps nothing out of the log");
    assert_eq!((page[0].operation.as_str(), page[0].resource_type.as_str()), ("push", "artifact"));
    assert_eq!(page[0].client_address.as_deref(), Some("192.0.2.7"));
    assert_eq!(page[0].happened_at, entries[6].happened_at);
    let (page, total) = db.audit_entries(Some(&named("team")), 3, 6).await.expect("read");
    assert_eq!((page.len(), page[0].resource.as_str(), total), (1, "team/app:v0", 7));
    assert_eq!(db.audit_entries(Some(&named("team")), 3, 99).await.expect("read").0, []);
    assert_eq!(db.audit_entries(Some(&named("nobodys")), 3, 0).await.expect("read"), (Vec::new(), 0));
    let (all, total) = db.audit_entries(None, 100, 0).await.expect("read");
    assert_eq!((all.len(), total), (9, 9));
}

async fn forgotten(db: Arc<Db>) {
    let entries: Vec<_> = (0..10).map(|days| entry("alice", "team/app:v1", TimeDelta::days(days))).collect();
    db.insert_audit_entries(&entries).await.expect("written");
    let before = now() - TimeDelta::days(4) - TimeDelta::hours(12);
    let forget = async |limit| db.forget_audit_entries(before, limit).await.expect("forgotten");
    assert_eq!((forget(3).await, forget(3).await, forget(3).await), (3, 2, 0));
    let (left, _) = db.audit_entries(None, 100, 0).await.expect("read");
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|entry| entry.happened_at > before));
}
