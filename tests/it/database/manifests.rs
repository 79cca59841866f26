//! Manifests, their tags, and the marks on the links of blobs that no manifest needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use overside::db::{Committed, Db, Deleted, ManifestDescription, Pushed, StoredManifest, Unlinked};
use overside::domain::digest::{Algorithm, Digest};
use overside::domain::hash::Hasher;
use overside::domain::manifest::Manifest;
use overside::domain::name::RepositoryName;
use overside::domain::reference::{Reference, Tag};
use overside::domain::upload::{State, Upload};
use serde_json::{Value, json};

use super::{Case, blob, finalizing, in_state, name, now, occasion};

/// Where [`stored_blob`] puts its blobs.
pub const NAME: &str = "team/app/model";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Clients at once; four times the connections that they share.
const CLIENTS: u8 = 32;
const ROUNDS: u8 = 24;

pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a_manifest_is_read_back_by_tag_and_by_digest", |db| read_back(db).boxed()),
        ("a_manifest_that_lacks_something_is_not_written", |db| missing(db).boxed()),
        ("a_deleted_manifest_takes_its_own_tags_along", |db| deleted(db).boxed()),
        ("a_blob_is_marked_when_its_last_manifest_goes", |db| marked(db).boxed()),
        ("deletions_at_once_mark_what_they_shared", |db| marked_at_once(db).boxed()),
        ("a_blob_is_marked_whatever_overtakes_the_deletion_of_its_manifest", |db| overtaken(db).boxed()),
        ("thirty_two_clients_of_the_same_blobs_do_not_lock_each_other_out", |db| crowd(db).boxed()),
        ("tags_may_move_while_their_manifest_is_deleted", |db| moved_and_deleted(db).boxed()),
    ]
}

/// A manifest and its bytes.
#[derive(Debug, Clone)]
pub struct Content {
    pub digest: Digest,
    pub manifest: Manifest,
    pub payload: Vec<u8>,
}

pub fn content(fields: &Value) -> Content {
    let payload = fields.to_string().into_bytes();
    let manifest = Manifest::read(&payload, None).expect("a manifest");
    Content { digest: Hasher::digest(Algorithm::Sha256, &payload), manifest, payload }
}

/// An image of these blobs that is like no other of its number.
fn image(blobs: &[Digest], number: u8) -> Content {
    let layers: Vec<_> = blobs.iter().map(|digest| json!({ "digest": digest, "size": 3 })).collect();
    content(&json!({
        "schemaVersion": 2, "mediaType": IMAGE, "config": layers[0], "layers": layers[1..], "number": number,
    }))
}

pub fn index(manifests: &[Digest], number: u8) -> Content {
    let manifests: Vec<_> = manifests.iter().map(|digest| json!({ "digest": digest, "size": 3 })).collect();
    content(&json!({ "schemaVersion": 2, "manifests": manifests, "number": number }))
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn reference(text: impl std::fmt::Display) -> Reference {
    format!("{text}").parse().expect("a reference")
}

pub async fn stored_blob(db: &Db, byte: u8) -> Digest {
    let digest = Digest::from_sha256([byte; 32]);
    stored(db, digest).await;
    digest
}

pub async fn stored(db: &Db, digest: Digest) {
    let before = in_state(db, finalizing(now()), now()).await;
    let after = Upload { state: State::Completed { digest, size: 3 }, size: Some(3), ..before.clone() };
    let committed = db.commit_blob(&before, &after, &blob(digest), now(), None, None).await.expect("commit");
    assert_eq!(committed, Committed::Done);
}

pub async fn push_to(db: &Db, repository: &RepositoryName, content: &Content, tags: &[&str]) -> Pushed {
    let tags: BTreeSet<_> = tags.iter().map(|text| tag(text)).collect();
    let Content { digest, manifest, payload } = content;
    let (manifest, payload) = (Arc::new(manifest.clone()), payload.clone().into());
    db.push_manifest(repository, digest, manifest, payload, &tags, &occasion()).await.expect("push")
}

pub async fn push(db: &Db, content: &Content, tags: &[&str]) {
    assert_eq!(push_to(db, &name(NAME), content, tags).await, Pushed::Done);
}

async fn delete(db: &Db, content: &Content) -> bool {
    db.delete_manifest(&name(NAME), &content.digest, &occasion()).await.expect("delete") == Deleted::Done
}

pub async fn all_tags(db: &Db) -> Vec<String> {
    db.tags(&name(NAME), "", 100).await.expect("tags")
}

/// Whether the link of a blob has been marked; none when it is not there.
async fn is_marked(db: &Db, digest: &Digest) -> Option<bool> {
    db.find_link(&name(NAME), digest).await.expect("find").map(|link| link.is_unreferenced)
}

async fn read_back(db: Arc<Db>) {
    let repository = name(NAME);
    let layer = stored_blob(&db, 1).await;
    let image = image(&[layer], 1);
    push(&db, &image, &["v1", "latest"]).await;
    let stored = StoredManifest {
        digest: image.digest,
        media_type: image.manifest.media_type.clone(),
        payload: image.payload.clone(),
    };
    let described = ManifestDescription {
        digest: image.digest,
        media_type: image.manifest.media_type.clone(),
        size: image.payload.len() as u64,
    };
    for reference in [reference("v1"), reference("latest"), reference(image.digest)] {
        let found = db.find_manifest(&repository, &reference).await.expect("find");
        assert_eq!(found.as_ref(), Some(&stored));
        let found = db.describe_manifest(&repository, &reference).await.expect("describe");
        assert_eq!(found.as_ref(), Some(&described));
        for other in ["team/app", "team/app/model/x"] {
            assert_eq!(db.find_manifest(&name(other), &reference).await.expect("find"), None);
            assert_eq!(db.describe_manifest(&name(other), &reference).await.expect("describe"), None);
        }
    }
    for absent in [reference("v2"), reference(layer)] {
        assert_eq!(db.find_manifest(&repository, &absent).await.expect("find"), None);
    }
    // The same bytes as another type: the last one counts.
    let other = Content { manifest: Manifest::read(&image.payload, None).expect("one"), ..image.clone() };
    let retyped = Manifest { media_type: "a/b".parse().expect("a type"), ..other.manifest.clone() };
    push(&db, &Content { manifest: retyped, ..other }, &[]).await;
    let found = db.find_manifest(&repository, &reference("v1")).await.expect("find").expect("it is there");
    assert_eq!((found.media_type.as_str(), found.payload), ("a/b", image.payload));
}

async fn missing(db: Arc<Db>) {
    let there = stored_blob(&db, 1).await;
    let not_there = Digest::from_sha256([2; 32]);
    let before = image(&[there], 1);
    push(&db, &before, &["v1"]).await;
    let repository = name(NAME);
    for lacking in [image(&[there, not_there], 2), index(&[before.digest, not_there], 2)] {
        assert_eq!(
            push_to(&db, &repository, &lacking, &["v1", "v2"]).await,
            Pushed::Missing(vec![not_there])
        );
        assert_eq!(db.find_manifest(&repository, &reference(lacking.digest)).await.expect("find"), None);
    }
    assert_eq!(all_tags(&db).await, ["v1"]);
    let found = db.find_manifest(&repository, &reference("v1")).await.expect("find").expect("it is there");
    assert_eq!(found.digest, before.digest);
    // What another repository has is not there.
    let other = name("team/other");
    assert_eq!(push_to(&db, &other, &before, &["v1"]).await, Pushed::Missing(vec![there]));
    assert!(!db.has_repository(&other).await.expect("an answer"));
    assert!(db.link_blob(&other, &there, now()).await.expect("link"));
    assert_eq!(push_to(&db, &other, &before, &["v1"]).await, Pushed::Done);
    // An index may list either.
    push(&db, &index(&[before.digest, there], 3), &["cache"]).await;
}

async fn deleted(db: Arc<Db>) {
    let layer = stored_blob(&db, 1).await;
    let (first, second) = (image(&[layer], 1), image(&[layer], 2));
    push(&db, &first, &["a", "b"]).await;
    push(&db, &second, &["b", "c"]).await;
    let repository = name(NAME);
    assert!(db.delete_tag(&repository, &tag("c"), &occasion()).await.expect("delete"));
    assert!(!db.delete_tag(&repository, &tag("c"), &occasion()).await.expect("delete"));
    assert!(!db.delete_tag(&name("team/other"), &tag("a"), &occasion()).await.expect("delete"));
    assert_eq!(all_tags(&db).await, ["a", "b"]);
    assert!(delete(&db, &first).await);
    assert!(!delete(&db, &first).await);
    assert_eq!(all_tags(&db).await, ["b"], "the one that had moved");
    assert!(delete(&db, &second).await);
    assert_eq!(all_tags(&db).await, Vec::<String>::new());
    assert!(db.has_repository(&repository).await.expect("an answer"), "it has a blob");
}

async fn marked(db: Arc<Db>) {
    let (shared, own) = (stored_blob(&db, 1).await, stored_blob(&db, 2).await);
    let (first, second) = (image(&[shared, own], 1), image(&[shared], 2));
    assert_eq!(is_marked(&db, &shared).await, Some(false), "not while it waits for its first manifest");
    push(&db, &first, &[]).await;
    push(&db, &second, &[]).await;
    for needed in [shared, own] {
        let unlinked = db.unlink_blob(&name(NAME), &needed, now()).await.expect("unlink");
        assert_eq!(unlinked, Unlinked::Needed);
    }
    assert!(delete(&db, &first).await);
    assert_eq!((is_marked(&db, &shared).await, is_marked(&db, &own).await), (Some(false), Some(true)));
    assert!(delete(&db, &second).await);
    assert_eq!(is_marked(&db, &shared).await, Some(true));
    // A push takes the mark away; one that fails does not.
    let lacking = image(&[shared, Digest::from_sha256([9; 32])], 3);
    assert!(matches!(push_to(&db, &name(NAME), &lacking, &[]).await, Pushed::Missing(_)));
    assert_eq!(is_marked(&db, &shared).await, Some(true));
    push(&db, &second, &[]).await;
    assert_eq!((is_marked(&db, &shared).await, is_marked(&db, &own).await), (Some(false), Some(true)));
    // Deleting what is not there marks nothing.
    assert!(!delete(&db, &first).await);
    assert_eq!(is_marked(&db, &shared).await, Some(false));
    // A foreign layer counts as soon as it is there.
    let foreign = json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "size": 3,
        "digest": Digest::from_sha256([3; 32]),
    });
    let config = json!({ "digest": shared, "size": 3 });
    let windows =
        content(&json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [foreign] }));
    push(&db, &windows, &[]).await;
    let layer = stored_blob(&db, 3).await;
    push(&db, &windows, &[]).await;
    assert!(delete(&db, &windows).await);
    assert_eq!((is_marked(&db, &shared).await, is_marked(&db, &layer).await), (Some(false), Some(true)));
}

/// Whichever of two deletions comes last sees what the other one did.
async fn marked_at_once(db: Arc<Db>) {
    let layers = [stored_blob(&db, 1).await, stored_blob(&db, 2).await];
    for round in 0..ROUNDS {
        let images = [image(&layers, 2 * round), image(&[layers[1], layers[0]], 2 * round + 1)];
        for image in &images {
            push(&db, image, &[]).await;
        }
        assert_eq!(is_marked(&db, &layers[0]).await, Some(false));
        let deleted = tokio::join!(delete(&db, &images[0]), delete(&db, &images[1]));
        assert_eq!(deleted, (true, true));
        for layer in &layers {
            assert_eq!(is_marked(&db, layer).await, Some(true), "round {round}");
        }
    }
}

/// Marked exactly if it has no manifest.
async fn overtaken(db: Arc<Db>) {
    let layers = [stored_blob(&db, 1).await, stored_blob(&db, 2).await];
    for round in 0..ROUNDS {
        let (first, second) = (image(&layers, 2 * round), image(&[layers[1]], 2 * round + 1));
        push(&db, &first, &[]).await;
        let (deleted, ()) = tokio::join!(delete(&db, &first), push(&db, &second, &[]));
        assert!(deleted);
        assert_eq!(
            (is_marked(&db, &layers[0]).await, is_marked(&db, &layers[1]).await),
            (Some(true), Some(false))
        );
        let (_, ()) = tokio::join!(delete(&db, &first), push(&db, &first, &[]));
        let is_there = db.find_manifest(&name(NAME), &reference(first.digest)).await.expect("find").is_some();
        assert_eq!(is_marked(&db, &layers[0]).await, Some(!is_there), "round {round}");
        delete(&db, &first).await;
        delete(&db, &second).await;
    }
}

/// Pushes, deletions and unlinks of the same blobs, manifests and tags, in every order: all of them go through.
async fn crowd(db: Arc<Db>) {
    let mut layers = Vec::new();
    for byte in 0..8 {
        layers.push(stored_blob(&db, byte).await);
    }
    let clients = (0..CLIENTS).map(|client| {
        let (db, mut layers) = (Arc::clone(&db), layers.clone());
        tokio::spawn(async move {
            layers.rotate_left(usize::from(client) % 8);
            if client % 2 == 0 {
                layers.reverse();
            }
            let own = image(&layers[..5], client % 6);
            for round in 0..ROUNDS {
                let mut tags = ["d", "a", "c", "b", "e"];
                tags.rotate_left(usize::from(client + round) % 5);
                push(&db, &own, &tags[..=usize::from(round % 4)]).await;
                match (client + round) % 4 {
                    0 => drop(delete(&db, &own).await),
                    1 => {
                        let unlinked = db.unlink_blob(&name("team/x"), &layers[0], now()).await;
                        unlinked.expect("unlink");
                        db.link_blob(&name("team/x"), &layers[0], now()).await.expect("link");
                    }
                    2 => drop(db.delete_tag(&name(NAME), &tag(tags[0]), &occasion()).await.expect("delete")),
                    _ => {}
                }
            }
        })
    });
    for client in join_all(clients).await {
        client.expect("no statement failed");
    }
    for text in all_tags(&db).await {
        let found = db.find_manifest(&name(NAME), &reference(&text)).await.expect("find");
        assert!(found.is_some(), "{text} is of no manifest");
    }
}

/// Tags that came one by one, in another order than a push moves them in, while their manifest is being deleted.
async fn moved_and_deleted(db: Arc<Db>) {
    let texts: Vec<_> = (0..40).map(|number| format!("v{number:02}")).collect();
    let tags: Vec<_> = texts.iter().map(String::as_str).collect();
    for round in 0..ROUNDS {
        let (first, second) = (index(&[], 2 * round), index(&[], 2 * round + 1));
        for text in tags.iter().rev() {
            push(&db, &first, &[text]).await;
        }
        let (deleted, ()) = tokio::join!(delete(&db, &first), push(&db, &second, &tags));
        assert!(deleted);
        assert_eq!(all_tags(&db).await, tags, "round {round}");
        assert!(delete(&db, &second).await);
    }
}
