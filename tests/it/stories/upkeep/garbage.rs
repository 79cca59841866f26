//! The collector: what no repository has goes, what anybody has or is about to have stays.

mod crash;
mod grace;
mod inside;
mod lost;
mod removal;
mod report;

use chrono::TimeDelta;
use futures_util::future::FutureExt;
use overside::domain::digest::Digest;
use overside::domain::hash::Hasher;
use serde_json::{Value, json};

use crate::support::api::Repository;
use crate::support::trial::Story;
use crate::support::{Stack, image};

const NAME: &str = "team/app/model";
/// Everything unlinked or unreferenced is due at once.
const NO_GRACE: [&str; 2] = ["--gc-grace", "0s"];

pub fn cases() -> Vec<Story> {
    vec![
        ("a_blob_goes_a_grace_after_its_last_repository_and_not_before", |s| grace::unlinked(s).boxed()),
        ("a_blob_leaves_its_repository_a_grace_after_its_last_manifest", |s| grace::unreferenced(s).boxed()),
        ("what_another_manifest_or_repository_needs_stays", |s| grace::shared(s).boxed()),
        ("a_blob_that_no_manifest_ever_needed_stays", |s| grace::plain(s).boxed()),
        ("asking_whether_a_blob_is_there_keeps_it_for_a_grace", |s| grace::asked_for(s).boxed()),
        ("pushing_a_blob_again_keeps_it_until_a_manifest_has_come_and_gone", |s| {
            grace::pushed_again(s).boxed()
        }),
        ("a_push_waits_for_the_end_of_a_removal_and_puts_the_blob_back", |s| removal::outlasted(s).boxed()),
        ("a_blob_under_removal_is_mounted_by_nobody", |s| removal::mounted(s).boxed()),
        ("a_removal_whose_collector_died_is_finished_by_the_next_one", |s| removal::taken_over(s).boxed()),
        ("an_object_without_a_row_is_swept_after_the_grace_and_not_before", |s| removal::strays(s).boxed()),
        ("a_dry_run_counts_what_a_collection_then_removes", |s| report::dry_run(s).boxed()),
        ("the_command_says_what_it_did_and_how_it_ended", |s| report::told(s).boxed()),
        ("a_blob_whose_object_is_gone_is_asked_for_again_once_somebody_missed_it", |s| {
            lost::pushed_again(s).boxed()
        }),
        ("verify_tells_what_is_missing_or_wrong_and_repairing_has_it_pushed_again", |s| {
            lost::verified(s).boxed()
        }),
        ("two_collectors_at_once_do_the_work_of_one", |s| inside::two_at_once(s).boxed()),
        ("the_loop_inside_serve_collects_as_the_command_does", |s| inside::serve(s).boxed()),
        ("a_kill_at_any_request_of_a_collector_to_the_store_loses_nothing", |s| {
            crash::survives(s, crash::Wire::Store).boxed()
        }),
        ("a_kill_at_any_request_of_a_collector_to_the_database_loses_nothing", |s| {
            crash::survives(s, crash::Wire::Database).boxed()
        }),
    ]
}

/// One collection by the command, and its report.
async fn collect(stack: &Stack, flags: &[&str]) -> Value {
    let done = stack.command(&[&["gc", "--json"], flags].concat()).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(&done.stdout).expect("--json prints JSON and nothing else")
}

/// The whole of a report, so that a story says of every count what it is.
fn report(unlinked: u64, removed: u64, swept: u64, bytes: u64) -> Value {
    json!({
        "dry_run": false,
        "unlinked_blobs": unlinked,
        "removed_blobs": removed,
        "swept_objects": swept,
        "freed_bytes": bytes,
        "failures": 0,
    })
}

/// Pushes an image of these layers, config included, under a tag.
async fn push_image(repository: &Repository, tag: &str, layers: &[&[u8]]) -> Digest {
    let mut descriptors = Vec::new();
    for layer in layers {
        repository.push(layer).await;
        descriptors.push(image::descriptor(image::LAYER, layer));
    }
    tag_image(repository, tag, &descriptors).await
}

/// An image of blobs that are there; the first is its config.
async fn tag_image(repository: &Repository, tag: &str, descriptors: &[Value]) -> Digest {
    let image = image::image(&descriptors[0], &descriptors[1..]).with("annotations", json!({ "tag": tag }));
    repository.put(tag, &image).await.expect(201);
    image.digest()
}

/// Lets everything that has a mark or a tombstone have had it for so long.
async fn age(stack: &Stack, age: TimeDelta) {
    const LINKS: &str = "UPDATE repository_blob SET unreferenced_at = $1
        WHERE unreferenced_at IS NOT NULL AND $1 <= $2";
    const BLOBS: &str = "UPDATE blob SET unlinked_at = $1 WHERE unlinked_at IS NOT NULL AND $1 <= $2";
    for sql in [LINKS, BLOBS] {
        stack.database.write(sql, [-age, TimeDelta::zero()]).await;
    }
}

/// What the objects that are there hash to: each exactly what its key says.
async fn published(stack: &Stack) -> Vec<Digest> {
    let mut found = Vec::new();
    for (path, _) in stack.objects().await {
        let digest = overside::storage::key::blob_digest(&path).expect("a blob's key");
        let bytes = stack.blob_bytes(&digest).await.expect("its bytes");
        assert_eq!(Hasher::digest(digest.algorithm(), &bytes), digest);
        found.push(digest);
    }
    found.sort();
    found
}
