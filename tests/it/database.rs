//! What both databases must do alike: every statement runs on PostgreSQL and on SQLite.

mod accounts;
mod audit;
mod batches;
mod digests;
mod exposed;
mod files;
mod full;
mod listings;
mod manifests;
mod plans;
mod quotas;
mod redirected;
mod removal;
mod replicas;
mod settings;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use crate::support::trial::not_here;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use overside::db::{Committed, Db, DbError, StoreProbe, Unlinked};
use overside::domain::blob::{Blob, Placement, Proof};
use overside::domain::clock::Clock;
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;
use overside::domain::name::RepositoryName;
use overside::domain::pace::{CopySizeLimit, Pace};
use overside::domain::part::{PartNumber, PartPlan, ReceivedPart};
use overside::domain::upload::{Claim, Failure, FailureCode, Lease, Proxied, State, Transfer, Upload};
use overside::domain::webhook::Occasion;
use uuid::Uuid;

type Case = fn(Arc<Db>) -> BoxFuture<'static, ()>;

pub fn cases() -> Vec<(&'static str, Case)> {
    let mut cases: Vec<(_, Case)> = vec![
        ("a_session_in_any_state_is_read_back_as_it_was_written", |db| any_state(db).boxed()),
        ("a_session_keeps_what_its_bytes_are_hashed_with", |db| digests::algorithm_kept(db).boxed()),
        ("a_session_may_learn_late_what_its_bytes_are_hashed_with", |db| {
            digests::algorithm_changed(db).boxed()
        }),
        ("a_swap_from_a_state_that_no_longer_stands_changes_nothing", |db| stale_swap(db).boxed()),
        ("of_sixteen_swaps_at_once_exactly_one_wins", |db| racing_swaps(db).boxed()),
        ("a_commit_is_all_or_nothing", |db| commit_all_or_nothing(db).boxed()),
        ("sixteen_commits_of_one_digest_make_one_blob_and_sixteen_links", |db| racing_commits(db).boxed()),
        ("stored_parts_come_back_in_order_and_the_last_write_counts", |db| parts(db).boxed()),
        ("the_cleaner_ends_what_is_due_and_nothing_else", |db| sweep::due(db).boxed()),
        ("cleaners_at_once_end_each_session_once", |db| sweep::two_cleaners(db).boxed()),
        ("a_redirected_session_is_looked_at_when_it_is_due_and_by_one_replica", |db| {
            redirected::looked_at(db).boxed()
        }),
        ("redirected_sessions_are_found_by_the_blob_that_they_declared", |db| {
            redirected::of_a_blob(db).boxed()
        }),
        ("sessions_are_found_together", |db| sweep::found_together(db).boxed()),
        ("forgotten_sessions_take_their_parts_along", |db| sweep::forget(db).boxed()),
        ("connections_that_die_while_idle_cost_no_request", |db| severed(db).boxed()),
        ("with_many_sessions_every_hot_statement_has_an_index", |db| plans::indexed(db).boxed()),
        ("a_blob_is_read_from_the_repositories_that_link_it_alone", |db| links(db).boxed()),
        ("a_blob_under_removal_is_neither_found_nor_linked_until_its_row_is_taken_over", |db| {
            removal::life_of_a_removal(db).boxed()
        }),
        ("the_row_of_a_removed_blob_stays_while_somebody_finalizes_as_it", |db| {
            removal::forgotten(db).boxed()
        }),
        ("a_tombstone_stands_exactly_where_no_repository_has_the_blob", |db| removal::tombstones(db).boxed()),
        ("a_wrong_tombstone_costs_no_blob", |db| removal::wrong_tombstone(db).boxed()),
        ("a_blob_that_is_being_placed_is_not_claimed", |db| removal::unplaced(db).boxed()),
        ("nobody_rests_on_a_blob_that_a_url_still_writes_to", |db| exposed::not_rested_on(db).boxed()),
        ("a_blob_whose_bytes_were_replaced_is_as_if_it_had_never_been_there", |db| {
            exposed::retracted(db).boxed()
        }),
        ("a_blob_whose_object_is_lost_is_taken_over_by_the_next_upload", |db| exposed::lost(db).boxed()),
        ("of_all_replicas_one_does_a_chore", |db| removal::chores(db).boxed()),
        ("the_repositories_that_have_a_blob_are_found_by_its_digest", |db| digests::repositories(db).boxed()),
        ("all_replicas_get_the_same_signing_key", |db| signing_key(db).boxed()),
        ("what_a_store_was_seen_to_do_is_kept_until_it_is_seen_anew", |db| probes(db).boxed()),
        ("a_full_database_says_so_and_goes_on_once_there_is_room", |db| full::recovers(db).boxed()),
        ("migrating_twice_and_at_once_is_fine", |db| migrate(db).boxed()),
        ("a_corrupt_row_is_named_by_table_column_and_row", |db| corrupt(db).boxed()),
    ];
    cases.extend(replicas::cases());
    cases.extend(audit::cases());
    cases.extend(settings::cases());
    cases.extend(manifests::cases());
    cases.extend(files::cases());
    cases.extend(listings::cases());
    cases.extend(quotas::cases());
    cases.extend(batches::cases());
    cases.extend(accounts::cases());
    cases
}

fn now() -> DateTime<Utc> {
    Clock::System.now()
}

/// Of what nobody in particular does now.
fn occasion() -> Occasion {
    Occasion { operator: String::new(), at: now() }
}

fn name(text: &str) -> RepositoryName {
    text.parse().expect("a valid name")
}

fn begun() -> Upload {
    let metadata = serde_json::json!({ "user_agent": "tést \"1\"" });
    Upload::begin(name("team/app/model"), None, metadata, now(), now() + TimeDelta::hours(1))
}

async fn inserted(db: &Db) -> Upload {
    let upload = begun();
    db.insert_upload(&upload, "temp/x/").await.expect("insert");
    upload
}

async fn find(db: &Db, upload: &Upload) -> Upload {
    db.find_upload(upload.id).await.expect("find").expect("the session is there")
}

/// Moves a fresh session to `state` and gives it as the database has it.
async fn in_state(db: &Db, state: State, expires_at: DateTime<Utc>) -> Upload {
    let before = inserted(db).await;
    let after = Upload { state, expires_at, ..before.clone() };
    assert!(db.swap_upload(&before, &after, now()).await.expect("swap"));
    find(db, &before).await
}

fn lease(expires_at: DateTime<Utc>) -> Lease {
    Lease { owner: Uuid::new_v4(), expires_at }
}

fn proxied() -> Transfer {
    Transfer::Proxied(Proxied {
        received: 9,
        hash_state: Hasher::default().save(),
        part_size: 8,
        store_upload_id: Some("store".into()),
        tail_id: Some(Uuid::new_v4()),
    })
}

fn finalizing(until: DateTime<Utc>) -> State {
    State::Finalizing { transfer: Transfer::Put, claim: Digest::EMPTY.into(), lease: lease(until) }
}

async fn any_state(db: Arc<Db>) {
    let plan = PartPlan::new(20 << 20, 0).expect("a plan");
    let multipart = Transfer::Multipart { plan, store_upload_id: "m".into() };
    let failure = Failure { code: FailureCode::DigestMismatch, message: "a: b".into() };
    let states = [
        State::Pending { store_asked: true },
        State::Uploading { transfer: Transfer::Put, append_lease: None },
        State::Uploading { transfer: Transfer::Redirected, append_lease: None },
        State::Uploading { transfer: multipart.clone(), append_lease: None },
        State::Uploading { transfer: proxied(), append_lease: Some(lease(now())) },
        State::Finalizing { transfer: multipart, claim: Digest::EMPTY.into(), lease: lease(now()) },
        State::Uploading {
            transfer: Transfer::OpenMultipart { store_upload_id: "m".into() },
            append_lease: None,
        },
        State::Finalizing {
            transfer: Transfer::Put,
            claim: Claim::Computed(Algorithm::Sha256),
            lease: lease(now()),
        },
        State::Completed { digest: Digest::EMPTY, size: 20 << 20 },
        State::Failed { failure },
        State::Aborted,
        State::Expired,
    ];
    for state in states {
        let before = inserted(&db).await;
        assert_eq!(find(&db, &before).await, before);
        let size = Some(20 << 20);
        let after = Upload { state, size, declared_digest: Some(Digest::EMPTY), ..before.clone() };
        assert!(db.swap_upload(&before, &after, before.updated_at).await.expect("swap"));
        assert_eq!(find(&db, &before).await, Upload { revision: 1, ..after });
    }
    assert_eq!(db.find_upload(begun().id).await.expect("find"), None);
}

async fn stale_swap(db: Arc<Db>) {
    let before = inserted(&db).await;
    let first = Upload { state: State::Aborted, ..before.clone() };
    let second = Upload { state: State::Expired, ..before.clone() };
    assert!(db.swap_upload(&before, &first, now()).await.expect("swap"));
    assert!(!db.swap_upload(&before, &second, now()).await.expect("swap"));
    assert_eq!(find(&db, &before).await.state, State::Aborted);
}

async fn racing_swaps(db: Arc<Db>) {
    let before = inserted(&db).await;
    let swaps = (0..16).map(|_| {
        let (db, before) = (Arc::clone(&db), before.clone());
        tokio::spawn(async move {
            let after = Upload { state: finalizing(now()), ..before.clone() };
            db.swap_upload(&before, &after, now()).await.expect("swap")
        })
    });
    let won = join_all(swaps).await.into_iter().filter(|won| *won.as_ref().expect("a task")).count();
    assert_eq!(won, 1);
}

fn blob(digest: Digest) -> Blob {
    Blob { digest, size: 3, proof: Proof::ReadBack, created_at: now(), placement: Placement::Placed }
}

async fn commit_all_or_nothing(db: Arc<Db>) {
    let digest = Digest::from_sha256([7; 32]);
    let before = in_state(&db, finalizing(now()), now()).await;
    let after = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..before.clone() };
    let stale = Upload { revision: before.revision - 1, ..before.clone() };
    assert_eq!(
        db.commit_blob(&stale, &after, &blob(digest), now(), None, None).await.expect("commit"),
        Committed::Overtaken
    );
    assert_eq!(db.find_blob(&digest).await.expect("find"), None);
    assert_eq!(find(&db, &before).await.state, before.state);
    assert_eq!(
        db.commit_blob(&before, &after, &blob(digest), now(), None, None).await.expect("commit"),
        Committed::Done
    );
    let found = db.find_link(&before.repository, &digest).await.expect("find").expect("the blob").blob;
    assert_eq!((found.size, found.proof), (3, Proof::ReadBack));
    for (byte, proof) in [(1, Proof::Streamed), (2, Proof::StoreChecksum), (3, Proof::StoreCopy)] {
        let before = in_state(&db, finalizing(now()), now()).await;
        let digest = Digest::from_sha256([byte; 32]);
        let after = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..before.clone() };
        let blob = Blob { digest, proof, ..blob(digest) };
        assert_eq!(
            db.commit_blob(&before, &after, &blob, now(), None, None).await.expect("commit"),
            Committed::Done
        );
        assert_eq!(db.find_blob(&digest).await.expect("find").map(|blob| blob.proof), Some(proof));
    }
    let again = db.commit_blob(&before, &after, &blob(digest), now(), None, None).await.expect("commit");
    assert_eq!(again, Committed::Overtaken, "not a second time");
}

async fn probes(db: Arc<Db>) {
    // To what both databases keep of a time.
    let at = |seconds: i64| DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time");
    let probe = |seen: &str, seconds| StoreProbe {
        capabilities: serde_json::json!({ "seen": seen }),
        probed_at: at(seconds),
    };
    assert_eq!(db.find_probe("one", 1).await.expect("find"), None);
    for (store, kept) in
        [("one", probe("first", 0)), ("another", probe("other", 1)), ("one", probe("second", 2))]
    {
        db.save_probe(store, 1, &kept).await.expect("save");
        assert_eq!(db.find_probe(store, 1).await.expect("find"), Some(kept));
    }
    assert_eq!(db.find_probe("another", 1).await.expect("find"), Some(probe("other", 1)));
    // Another version asks other questions.
    assert_eq!(db.find_probe("one", 2).await.expect("find"), None);
    db.save_probe("one", 2, &probe("third", 3)).await.expect("save");
    assert_eq!(db.find_probe("one", 1).await.expect("find"), None);
    assert_eq!(db.find_probe("one", 2).await.expect("find"), Some(probe("third", 3)));

    let largest = Some(CopySizeLimit { bytes: 8 << 20, until: at(9) });
    let pace = Pace { copying: Some(7), largest, ..Pace::default() };
    assert_eq!(db.find_pace("one").await.expect("find"), None);
    db.save_pace("one", &pace).await.expect("save");
    // The next probe asks other things.
    db.save_probe("one", 3, &probe("fourth", 4)).await.expect("save");
    assert_eq!(db.find_pace("one").await.expect("find"), Some(pace));
    db.save_pace("nobody's", &pace).await.expect("nothing to do");
    assert_eq!(db.find_pace("nobody's").await.expect("find"), None);
}

async fn racing_commits(db: Arc<Db>) {
    let digest = Digest::from_sha256([8; 32]);
    let commits = (0..16).map(|index| {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            let begun = Upload { repository: name(&format!("racing/{index}")), ..begun() };
            db.insert_upload(&begun, "temp/x/").await.expect("insert");
            let claimed = Upload { state: finalizing(now()), ..begun.clone() };
            assert!(db.swap_upload(&begun, &claimed, now()).await.expect("swap"));
            let claimed = find(&db, &begun).await;
            let done =
                Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..claimed.clone() };
            assert_eq!(
                db.commit_blob(&claimed, &done, &blob(digest), now(), None, None).await.expect("commit"),
                Committed::Done
            );
        })
    });
    for commit in join_all(commits).await {
        commit.expect("a commit");
    }
    for index in 0..16 {
        let linked = db.find_link(&name(&format!("racing/{index}")), &digest).await.expect("find");
        assert!(linked.is_some(), "racing/{index}");
    }
}

async fn parts(db: Arc<Db>) {
    let before = inserted(&db).await;
    let part = |number, etag: &str| ReceivedPart {
        number: PartNumber::new(number).expect("a number"),
        size: 5,
        etag: etag.into(),
    };
    let after =
        Upload { state: State::Uploading { transfer: proxied(), append_lease: None }, ..before.clone() };
    let stored = [part(10, "\"j\""), part(2, "b"), part(1, "a")];
    assert!(db.swap_upload_with_parts(&before, &after, &stored, now()).await.expect("swap"));
    let before = find(&db, &before).await;
    assert!(db.swap_upload_with_parts(&before, &after, &[part(2, "B")], now()).await.expect("swap"));
    // A swap that loses takes its parts back with it.
    assert!(!db.swap_upload_with_parts(&before, &after, &[part(3, "lost")], now()).await.expect("swap"));
    let stored = db.stored_parts(before.id).await.expect("parts");
    assert_eq!(stored, [part(1, "a"), part(2, "B"), part(10, "\"j\"")]);
}

async fn links(db: Arc<Db>) {
    let digest = Digest::from_sha256([5; 32]);
    let before = in_state(&db, finalizing(now()), now()).await;
    let after = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..before.clone() };
    assert_eq!(
        db.commit_blob(&before, &after, &blob(digest), now(), None, None).await.expect("commit"),
        Committed::Done
    );
    let other = name("team/other");
    assert_eq!(db.find_link(&other, &digest).await.expect("find"), None);
    assert!(db.link_blob(&other, &digest, now()).await.expect("link"));
    assert!(db.link_blob(&other, &digest, now()).await.expect("link again"));
    assert!(!db.link_blob(&other, &Digest::from_sha256([6; 32]), now()).await.expect("nothing to link"));
    assert!(db.find_link(&other, &digest).await.expect("find").is_some());
    for expected in [Unlinked::Done, Unlinked::Absent] {
        assert_eq!(db.unlink_blob(&before.repository, &digest, now()).await.expect("unlink"), expected);
    }
    assert_eq!(db.find_link(&before.repository, &digest).await.expect("find"), None);
    assert!(db.find_link(&other, &digest).await.expect("find").is_some());
}

async fn signing_key(db: Arc<Db>) {
    let first = db.signing_key("test", [1; 64], now()).await.expect("a key");
    assert_eq!(first, [1; 64]);
    assert_eq!(db.signing_key("test", [2; 64], now()).await.expect("a key"), first);
    let shorter = db.signing_key("test", [2; 32], now()).await;
    assert!(matches!(shorter, Err(DbError::Corrupt { table: "signing_key", .. })), "{shorter:?}");
}

async fn migrate(db: Arc<Db>) {
    let (first, second) = tokio::join!(db.migrate(), db.migrate());
    first.and(second).expect("migrated");
    assert!(db.is_migrated().await.expect("an answer"));
}

async fn corrupt(db: Arc<Db>) {
    const SQL: &str = "UPDATE blob_upload_session SET repository_name = '../x' WHERE upload_uuid = $1";
    let upload = inserted(&db).await;
    match &*db {
        Db::Postgres(pool) => sqlx::query(SQL).bind(upload.id.as_uuid()).execute(pool).await.map(drop),
        Db::Sqlite(pool) => sqlx::query(SQL).bind(upload.id.as_uuid()).execute(pool).await.map(drop),
    }
    .expect("update");
    let error = db.find_upload(upload.id).await.expect_err("corrupt").to_string();
    assert!(error.contains("blob_upload_session") && error.contains("repository_name"), "{error}");
    assert!(error.contains(&upload.id.to_string()), "{error}");
}

/// As a restart of PostgreSQL leaves the connections of a pool. A file has none to lose.
async fn severed(db: Arc<Db>) {
    const SEVER: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let Db::Postgres(pool) = &*db else { not_here("a file has no connections to lose") };
    let ask_at_once = || join_all((0..8).map(|_| db.find_upload(begun().id)));
    for answer in ask_at_once().await {
        answer.expect("an answer");
    }
    let mut other = pool.acquire().await.expect("a connection").detach();
    let severed = sqlx::query(SEVER).fetch_all(&mut other).await.expect("ended");
    assert!(severed.len() > 1, "{} connections", severed.len());
    // Longer than a connection is trusted for without a question.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for answer in ask_at_once().await {
        answer.expect("an answer all the same");
    }
}
