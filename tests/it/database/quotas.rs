//! What projects have, and who may add to it.

mod races;

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::FutureExt;
use overside::db::{Committed, Db, DbError, Deleted, Pushed, Unlinked};
use overside::domain::access::ProjectName;
use overside::domain::blob::Blob;
use overside::domain::digest::Digest;
use overside::domain::quota::{QuotaExceeded, QuotaKind, Usage};
use overside::domain::upload::{Failure, FailureCode, State, Upload};

use super::manifests::{NAME, content, push, push_to, stored_blob};
use super::{Case, begun, blob, finalizing, find, lease, name, now, occasion};
use crate::support::database::limit_project;

/// Of [`NAME`].
const PROJECT: &str = "team";

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a_blob_counts_once_in_each_project_that_has_it", |db| links(db).boxed()),
        ("manifests_count_their_bytes_and_take_their_tags_along", |db| manifests(db).boxed()),
        ("what_the_collector_takes_out_of_a_project_is_given_back", |db| collected(db).boxed()),
        ("a_reservation_ends_once_with_its_session_however_that_ends", |db| endings(db).boxed()),
        ("a_commit_turns_what_was_reserved_into_what_is_there", |db| committed(db).boxed()),
        ("what_does_not_fit_into_a_project_is_not_written", |db| refused(db).boxed()),
        ("a_limit_below_the_usage_refuses_what_adds_to_it_and_nothing_else", |db| lowered(db).boxed()),
        ("where_nothing_limits_a_project_nothing_is_reserved", |db| unlimited(db).boxed()),
        ("as_much_is_reserved_ahead_as_there_is_room_for", |db| ahead(db).boxed()),
        ("a_recount_finds_what_was_miscounted_and_corrects_it", |db| corrected(db).boxed()),
        ("reservers_at_once_never_exceed_a_limit", |db| races::reservers(db).boxed()),
        ("a_limit_holds_for_all_that_adds_to_a_project_at_once", |db| races::mixed(db).boxed()),
        ("folding_beside_everything_else_loses_nothing", |db| races::folding(db).boxed()),
    ]
}

fn project(text: &str) -> ProjectName {
    text.parse().expect("a name")
}

pub async fn limit(db: &Db, name: &str, bytes: i64, tags: i64) {
    match db {
        Db::Postgres(pool) => drop(limit_project!(pool, name, bytes, tags)),
        Db::Sqlite(pool) => drop(limit_project!(pool, name, bytes, tags)),
    }
}

async fn execute(db: &Db, sql: &'static str) {
    match db {
        Db::Postgres(pool) => drop(sqlx::raw_sql(sql).execute(pool).await.expect(sql)),
        Db::Sqlite(pool) => drop(sqlx::raw_sql(sql).execute(pool).await.expect(sql)),
    }
}

/// Bytes, reserved bytes and tags of a project, which a recount has confirmed.
pub async fn usage(db: &Db, name: &str) -> [u64; 3] {
    let recounted = recounted(db, name).await;
    let Usage { bytes, reserved, tags, .. } = db.project_usage(&project(name)).await.expect("usage");
    assert_eq!([bytes, reserved, tags], recounted);
    recounted
}

/// The same while others change it.
async fn recounted(db: &Db, name: &str) -> [u64; 3] {
    let recount = db.recount(&project(name)).await.expect("recount");
    assert!(recount.agrees, "{recount:?}");
    let Usage { bytes, reserved, tags, .. } = recount.kept;
    [bytes, reserved, tags]
}

/// A session of [`PROJECT`] that wants `reserved` bytes.
fn wanting(reserved: u64) -> Upload {
    Upload { reserved, ..begun() }
}

async fn reserved(db: &Db, bytes: u64) -> Upload {
    let upload = wanting(bytes);
    db.insert_upload(&upload, "temp/x/").await.expect("room");
    assert_eq!(find(db, &upload).await.reserved, bytes);
    upload
}

#[track_caller]
fn shortage<T: std::fmt::Debug>(outcome: Result<T, DbError>) -> QuotaExceeded {
    match outcome {
        Err(DbError::QuotaExceeded(shortage)) => *shortage,
        outcome => panic!("{outcome:?}"),
    }
}

fn short(kind: QuotaKind, limit: u64, used: u64, needed: u64) -> QuotaExceeded {
    QuotaExceeded { project: project(PROJECT), kind, limit, used, needed }
}

async fn links(db: Arc<Db>) {
    let digest = stored_blob(&db, 1).await;
    assert_eq!(usage(&db, PROJECT).await, [3, 0, 0]);
    for (repository, bytes) in [("team/other", [3, 0]), ("team", [3, 0]), ("teams/app", [3, 3])] {
        assert!(db.link_blob(&name(repository), &digest, now()).await.expect("link"));
        assert!(db.link_blob(&name(repository), &digest, now()).await.expect("twice is once"));
        let counted = [usage(&db, PROJECT).await[0], usage(&db, "teams").await[0]];
        assert_eq!(counted, bytes, "{repository}");
    }
    stored_blob(&db, 1).await;
    assert_eq!(usage(&db, PROJECT).await, [3, 0, 0], "the same bytes again");
    for (repository, bytes) in [("team", 3), (NAME, 3), ("team/other", 0)] {
        let unlinked = db.unlink_blob(&name(repository), &digest, now()).await.expect("unlink");
        assert_eq!(unlinked, Unlinked::Done);
        assert_eq!(usage(&db, PROJECT).await, [bytes, 0, 0], "{repository}");
    }
    assert_eq!(usage(&db, "teams").await, [3, 0, 0]);
}

async fn manifests(db: Arc<Db>) {
    let blob = stored_blob(&db, 1).await;
    let layer = serde_json::json!({ "digest": blob, "size": 3 });
    let image = |number: u8| {
        content(&serde_json::json!({
            "schemaVersion": 2, "config": layer, "layers": [], "number": number,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
        }))
    };
    let (first, second) = (image(1), image(2));
    let length = first.payload.len() as u64;
    push(&db, &first, &["a", "b"]).await;
    assert_eq!(usage(&db, PROJECT).await, [3 + length, 0, 2]);
    push(&db, &first, &["b", "c"]).await;
    assert_eq!(usage(&db, PROJECT).await, [3 + length, 0, 3], "what is there is not counted again");
    push(&db, &second, &["c"]).await;
    assert_eq!(usage(&db, PROJECT).await, [3 + 2 * length, 0, 3], "a tag that moves is one");
    assert!(db.delete_tag(&name(NAME), &"c".parse().expect("a tag"), &occasion()).await.expect("delete"));
    assert_eq!(usage(&db, PROJECT).await, [3 + 2 * length, 0, 2]);
    assert_eq!(
        db.delete_manifest(&name(NAME), &first.digest, &occasion()).await.expect("delete"),
        Deleted::Done
    );
    assert_eq!(usage(&db, PROJECT).await, [3 + length, 0, 0], "its tags went with it");
    assert_eq!(
        db.delete_manifest(&name(NAME), &first.digest, &occasion()).await.expect("delete"),
        Deleted::Unknown
    );
    assert_eq!(usage(&db, PROJECT).await, [3 + length, 0, 0]);
}

async fn collected(db: Arc<Db>) {
    for byte in 1..=3 {
        stored_blob(&db, byte).await;
    }
    execute(&db, "UPDATE repository_blob SET unreferenced_at = created_at").await;
    assert_eq!(usage(&db, PROJECT).await, [9, 0, 0]);
    assert_eq!(db.unlink_unneeded(now(), now(), 10).await.expect("unlink"), (3, 3));
    assert_eq!(usage(&db, PROJECT).await, [0; 3]);
    stored_blob(&db, 2).await;
    assert_eq!(usage(&db, PROJECT).await, [3, 0, 0], "it came back");
}

async fn endings(db: Arc<Db>) {
    limit(&db, PROJECT, 1_000, -1).await;
    let failure = Failure { code: FailureCode::QuotaExceeded, message: "full".into() };
    let ends = [State::Failed { failure }, State::Aborted, State::Expired];
    for state in ends {
        let begun = reserved(&db, 100).await;
        assert_eq!(usage(&db, PROJECT).await, [0, 100, 0]);
        let claimed = Upload { state: finalizing(now()), ..begun.clone() };
        assert!(db.swap_upload(&begun, &claimed, now()).await.expect("swap"));
        assert_eq!(usage(&db, PROJECT).await, [0, 100, 0], "it is still open");
        let claimed = find(&db, &begun).await;
        let ended = Upload { state, ..claimed.clone() };
        assert!(db.swap_upload(&claimed, &ended, now()).await.expect("swap"));
        assert!(!db.swap_upload(&claimed, &ended, now()).await.expect("swap"));
        assert_eq!(usage(&db, PROJECT).await, [0; 3]);
        assert_eq!(find(&db, &begun).await.state, ended.state);
        // Nothing is held for what has ended.
        assert_eq!(db.reserve(begun.id, &project(PROJECT), 500, 500).await.expect("reserve"), None);
        assert_eq!(usage(&db, PROJECT).await, [0; 3]);
        db.mark_discarded(&[begun.id], now()).await.expect("mark");
    }
    let due = Upload { expires_at: now() - TimeDelta::seconds(1), ..wanting(100) };
    let held = Upload {
        state: State::Uploading {
            transfer: super::proxied(),
            append_lease: Some(lease(now() + TimeDelta::hours(1))),
        },
        ..due.clone()
    };
    db.insert_upload(&due, "temp/x/").await.expect("room");
    let held = Upload { id: begun().id, ..held };
    db.insert_upload(&Upload { state: due.state.clone(), ..held.clone() }, "temp/x/").await.expect("room");
    assert!(
        db.swap_upload(&Upload { state: due.state.clone(), ..held.clone() }, &held, now())
            .await
            .expect("swap")
    );
    assert_eq!(usage(&db, PROJECT).await, [0, 200, 0]);
    assert_eq!(db.expire_uploads(now(), 10).await.expect("expire").sessions, 1, "the other one is worked on");
    assert_eq!(usage(&db, PROJECT).await, [0, 100, 0]);
    assert_eq!(db.forget_uploads(now(), 10).await.expect("forget"), 4);
    assert_eq!(usage(&db, PROJECT).await, [0, 100, 0]);
    // Nothing in the product does this.
    execute(&db, "DELETE FROM blob_upload_session").await;
    assert_eq!(usage(&db, PROJECT).await, [0; 3]);
}

async fn commit(db: &Db, begun: &Upload, digest: Digest, size: u64) {
    let begun = find(db, begun).await;
    let claimed = Upload { state: finalizing(now()), ..begun.clone() };
    assert!(db.swap_upload(&begun, &claimed, now()).await.expect("swap"));
    let claimed = find(db, &begun).await;
    let done = Upload { state: State::Completed { digest, size }, size: Some(size), ..claimed.clone() };
    let blob = Blob { size, ..blob(digest) };
    let committed = db.commit_blob(&claimed, &done, &blob, now(), None, None).await.expect("commit");
    assert_eq!(committed, Committed::Done);
}

async fn committed(db: Arc<Db>) {
    limit(&db, PROJECT, 100, -1).await;
    let digest = Digest::from_sha256([1; 32]);
    let (first, second) = (reserved(&db, 40).await, reserved(&db, 60).await);
    commit(&db, &first, digest, 40).await;
    assert_eq!(usage(&db, PROJECT).await, [40, 60, 0]);
    // Found to be smaller, and there already: what is not needed goes back.
    commit(&db, &second, digest, 40).await;
    assert_eq!(usage(&db, PROJECT).await, [40, 0, 0]);
}

async fn refused(db: Arc<Db>) {
    let digest = stored_blob(&db, 1).await;
    assert!(db.link_blob(&name("other/app"), &digest, now()).await.expect("link"));
    let elsewhere = stored_blob(&db, 2).await;
    assert!(db.link_blob(&name("other/app"), &elsewhere, now()).await.expect("link"));
    assert_eq!(db.unlink_blob(&name(NAME), &elsewhere, now()).await.expect("unlink"), Unlinked::Done);
    limit(&db, PROJECT, 10, 2).await;

    let upload = wanting(8);
    let outcome = db.insert_upload(&upload, "temp/x/").await;
    assert_eq!(shortage(outcome), short(QuotaKind::Bytes, 10, 3, 8));
    assert_eq!(db.find_upload(upload.id).await.expect("find"), None);
    let upload = reserved(&db, 5).await;
    let outcome = db.reserve(upload.id, &project(PROJECT), 8, 8).await;
    assert_eq!(shortage(outcome), short(QuotaKind::Bytes, 10, 8, 3), "three more");
    assert_eq!(find(&db, &upload).await.reserved, 5);
    let outcome = db.link_blob(&name(NAME), &elsewhere, now()).await;
    assert_eq!(shortage(outcome), short(QuotaKind::Bytes, 10, 8, 3));
    assert_eq!(db.find_link(&name(NAME), &elsewhere).await.expect("find"), None);
    assert!(db.link_blob(&name("team/other"), &digest, now()).await.expect("it is in the project"));

    let index = content(&serde_json::json!({ "schemaVersion": 2, "manifests": [] }));
    let length = index.payload.len() as u64;
    let try_push = async |tags: &[&str]| {
        let tags = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
        let (digest, manifest, payload) = (&index.digest, index.manifest.clone(), index.payload.clone());
        db.push_manifest(&name(NAME), digest, manifest.into(), payload.into(), &tags, &occasion()).await
    };
    assert_eq!(shortage(try_push(&[]).await), short(QuotaKind::Bytes, 10, 8, length));
    limit(&db, PROJECT, 8 + signed(length), 2).await;
    assert_eq!(shortage(try_push(&["a", "b", "c"]).await), short(QuotaKind::Tags, 2, 0, 3));
    assert_eq!(usage(&db, PROJECT).await, [3, 5, 0], "nothing of it was written");
    assert_eq!(try_push(&["a", "b"]).await.expect("it fits"), Pushed::Done);
    assert_eq!(try_push(&["a", "b"]).await.expect("it is there"), Pushed::Done);
    assert_eq!(shortage(try_push(&["b", "c"]).await), short(QuotaKind::Tags, 2, 2, 1));
    assert_eq!(usage(&db, PROJECT).await, [3 + length, 5, 2]);
}

fn signed(length: u64) -> i64 {
    i64::try_from(length).expect("a small number")
}

async fn lowered(db: Arc<Db>) {
    let digest = stored_blob(&db, 1).await;
    let index = content(&serde_json::json!({ "schemaVersion": 2, "manifests": [] }));
    limit(&db, PROJECT, 1_000, -1).await;
    push(&db, &index, &["a"]).await;
    let open = reserved(&db, 5).await;
    limit(&db, PROJECT, 0, 0).await;
    let used = 8 + index.payload.len() as u64;
    let outcome = db.insert_upload(&wanting(1), "temp/x/").await;
    assert_eq!(shortage(outcome), short(QuotaKind::Bytes, 0, used, 1));
    // What adds nothing, and what had its room before.
    assert_eq!(push_to(&db, &name(NAME), &index, &["a"]).await, Pushed::Done);
    assert!(db.link_blob(&name("team/other"), &digest, now()).await.expect("link"));
    assert_eq!(db.reserve(open.id, &project(PROJECT), 5, 9).await.expect("it has them"), Some(5));
    commit(&db, &open, Digest::from_sha256([2; 32]), 5).await;
    assert_eq!(usage(&db, PROJECT).await, [used, 0, 1]);
    assert_eq!(
        db.delete_manifest(&name(NAME), &index.digest, &occasion()).await.expect("delete"),
        Deleted::Done
    );
    assert_eq!(usage(&db, PROJECT).await, [8, 0, 0]);
    // A session without anything to hold, as one whose length nobody has said yet, begins all the same.
    db.insert_upload(&wanting(0), "temp/x/").await.expect("insert");
}

async fn unlimited(db: Arc<Db>) {
    for _ in 0..2 {
        let upload = wanting(1 << 50);
        db.insert_upload(&upload, "temp/x/").await.expect("no limit");
        assert_eq!(find(&db, &upload).await.reserved, 0);
        assert_eq!(db.reserve(upload.id, &project(PROJECT), 9, 9).await.expect("no limit"), None);
        assert_eq!(usage(&db, PROJECT).await, [0; 3]);
        // The same where there is a row that says so, or one that limits tags alone.
        limit(&db, PROJECT, -1, 0).await;
    }
    let Usage { storage_limit, count_limit, .. } = db.project_usage(&project(PROJECT)).await.expect("usage");
    assert_eq!((storage_limit, count_limit), (None, Some(0)));
}

async fn ahead(db: Arc<Db>) {
    limit(&db, PROJECT, 100, -1).await;
    let (first, second) = (reserved(&db, 10).await, reserved(&db, 10).await);
    let reserve = |upload: &Upload, least, most| {
        let (db, id) = (Arc::clone(&db), upload.id);
        async move { db.reserve(id, &project(PROJECT), least, most).await }
    };
    assert_eq!(reserve(&first, 20, 60).await.expect("room"), Some(60));
    assert_eq!(reserve(&first, 30, 40).await.expect("room"), Some(60), "never less than it has");
    assert_eq!(reserve(&second, 20, 60).await.expect("room"), Some(40), "what there is");
    assert_eq!(usage(&db, PROJECT).await, [0, 100, 0]);
    assert_eq!(shortage(reserve(&second, 41, 60).await), short(QuotaKind::Bytes, 100, 100, 1));
    db.release_beyond(first.id, 25).await.expect("release");
    db.release_beyond(first.id, 30).await.expect("nothing to release");
    assert_eq!(find(&db, &first).await.reserved, 25);
    assert_eq!(find(&db, &first).await.revision, first.revision, "whoever works on it goes on");
    assert_eq!(reserve(&second, 41, 60).await.expect("room"), Some(60));
    assert_eq!(usage(&db, PROJECT).await, [0, 85, 0]);
}

async fn corrected(db: Arc<Db>) {
    stored_blob(&db, 1).await;
    stored_blob(&db, 2).await;
    assert!(db.recount(&project(PROJECT)).await.expect("recount").agrees);
    for miscount in [
        "INSERT INTO project_usage (project_name, bytes) VALUES ('team', -9)",
        "INSERT INTO project_usage (project_name, reserved) VALUES ('team', 1)",
        "INSERT INTO project_usage (project_name, tags) VALUES ('team', -1)",
        "DELETE FROM project_usage",
        "DELETE FROM project_blob",
        "UPDATE project_blob SET links = 2",
        "INSERT INTO project_blob (project_name, blob_id, size, links) VALUES ('team', 99, 1, 1)",
    ] {
        execute(&db, miscount).await;
        let found = db.recount(&project(PROJECT)).await.expect("recount");
        assert!(!found.agrees, "{miscount}: {found:?}");
        assert_eq!(found.counted.bytes, 6, "{miscount}");
        assert_eq!(db.correct_usage(&project(PROJECT)).await.expect("correct"), found);
        assert_eq!(usage(&db, PROJECT).await, [6, 0, 0], "{miscount}");
        assert!(db.correct_usage(&project(PROJECT)).await.expect("correct").agrees, "{miscount}");
    }
    assert_eq!(db.projects_with_usage().await.expect("names"), [project(PROJECT)]);
}
