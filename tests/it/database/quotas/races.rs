//! Many at once, and a limit that holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use overside::db::{Db, DbError};
use overside::domain::digest::Digest;
use overside::domain::upload::{State, Upload};

use super::super::manifests::content;
use super::super::{begun, find, name, now, occasion};
use super::{PROJECT, commit, limit, project, recounted, usage, wanting};

/// Four times the connections that they share.
const CLIENTS: u8 = 32;
const ROUNDS: u8 = 8;

/// How many of these outcomes had room; any other failure is one of the test.
fn with_room<T>(outcomes: &[Result<T, DbError>]) -> usize {
    let is_done = |outcome: &Result<T, DbError>| match outcome {
        Ok(_) => true,
        Err(DbError::QuotaExceeded(_)) => false,
        Err(error) => panic!("{error:?}"),
    };
    outcomes.iter().filter(|outcome| is_done(outcome)).count()
}

pub async fn reservers(db: Arc<Db>) {
    limit(&db, PROJECT, 105, -1).await;
    for round in 0..ROUNDS {
        let uploads: Vec<_> = (0..CLIENTS).map(|_| wanting(10)).collect();
        let begins = uploads.iter().map(|upload| db.insert_upload(upload, "temp/x/"));
        assert_eq!(with_room(&join_all(begins).await), 10);
        assert_eq!(usage(&db, PROJECT).await, [u64::from(round), 100, 0]);
        let found = join_all(uploads.iter().map(|upload| db.find_upload(upload.id))).await;
        let open: Vec<_> = found.into_iter().filter_map(|found| found.expect("find")).collect();
        // One of them takes what is left; the limit has grown by what was stored before.
        let team = project(PROJECT);
        let more = open.iter().map(|upload| db.reserve(upload.id, &team, 15, 15));
        assert_eq!(with_room(&join_all(more).await), 1);
        assert_eq!(usage(&db, PROJECT).await, [u64::from(round), 105, 0]);
        commit(&db, &open[0], Digest::from_sha256([round; 32]), 1).await;
        let aborts = open[1..].iter().map(|upload| async {
            let upload = find(&db, upload).await;
            let aborted = Upload { state: State::Aborted, ..upload.clone() };
            db.swap_upload(&upload, &aborted, now()).await.expect("swap")
        });
        assert!(join_all(aborts).await.into_iter().all(|is_done| is_done));
        limit(&db, PROJECT, 106 + i64::from(round), -1).await;
    }
    assert_eq!(usage(&db, PROJECT).await, [u64::from(ROUNDS), 0, 0]);
}

/// What one client did not have room for.
type Outcome = Result<(), DbError>;

/// Pushes, mounts, tags and sessions of every end, at once, against one limit; nothing waits in a circle.
pub async fn mixed(db: Arc<Db>) {
    const LIMIT: i64 = 2_000;
    for byte in 0..CLIENTS {
        let upload = Upload { repository: name("source/app"), ..begun() };
        db.insert_upload(&upload, "temp/x/").await.expect("insert");
        commit(&db, &upload, Digest::from_sha256([byte; 32]), 100).await;
    }
    limit(&db, PROJECT, LIMIT, 20).await;
    let clients = (0..CLIENTS).map(|client| {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            let (mut done, mut refused) = (0, 0);
            for round in 0..ROUNDS {
                match one_step(&db, client, round).await {
                    Ok(()) => done += 1,
                    Err(DbError::QuotaExceeded(_)) => refused += 1,
                    Err(error) => panic!("{error:?}"),
                }
                let [bytes, reserved, tags] = recounted(&db, PROJECT).await;
                assert!(bytes + reserved <= LIMIT.unsigned_abs() && tags <= 20, "{bytes} {reserved} {tags}");
            }
            (done, refused)
        })
    });
    let outcomes = join_all(clients).await.into_iter().map(|outcome| outcome.expect("a client"));
    let (done, refused) = outcomes.fold((0, 0), |sum, (done, refused)| (sum.0 + done, sum.1 + refused));
    assert!(done > 20 && refused > 20, "{done} done, {refused} refused: both are looked at");
}

async fn one_step(db: &Db, client: u8, round: u8) -> Outcome {
    let repository = name(&format!("team/{}", client % 4));
    let digest = Digest::from_sha256([client.wrapping_add(round) % CLIENTS; 32]);
    match (client + round) % 4 {
        0 => {
            let upload = Upload { repository, ..wanting(150) };
            db.insert_upload(&upload, "temp/x/").await?;
            commit(db, &upload, Digest::from_sha256([100 + client; 32]), 150).await;
            Ok(())
        }
        1 => db.link_blob(&repository, &digest, now()).await.map(drop),
        2 => {
            let tag = format!("t{client}-{round}").parse().expect("a tag");
            let index = content(&serde_json::json!({
                "schemaVersion": 2, "manifests": [], "number": [client, round],
            }));
            let tags = [tag].into();
            let (manifest, payload) = (index.manifest.into(), index.payload.into());
            let occasion = occasion();
            let push = db.push_manifest(&repository, &index.digest, manifest, payload, &tags, &occasion);
            push.await.map(drop)
        }
        _ => {
            db.unlink_blob(&repository, &digest, now()).await?;
            let upload = Upload { repository, ..wanting(300) };
            db.insert_upload(&upload, "temp/x/").await?;
            let aborted = Upload { state: State::Aborted, ..upload.clone() };
            assert!(db.swap_upload(&upload, &aborted, now()).await.expect("swap"));
            Ok(())
        }
    }
}

pub async fn folding(db: Arc<Db>) {
    limit(&db, PROJECT, 1_000_000, -1).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let folders = (0..3).map(|_| {
        let (db, is_over) = (Arc::clone(&db), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut folds = 0;
            while !is_over.load(Ordering::Relaxed) {
                db.fold_usage(&project(PROJECT)).await.expect("fold");
                recounted(&db, PROJECT).await;
                folds += 1;
            }
            folds
        })
    });
    let folders: Vec<_> = folders.collect();
    let writers = (0..8_u8).map(|client| {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            for round in 0..30_u8 {
                let upload = wanting(7);
                db.insert_upload(&upload, "temp/x/").await.expect("room");
                let mut bytes = [0; 32];
                (bytes[0], bytes[1]) = (client, round);
                commit(&db, &upload, Digest::from_sha256(bytes), 5).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.expect("a writer");
    }
    is_over.store(true, Ordering::Relaxed);
    let folds: i32 = join_all(folders).await.into_iter().map(|folds| folds.expect("a folder")).sum();
    assert!(folds >= 3, "{folds}");
    assert_eq!(usage(&db, PROJECT).await, [8 * 30 * 5, 0, 0]);
    assert!(!db.fold_usage(&project(PROJECT)).await.expect("fold"));
    assert_eq!(db.projects_to_fold("", 2, 10).await.expect("names"), [], "one row is left");
    assert_eq!(db.projects_to_fold("", 1, 10).await.expect("names"), [project(PROJECT)]);
    // More than one batch, and what sums up to nothing leaves nothing.
    for _ in 0..2_000 {
        let upload = wanting(1);
        db.insert_upload(&upload, "temp/x/").await.expect("room");
        let aborted = Upload { state: State::Aborted, ..upload.clone() };
        assert!(db.swap_upload(&upload, &aborted, now()).await.expect("swap"));
    }
    // Those that sum have folded on their way.
    assert_eq!(db.projects_to_fold("", 1_000, 10).await.expect("names"), []);
    while db.fold_usage(&project(PROJECT)).await.expect("fold") {}
    assert_eq!(db.projects_to_fold("", 2, 10).await.expect("names"), []);
    assert_eq!(usage(&db, PROJECT).await, [8 * 30 * 5, 0, 0]);
}
