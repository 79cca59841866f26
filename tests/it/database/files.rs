//! Files by their paths, and the marks on the links of blobs that no path names any more.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use overside::db::{Db, Unlinked};
use overside::domain::digest::Digest;
use overside::domain::file::{DirectoryEntry, NewFile, StoredFile};
use overside::domain::path::{Directory, FilePath};

use super::manifests::{NAME, content, push, stored_blob};
use super::{Case, name, now, occasion};

const CLIENTS: u8 = 16;
const ROUNDS: u8 = 24;

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a_file_is_read_back_as_its_last_writer_left_it", |db| read_back(db).boxed()),
        ("a_path_names_what_its_repository_has_and_nothing_else", |db| missing(db).boxed()),
        ("a_directory_is_listed_in_pages_however_much_lies_below_it", |db| listed(db).boxed()),
        ("a_blob_is_marked_when_its_last_path_goes", |db| marked(db).boxed()),
        ("a_file_holds_its_blob_whatever_the_collector_does_meanwhile", |db| collected(db).boxed()),
        ("writers_of_one_path_leave_no_blob_behind_that_nothing_holds", |db| overwritten(db).boxed()),
        ("deleting_a_directory_takes_what_lies_below_it_and_nothing_beside_it", |db| deleted(db).boxed()),
        ("writers_and_deleters_of_the_same_files_do_not_lock_each_other_out", |db| crowd(db).boxed()),
    ]
}

fn path(text: &str) -> FilePath {
    text.parse().expect("a path")
}

fn directory(text: &str) -> Directory {
    if text.is_empty() { Directory::ROOT } else { path(text).into() }
}

fn file(text: &str, digest: Digest) -> NewFile {
    NewFile {
        path: path(text),
        digest,
        media_type: "text/plain".parse().expect("a type"),
        updated_by: Some("alice".to_owned()),
    }
}

async fn put(db: &Db, text: &str, digest: Digest) -> bool {
    db.put_file(&name(NAME), &file(text, digest), now()).await.expect("put")
}

async fn delete(db: &Db, text: &str) -> bool {
    db.delete_file(&name(NAME), &path(text), now()).await.expect("delete")
}

async fn find(db: &Db, text: &str) -> Option<StoredFile> {
    db.find_file(&name(NAME), &path(text)).await.expect("find")
}

async fn is_marked(db: &Db, digest: &Digest) -> Option<bool> {
    db.find_link(&name(NAME), digest).await.expect("find").map(|link| link.is_unreferenced)
}

async fn below(db: &Db, text: &str) -> Vec<String> {
    let files = db.files_below(&name(NAME), &directory(text), None, 1000).await.expect("files");
    files.into_iter().map(|file| file.path.to_string()).collect()
}

async fn read_back(db: Arc<Db>) {
    let (first, second) = (stored_blob(&db, 1).await, stored_blob(&db, 2).await);
    assert_eq!(find(&db, "a/B.txt").await, None);
    assert!(put(&db, "a/B.txt", first).await);
    let found = find(&db, "a/B.txt").await.expect("it is there");
    assert_eq!((found.digest, found.size, found.media_type.as_str()), (first, 3, "text/plain"));
    assert_eq!((found.path, found.updated_by.as_deref()), (path("a/B.txt"), Some("alice")));
    for other in ["a/b.txt", "a", "a/B.txt/c"] {
        assert_eq!(find(&db, other).await, None, "{other}");
    }
    let again =
        NewFile { updated_by: None, media_type: "a/b".parse().expect("one"), ..file("a/B.txt", second) };
    assert!(db.put_file(&name(NAME), &again, now()).await.expect("put"));
    let found = find(&db, "a/B.txt").await.expect("it is there");
    assert_eq!((found.digest, found.updated_by, found.media_type.as_str()), (second, None, "a/b"));
    let longest = format!("{}/\u{e4}", "\u{10ffff}".repeat(255));
    assert!(put(&db, &longest, first).await);
    assert_eq!(below(&db, "").await, ["a/B.txt".to_owned(), longest.clone()]);
    assert!(delete(&db, &longest).await && !delete(&db, &longest).await);
}

async fn missing(db: Arc<Db>) {
    let there = stored_blob(&db, 1).await;
    assert!(!put(&db, "a", Digest::from_sha256([2; 32])).await);
    let other = name("team/other");
    assert!(!db.put_file(&other, &file("a", there), now()).await.expect("put"), "another repository has it");
    assert_eq!(db.find_file(&other, &path("a")).await.expect("find"), None);
    assert!(put(&db, "a", there).await);
    assert!(!put(&db, "a", Digest::from_sha256([2; 32])).await);
    assert_eq!(find(&db, "a").await.map(|file| file.digest), Some(there), "nothing was written");
}

async fn listed(db: Arc<Db>) {
    let digest = stored_blob(&db, 1).await;
    let mut names: Vec<_> = (0..40).map(|number| format!("runs/{}/model/{number}", number % 4)).collect();
    // Before and after the slash in the order of bytes, beyond ASCII, and a file that is called like a directory.
    names.extend(
        ["runs", "runs!", "runs.txt", "runs0", "runs/1", "runs/\u{e4}/b", "runs/\u{e4}!", "z"]
            .map(str::to_owned),
    );
    for name in &names {
        assert!(put(&db, name, digest).await);
    }
    names.sort_unstable();
    assert_eq!(below(&db, "").await, names);
    let within: Vec<_> = names.iter().filter(|name| name.starts_with("runs/")).cloned().collect();
    assert_eq!(below(&db, "runs").await, within);
    assert_eq!(below(&db, "run").await, Vec::<String>::new());
    for limit in [1, 2, 3, 100] {
        let (mut found, mut from) = (Vec::new(), None::<String>);
        loop {
            let page = db.files_below(&name(NAME), &directory("runs"), from.as_deref(), limit).await;
            let page = page.expect("a page");
            let Some(last) = page.last() else { break };
            from = Some(last.next());
            found.extend(page.into_iter().map(|file| file.path.to_string()));
        }
        assert_eq!(found, within, "{limit} a page");
        for (parent, expected) in [
            ("", vec!["runs", "runs!", "runs.txt", "runs/", "runs0", "z"]),
            (
                "runs",
                vec!["runs/0/", "runs/1", "runs/1/", "runs/2/", "runs/3/", "runs/\u{e4}!", "runs/\u{e4}/"],
            ),
            ("runs/1", vec!["runs/1/model/"]),
            ("runs/\u{e4}", vec!["runs/\u{e4}/b"]),
            ("z", vec![]),
            ("nowhere", vec![]),
        ] {
            let (mut found, mut from) = (Vec::new(), None::<String>);
            loop {
                let page =
                    db.directory_entries(&name(NAME), &directory(parent), from.as_deref(), limit).await;
                let page = page.expect("a page");
                assert!(page.len() <= limit as usize);
                let Some(last) = page.last() else { break };
                from = Some(last.next());
                found.extend(page.iter().map(|entry| match entry {
                    DirectoryEntry::File(file) => file.path.to_string(),
                    DirectoryEntry::Directory(path) => format!("{path}/"),
                }));
            }
            assert_eq!(found, expected, "{parent}, {limit} a page");
        }
    }
}

async fn marked(db: Arc<Db>) {
    let (one, other) = (stored_blob(&db, 1).await, stored_blob(&db, 2).await);
    for text in ["a", "b"] {
        assert!(put(&db, text, one).await);
    }
    assert_eq!(db.unlink_blob(&name(NAME), &one, now()).await.expect("unlink"), Unlinked::Needed);
    assert!(put(&db, "a", other).await);
    assert_eq!((is_marked(&db, &one).await, is_marked(&db, &other).await), (Some(false), Some(false)));
    assert!(put(&db, "b", other).await);
    assert_eq!((is_marked(&db, &one).await, is_marked(&db, &other).await), (Some(true), Some(false)));
    // A put takes the mark away, the same one again leaves it away, and a manifest counts as well.
    assert!(put(&db, "b", one).await && put(&db, "b", one).await);
    assert_eq!(is_marked(&db, &one).await, Some(false));
    let manifest = content(&serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "digest": one, "size": 3 }, "layers": [],
    }));
    push(&db, &manifest, &[]).await;
    assert!(delete(&db, "b").await);
    assert_eq!(is_marked(&db, &one).await, Some(false));
    db.delete_manifest(&name(NAME), &manifest.digest, &occasion()).await.expect("delete");
    assert_eq!((is_marked(&db, &one).await, is_marked(&db, &other).await), (Some(true), Some(false)));
    push(&db, &manifest, &[]).await;
    assert!(put(&db, "b", one).await);
    db.delete_manifest(&name(NAME), &manifest.digest, &occasion()).await.expect("delete");
    assert_eq!(is_marked(&db, &one).await, Some(false), "a file needs it");
}

/// Either the file is there and so is its blob, or neither could be put.
async fn collected(db: Arc<Db>) {
    let digest = stored_blob(&db, 1).await;
    assert!(put(&db, "a", digest).await);
    let collect = async |db: &Db| db.unlink_unneeded(now(), now(), 100).await.expect("unlink").1;
    assert_eq!(collect(&db).await, 0);
    for round in 0..ROUNDS {
        assert!(delete(&db, "a").await);
        let (is_put, _) = tokio::join!(put(&db, "a", digest), collect(&db));
        let is_linked = db.find_link(&name(NAME), &digest).await.expect("find").is_some();
        assert_eq!((find(&db, "a").await.is_some(), is_linked), (is_put, is_put), "round {round}");
        if !is_put {
            assert!(db.link_blob(&name(NAME), &digest, now()).await.expect("link"));
            assert!(put(&db, "a", digest).await);
        }
        assert_eq!(is_marked(&db, &digest).await, Some(false));
    }
    // A mark that is wrong takes no blob that a path names.
    assert!(delete(&db, "a").await);
    assert_eq!(collect(&db).await, 1);
    assert_eq!(is_marked(&db, &digest).await, None);
}

async fn overwritten(db: Arc<Db>) {
    let mut blobs = Vec::new();
    for byte in 0..CLIENTS {
        blobs.push(stored_blob(&db, byte).await);
    }
    for round in 0..ROUNDS / 4 {
        if round % 2 == 0 {
            delete(&db, "a").await;
        }
        for is_put in join_all(blobs.iter().map(|digest| put(&db, "a", *digest))).await {
            assert!(is_put);
        }
        let left = find(&db, "a").await.expect("it is there").digest;
        for digest in &blobs {
            assert_eq!(is_marked(&db, digest).await, Some(*digest != left), "round {round}");
        }
    }
}

async fn deleted(db: Arc<Db>) {
    let (one, other) = (stored_blob(&db, 1).await, stored_blob(&db, 2).await);
    for number in 0..10 {
        assert!(put(&db, &format!("a/b/{number}"), one).await);
    }
    for beside in ["a/b", "a/b!", "a/b0", "a/c/d"] {
        assert!(put(&db, beside, other).await);
    }
    let (mut from, mut counts) = (None, Vec::new());
    loop {
        let batch = db.delete_files_below(&name(NAME), &directory("a/b"), from.as_deref(), now(), 4).await;
        let batch = batch.expect("a batch");
        counts.push(batch.deleted);
        from = batch.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(counts, [4, 4, 2]);
    assert_eq!(below(&db, "").await, ["a/b", "a/b!", "a/b0", "a/c/d"]);
    assert_eq!((is_marked(&db, &one).await, is_marked(&db, &other).await), (Some(true), Some(false)));
    let all = db.delete_files_below(&name(NAME), &Directory::ROOT, None, now(), 100).await.expect("a batch");
    assert_eq!((all.deleted, all.next), (4, None));
    assert_eq!(is_marked(&db, &other).await, Some(true));
}

async fn crowd(db: Arc<Db>) {
    let mut blobs = Vec::new();
    for byte in 0..4 {
        blobs.push(stored_blob(&db, byte).await);
    }
    let clients = (0..CLIENTS).map(|client| {
        let (db, blobs) = (Arc::clone(&db), blobs.clone());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let number = usize::from(client + round);
                let text = format!("d{}/f{}", number % 2, number % 5);
                match number % 4 {
                    0 => drop(delete(&db, &text).await),
                    1 => {
                        let directory = directory(&format!("d{}", number % 2));
                        let deleted = db.delete_files_below(&name(NAME), &directory, None, now(), 3).await;
                        deleted.expect("a batch");
                    }
                    _ => assert!(put(&db, &text, blobs[number % blobs.len()]).await),
                }
            }
        })
    });
    for client in join_all(clients).await {
        client.expect("no statement failed");
    }
    let files = db.files_below(&name(NAME), &Directory::ROOT, None, 100).await.expect("files");
    for digest in blobs {
        let is_needed = files.iter().any(|file| file.digest == digest);
        let is_marked = is_marked(&db, &digest).await.expect("it is linked");
        // One that nothing ever named keeps no mark.
        assert!(!(is_needed && is_marked), "{digest}");
    }
}
