//! Many at once: sessions of a batch, links of many blobs; and locks on files.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{SubsecRound, TimeDelta};
use futures_util::future::{FutureExt, join_all};
use overside::db::{Db, DeletedProject, NewSession, Reader, Unlinked};
use overside::domain::access::Role;
use overside::domain::digest::Digest;
use overside::domain::file_lock::FileLock;
use overside::domain::upload::{BatchDoor, State, Transfer, Upload};

use super::manifests::{NAME, stored_blob};
use super::quotas::{limit, usage};
use super::{Case, begun, find, name, now};

const DOOR: BatchDoor = BatchDoor::Lfs;

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("sessions_of_a_batch_are_found_by_their_user_door_and_digest", |db| found(db).boxed()),
        ("of_a_batch_of_sessions_those_are_begun_that_fit", |db| fitting(db).boxed()),
        ("sessions_of_many_projects_are_inserted_at_once_but_for_those_of_limited_ones", |db| {
            together(db).boxed()
        }),
        ("batches_at_once_never_exceed_a_limit", |db| racing(db).boxed()),
        ("many_links_are_found_and_made_as_each_of_them_would_be", |db| linked(db).boxed()),
        ("a_file_is_locked_by_one_at_a_time", |db| locked(db).boxed()),
    ]
}

fn digest(byte: u8) -> Digest {
    Digest::from_sha256([byte; 32])
}

/// A session that waits for one PUT of so many bytes.
fn session(user: Option<&str>, byte: u8, size: u64) -> NewSession {
    let upload = Upload {
        user_id: user.map(str::to_owned),
        declared_digest: Some(digest(byte)),
        size: Some(size),
        reserved: size,
        state: State::Uploading { transfer: Transfer::Put, append_lease: None },
        ..begun()
    };
    NewSession { upload, temp_path: "temp/x/".to_owned(), door: Some(DOOR) }
}

async fn begin(db: &Db, sessions: &[NewSession]) -> Vec<bool> {
    let begun = db.insert_uploads(sessions).await.expect("an answer");
    begun.iter().map(Result::is_ok).collect()
}

async fn found(db: Arc<Db>) {
    let at = |user: Option<&'static str>, bytes: Vec<u8>| {
        let db = Arc::clone(&db);
        async move {
            let digests: Vec<_> = bytes.into_iter().map(digest).collect();
            db.batched_uploads(&name("team/app/model"), user, &digests, DOOR, 10).await.expect("an answer")
        }
    };
    assert_eq!(begin(&db, &[]).await, Vec::<bool>::new());
    let sessions = [session(Some("alice"), 1, 10), session(Some("alice"), 2, 0)];
    assert_eq!(begin(&db, &sessions).await, [true, true]);
    assert_eq!(begin(&db, &[session(None, 1, 10)]).await, [true]);
    // One that came through another door is none of them.
    let other = session(Some("alice"), 3, 10).upload;
    db.insert_upload(&other, "temp/x/").await.expect("insert");
    let ids = |uploads: &[Upload]| uploads.iter().map(|upload| upload.id).collect::<HashSet<_>>();
    let both = at(Some("alice"), vec![1, 2, 3, 4]).await;
    assert_eq!(ids(&both), ids(&[sessions[0].upload.clone(), sessions[1].upload.clone()]));
    let same = |found: &Upload| {
        let asked = sessions.iter().map(|session| &session.upload).find(|upload| upload.id == found.id);
        asked.is_some_and(|asked| {
            (asked.size, asked.declared_digest, &asked.state, &asked.metadata)
                == (found.size, found.declared_digest, &found.state, &found.metadata)
        })
    };
    assert!(both.iter().all(same), "{both:?}");
    assert_eq!(at(None, vec![1, 2]).await.len(), 1);
    assert_eq!(at(Some("bob"), vec![1, 2]).await, vec![]);
    let elsewhere = db.batched_uploads(&name("team/other"), Some("alice"), &[digest(1)], DOOR, 10).await;
    assert_eq!(elsewhere.expect("an answer"), vec![]);
    let elsewhere =
        db.batched_uploads(&name("team/app/model"), Some("alice"), &[digest(1)], BatchDoor::Hub, 10).await;
    assert_eq!(elsewhere.expect("an answer"), vec![]);

    // Put off, never back, and only while it waits.
    let (later, earlier) = (now() + TimeDelta::hours(5), now() + TimeDelta::minutes(5));
    let ended = find(&db, &sessions[1].upload).await;
    let aborted = Upload { state: State::Aborted, ..ended.clone() };
    assert!(db.swap_upload(&ended, &aborted, now()).await.expect("swap"));
    for end in [later, earlier] {
        db.prolong_uploads(&[sessions[0].upload.id, ended.id], end, now()).await.expect("an answer");
    }
    let prolonged = find(&db, &sessions[0].upload).await;
    assert_eq!((prolonged.expires_at.timestamp_millis(), prolonged.revision), (later.timestamp_millis(), 1));
    assert!(find(&db, &ended).await.expires_at < later);
    assert_eq!(
        ids(&at(Some("alice"), vec![1, 2]).await),
        ids(&[prolonged]),
        "one that has ended is not found"
    );
}

async fn fitting(db: Arc<Db>) {
    super::accounts::project(&db, "team", false).await;
    assert_eq!(begin(&db, &[session(None, 9, 500)]).await, [true]);
    assert_eq!(usage(&db, "team").await, [0, 0, 0], "where nothing limits it nothing is held");
    limit(&db, "team", 100, -1).await;
    let sessions = [60, 50, 40, 1, 0].map(|size| session(Some("alice"), 1, size));
    assert_eq!(begin(&db, &sessions).await, [true, false, true, false, true]);
    assert_eq!(usage(&db, "team").await, [0, 100, 0]);
    assert_eq!(begin(&db, &[session(Some("alice"), 2, 1)]).await, [false]);
    for NewSession { upload, .. } in [&sessions[0], &sessions[2]] {
        let before = find(&db, upload).await;
        assert_eq!(Some(before.reserved), upload.size);
        let after = Upload { state: State::Aborted, ..before.clone() };
        assert!(db.swap_upload(&before, &after, now()).await.expect("swap"));
    }
    assert_eq!(usage(&db, "team").await, [0, 0, 0]);
}

/// As different as sessions can be when they begin, in one statement.
async fn together(db: Arc<Db>) {
    super::accounts::project(&db, "limited", false).await;
    limit(&db, "limited", 100, -1).await;
    let of = |repository: &str, session: NewSession| NewSession {
        upload: Upload { repository: name(repository), ..session.upload },
        ..session
    };
    let plain = NewSession { upload: begun(), temp_path: "temp/y/".to_owned(), door: None };
    let sessions = [
        session(Some("alice"), 1, 10),
        plain,
        of("limited/a", session(None, 2, 10)),
        of("limited/b", session(None, 3, 0)),
        of("other/c", session(Some("bob"), 4, 1 << 40)),
    ];
    assert_eq!(db.insert_unlimited(&sessions).await.expect("an answer"), [true, true, false, true, true]);
    for (number, NewSession { upload, .. }) in sessions.iter().enumerate() {
        let found = db.find_upload(upload.id).await.expect("an answer");
        if number == 2 {
            assert_eq!(found, None, "it waits for room");
            continue;
        }
        // The databases keep microseconds.
        let kept = |upload: &Upload| Upload {
            created_at: now(),
            updated_at: now(),
            expires_at: upload.expires_at.trunc_subsecs(3),
            reserved: 0,
            ..upload.clone()
        };
        let (found, upload) = (kept(&found.expect("a session")), kept(upload));
        assert_eq!(Upload { created_at: upload.created_at, updated_at: upload.updated_at, ..found }, upload);
    }
    assert_eq!(usage(&db, "limited").await, [0, 0, 0]);
}

async fn racing(db: Arc<Db>) {
    super::accounts::project(&db, "team", false).await;
    limit(&db, "team", 1_000, -1).await;
    let batches = (0..8_u8).map(|batch| {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            let sessions: Vec<_> = (0..10).map(|number| session(None, batch * 10 + number, 30)).collect();
            begin(&db, &sessions).await.into_iter().filter(|begun| *begun).count()
        })
    });
    let begun: usize = join_all(batches).await.into_iter().map(|begun| begun.expect("a task")).sum();
    assert_eq!(begun, 33);
    assert_eq!(usage(&db, "team").await, [0, 990, 0]);
}

async fn linked(db: Arc<Db>) {
    let stored = [stored_blob(&db, 1).await, stored_blob(&db, 2).await, stored_blob(&db, 3).await];
    let all: Vec<_> = stored.iter().copied().chain([digest(200)]).collect();
    let links = async |repository: &str| {
        let links = db.find_links(&name(repository), &all).await.expect("an answer");
        links.into_iter().map(|link| link.blob.digest).collect::<HashSet<_>>()
    };
    let everything: HashSet<_> = stored.into_iter().collect();
    assert_eq!(links(NAME).await, everything);
    assert_eq!(links("other/app").await, HashSet::new());

    let readable = async |reader: Reader| {
        let found = db.readable_blobs(&all, &reader, 16).await.expect("an answer");
        found.into_keys().collect::<HashSet<_>>()
    };
    let of_all = Reader { is_all: true, ..Reader::default() };
    assert_eq!(readable(of_all).await, everything);
    assert_eq!(readable(Reader::default()).await, HashSet::new());
    let user = super::accounts::user(&db, "alice").await;
    let alice = Reader { user: Some(user), ..Reader::default() };
    let project = super::accounts::project(&db, "team", false).await;
    assert_eq!(readable(alice.clone()).await, HashSet::new());
    db.insert_member(project, user, Role::Guest, now()).await.expect("a member");
    assert_eq!(readable(alice).await, everything);
    let of_team = Reader { projects: vec!["team".parse().expect("a name")], ..Reader::default() };
    assert_eq!(readable(of_team).await, everything);
    let named = db.blobs_of_any(&all, &[name("x/y"), name(NAME)]).await.expect("an answer");
    assert_eq!(named.into_keys().collect::<HashSet<_>>(), everything);
    assert!(db.blobs_of_any(&all, &[name("x/y")]).await.expect("an answer").is_empty());

    // As many as fit, and what a project has already fits always.
    super::accounts::project(&db, "small", false).await;
    limit(&db, "small", 7, -1).await;
    let linked = db.link_blobs(&name("small/one"), &all, false, now()).await.expect("an answer");
    assert_eq!(linked.len(), 2, "each has three bytes: {linked:?}");
    assert!(linked.values().all(|size| *size == 3));
    let again = db.link_blobs(&name("small/two"), &all, false, now()).await.expect("an answer");
    assert_eq!(again.keys().collect::<HashSet<_>>(), linked.keys().collect::<HashSet<_>>());
    assert_eq!(usage(&db, "small").await[0], 6);
    let at_once = join_all((0..6).map(|number| {
        let (db, all) = (Arc::clone(&db), all.clone());
        tokio::spawn(async move {
            let repository = name(&format!("large/{}", number % 3));
            db.link_blobs(&repository, &all, false, now()).await.expect("an answer").len()
        })
    }));
    assert!(at_once.await.into_iter().all(|linked| linked.expect("a task") == 3));
    // One that no repository has any more is not linked: whoever wants it sends it.
    for repository in [NAME, "small/one", "small/two", "large/0", "large/1", "large/2"] {
        let unlinked = db.unlink_blob(&name(repository), &stored[0], now()).await.expect("unlink");
        assert!(matches!(unlinked, Unlinked::Done | Unlinked::Absent));
    }
    let linked = db.link_blobs(&name("large/0"), &all, false, now()).await.expect("an answer");
    assert_eq!(linked.keys().copied().collect::<HashSet<_>>(), HashSet::from([stored[1], stored[2]]));
}

async fn locked(db: Arc<Db>) {
    let repository = name("team/app/model");
    let lock = |path: &str, owner: Option<&str>| FileLock::new(path, owner, now()).expect("a path");
    let at_once = join_all((0..8).map(|_| {
        let (db, repository, lock) = (Arc::clone(&db), repository.clone(), lock("a.bin", Some("alice")));
        tokio::spawn(async move { db.insert_file_lock(&repository, &lock).await.expect("an answer") })
    }));
    let won = at_once.await.into_iter().filter(|won| *won.as_ref().expect("a task")).count();
    assert_eq!(won, 1);
    let held = db.find_file_lock_of(&repository, "a.bin").await.expect("an answer").expect("a lock");
    assert_eq!((held.path.as_str(), held.owner.as_deref()), ("a.bin", Some("alice")));
    assert_eq!(db.find_file_lock(&repository, held.id).await.expect("an answer"), Some(held.clone()));
    assert_eq!(db.find_file_lock(&name("team/other"), held.id).await.expect("an answer"), None);
    for (path, owner) in [("Z.bin", Some("bob")), ("b.bin", Some("bob")), ("c.bin", None)] {
        assert!(db.insert_file_lock(&repository, &lock(path, owner)).await.expect("an answer"));
    }
    let page = async |last: &str, limit: u32| {
        let locks = db.file_locks(&repository, last, limit).await.expect("an answer");
        locks.into_iter().map(|lock| lock.path).collect::<Vec<_>>()
    };
    assert_eq!(page("", 10).await, ["Z.bin", "a.bin", "b.bin", "c.bin"], "byte by byte");
    assert_eq!(page("Z.bin", 2).await, ["a.bin", "b.bin"]);

    let delete = async |owner: Option<&str>, forced: bool| {
        db.delete_file_lock(&repository, held.id, owner, forced).await.expect("an answer")
    };
    assert_eq!((delete(Some("bob"), false).await, delete(None, false).await), (false, false));
    assert_eq!((delete(Some("alice"), false).await, delete(Some("bob"), true).await), (true, false));
    let user = super::accounts::user(&db, "bob").await;
    assert_eq!(page("", 10).await, ["c.bin"], "who has just come to have the name has locked nothing");
    assert!(db.insert_file_lock(&repository, &lock("d.bin", Some("bob"))).await.expect("an answer"));
    db.delete_user(user, now()).await.expect("an answer");
    assert_eq!(page("", 10).await, ["c.bin"]);
    let project = super::accounts::project(&db, "team", false).await;
    assert_eq!(db.delete_project(project, -1, now()).await.expect("an answer"), DeletedProject::Done);
    assert_eq!(page("", 10).await, Vec::<String>::new());
}
