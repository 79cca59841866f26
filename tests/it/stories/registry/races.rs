//! Clients at once: one of them wins, and nothing is left half done.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::json;

use super::NAME;
use crate::support::Stack;
use crate::support::api::{Repository, digest_of};
use crate::support::image::{LAYER, Manifest, descriptor, index};
use crate::support::process::Server;
use crate::support::trial::Story;

const RACES: usize = 40;
/// From one race to the next one of the two comes so much later. In the first and the last they are far apart, so that
/// each order comes up; in between they meet.
const STAGGER: Duration = Duration::from_millis(4);
const CLIENTS: usize = 12;

pub fn cases() -> Vec<Story> {
    vec![
        ("of_two_clients_that_push_a_tag_at_once_one_has_it", same_tag),
        ("a_push_against_the_deletion_of_its_manifest_leaves_both_or_none", against_delete),
        ("an_index_against_the_deletion_of_what_it_lists_leaves_both_or_none", against_child),
        ("a_push_against_the_deletion_of_its_layer_has_it_or_is_refused", against_blob),
        ("of_clients_that_push_and_delete_the_same_tags_none_is_turned_away", crowd),
    ]
}

/// The repository as two replicas have it.
async fn twice(stack: &Stack) -> ([Server; 2], [Repository; 2]) {
    let servers = [stack.server(&[]).await, stack.server(&[]).await];
    let repositories = [&servers[0], &servers[1]].map(|server| Repository::of(server.base_url(), NAME));
    (servers, repositories)
}

/// What two requests come to of which first the one is earlier, and in later races the other.
async fn raced<A, B>(race: usize, one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let later = |steps: usize| tokio::time::sleep(STAGGER * u32::try_from(steps).expect("a small number"));
    let half = RACES / 2;
    tokio::join!(
        later(race.saturating_sub(half)).then(|()| one),
        later(half.saturating_sub(race)).then(|()| other),
    )
}

fn same_tag(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_servers, [first, second]) = twice(&stack).await;
        let base = first.image("raced").await;
        for race in 0..RACES {
            let ours = base.with("annotations", json!({ "ours": race.to_string() }));
            let theirs =
                base.with("annotations", json!({ "theirs": race.to_string(), "longer": "x".repeat(5000) }));
            let (one, other) = tokio::join!(first.put("latest", &ours), second.put("latest", &theirs));
            one.expect(201);
            other.expect(201);
            let got = first.get("latest").await.expect(200);
            let won = if got.body == ours.payload { &ours } else { &theirs };
            assert_eq!(got.body, won.payload);
            let digest = won.digest().to_string();
            assert_eq!(got.header("docker-content-digest"), Some(digest.as_str()));
            let head = second.head("latest").await.expect(200);
            assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(head.header("content-length"), Some(won.payload.len().to_string().as_str()));
            // Neither is lost.
            for manifest in [&ours, &theirs] {
                assert_eq!(second.get(manifest.digest()).await.expect(200).body, manifest.payload);
            }
        }
    }
    .boxed()
}

/// Either all of the manifest is there, with the tag, or none of it.
async fn whole_or_gone(repository: &Repository, tag: &str, manifest: &Manifest, blobs: &[&[u8]]) -> bool {
    let tagged = repository.get(tag).await;
    let by_digest = repository.get(manifest.digest()).await;
    if tagged.status == 200 {
        assert_eq!(tagged.body, manifest.payload);
        assert_eq!(by_digest.expect(200).body, manifest.payload);
        for blob in blobs {
            let digest = digest_of(blob);
            assert_eq!(repository.read(&digest).await.expect(200).body, *blob);
            repository.delete_blob(&digest).await.refused(405, "DENIED");
        }
        assert_eq!(repository.tags().await, [tag]);
        return true;
    }
    tagged.refused(404, "MANIFEST_UNKNOWN");
    by_digest.refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(repository.tags().await, Vec::<String>::new());
    false
}

fn against_delete(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_servers, [first, second]) = twice(&stack).await;
        let image = first.image("raced").await;
        let mut there = 0;
        for race in 0..RACES {
            first.put(image.digest(), &image).await.expect(201);
            let (pushed, deleted) = tokio::join!(first.put("latest", &image), second.delete(image.digest()));
            pushed.expect(201);
            deleted.expect(202);
            if whole_or_gone(&second, "latest", &image, &[b"the layer of raced"]).await {
                first.delete(image.digest()).await.expect(202);
            }
            // Where it is not there before, it may be found or not.
            let (pushed, deleted) =
                raced(race, first.put("latest", &image), second.delete(image.digest())).await;
            pushed.expect(201);
            let is_there = whole_or_gone(&second, "latest", &image, &[b"the layer of raced"]).await;
            assert_eq!(deleted.status, if is_there { 404 } else { 202 }, "race {race}");
            first.delete(image.digest()).await;
            there += usize::from(is_there);
        }
        assert!((1..RACES).contains(&there), "{there} of {RACES} are there");
    }
    .boxed()
}

fn against_child(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_servers, [first, second]) = twice(&stack).await;
        let image = first.image("raced").await;
        let list = index(&[image.descriptor()]);
        let mut taken = 0;
        for race in 0..RACES {
            first.put(image.digest(), &image).await.expect(201);
            let (pushed, deleted) =
                raced(race, first.put("list", &list), second.delete(image.digest())).await;
            if pushed.status == 201 {
                taken += 1;
                deleted.refused(405, "DENIED");
                assert_eq!(second.get(image.digest()).await.expect(200).body, image.payload, "race {race}");
                first.delete(list.digest()).await.expect(202);
            } else {
                pushed.refused(404, "MANIFEST_BLOB_UNKNOWN");
                deleted.expect(202);
                second.get("list").await.refused(404, "MANIFEST_UNKNOWN");
            }
        }
        assert!((1..RACES).contains(&taken), "{taken} of {RACES} were taken");
    }
    .boxed()
}

fn against_blob(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_servers, [first, second]) = twice(&stack).await;
        let base = first.image("raced").await;
        let mut taken = 0;
        for race in 0..RACES {
            let content = format!("layer {race}");
            let layer = first.push(content.as_bytes()).await;
            let image = base.with("layers", json!([descriptor(LAYER, content.as_bytes())]));
            let (pushed, deleted) =
                raced(race, first.put("latest", &image), second.delete_blob(&layer)).await;
            if pushed.status == 201 {
                taken += 1;
                deleted.refused(405, "DENIED");
                assert!(whole_or_gone(&second, "latest", &image, &[content.as_bytes()]).await);
                first.delete(image.digest()).await.expect(202);
            } else {
                pushed.refused(404, "MANIFEST_BLOB_UNKNOWN");
                deleted.expect(202);
                assert!(!whole_or_gone(&second, "latest", &image, &[]).await);
                second.read(&layer).await.refused(404, "BLOB_UNKNOWN");
            }
        }
        assert!((1..RACES).contains(&taken), "{taken} of {RACES} were taken");
    }
    .boxed()
}

fn crowd(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let (_servers, repositories) = twice(&stack).await;
        let base = repositories[0].image("crowd").await;
        let images: Vec<_> =
            (0..4).map(|number| base.with("annotations", json!({ "number": number.to_string() }))).collect();
        let tags = ["tag=d", "tag=b", "tag=a", "tag=c"];
        let clients = (0..CLIENTS).map(|client| {
            let (repository, images) = (&repositories[client % 2], &images);
            async move {
                for round in 0..RACES / 2 {
                    let image = &images[(client + round) % images.len()];
                    let mut query = tags;
                    query.rotate_left(round % tags.len());
                    let pushed =
                        repository.put(format!("{}?{}", image.digest(), query.join("&")), image).await;
                    assert_eq!(pushed.status, 201, "{}", pushed.text());
                    if client % 3 == 0 {
                        let deleted = repository.delete(image.digest()).await;
                        assert!([202, 404].contains(&deleted.status), "{}", deleted.text());
                    }
                }
            }
        });
        join_all(clients).await;
        for tag in repositories[0].tags().await {
            let got = repositories[1].get(&tag).await.expect(200);
            assert!(images.iter().any(|image| image.payload == got.body), "{tag}");
        }
    }
    .boxed()
}
