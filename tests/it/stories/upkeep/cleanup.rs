//! The cleaner: what is over goes, what lives stays, and nothing published is ever touched.

mod alive;
mod command;
mod ended;
mod late;
mod many;
mod orphans;
mod unplaceable;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::clock::Clock;
use overside::domain::upload::Upload as Row;
use serde_json::{Value, json};

use crate::support::Stack;
use crate::support::api::{self, Repository, Upload};
use crate::support::trial::Story;

/// Everything that is waited for here takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
/// The smallest part that S3 takes.
const PART_SIZE: usize = 5 << 20;
const SMALL_PARTS: [&str; 2] = ["--part-size", "5MiB"];
/// Whatever no session knows is old at once.
const NO_GRACE: [&str; 2] = ["--sweep-grace", "1ms"];
const NAME: &str = "team/app/model";

pub fn cases() -> Vec<Story> {
    vec![
        ("aborted_and_mismatched_uploads_leave_nothing_for_the_cleaner", |s| ended::at_once(s).boxed()),
        ("uploads_never_finalized_leave_nothing_after_one_cleaning", |s| ended::never_finalized(s).boxed()),
        ("a_dry_run_counts_what_a_cleaning_then_removes", |s| ended::dry_run(s).boxed()),
        ("what_lives_is_left_alone_and_completes_afterwards", |s| alive::uploading(s).boxed()),
        ("what_is_finalizing_under_a_live_lease_is_left_alone", |s| alive::finalizing(s).boxed()),
        ("what_is_being_appended_to_is_left_alone", |s| alive::appending(s).boxed()),
        ("published_blobs_outlive_their_sessions", |s| alive::published(s).boxed()),
        ("what_no_session_knows_is_swept_after_the_grace_and_not_before", |s| orphans::swept(s).boxed()),
        ("a_copy_to_a_blobs_place_is_aborted_when_nobody_is_placing", |s| orphans::placing(s).boxed()),
        ("a_multipart_upload_that_a_crash_left_unnamed_goes_with_its_session", |s| {
            orphans::unnamed(s).boxed()
        }),
        ("a_put_that_comes_after_the_end_is_swept_and_changes_nothing", |s| late::puts(s).boxed()),
        ("a_thousand_expired_sessions_are_cleaned_in_batches", |s| many::thousand(s).boxed()),
        ("blobs_that_cannot_be_placed_are_told_once_each", |s| unplaceable::told(s).boxed()),
        ("two_cleaners_at_once_do_the_work_of_one", |s| many::two_at_once(s).boxed()),
        ("the_loop_inside_serve_cleans_as_the_command_does", |s| many::inside_serve(s).boxed()),
        ("the_command_says_what_it_did_and_how_it_ended", |s| command::told(s).boxed()),
        ("a_command_that_cannot_clean_fails_and_says_why", |s| command::failures(s).boxed()),
        ("a_store_that_refuses_one_listing_is_cleaned_by_the_others", |s| {
            command::refused_listing(s).boxed()
        }),
        ("a_cleaning_waits_for_the_end_of_another", |s| command::in_turn(s).boxed()),
    ]
}

/// One cleaning by the command, and its report.
fn clean(stack: &Arc<Stack>, flags: &[&str]) -> BoxFuture<'static, Value> {
    let (stack, flags) = (Arc::clone(stack), flags.iter().map(ToString::to_string).collect::<Vec<_>>());
    async move {
        let mut arguments = vec!["cleanup", "--json"];
        arguments.extend(flags.iter().map(String::as_str));
        let done = stack.command(&arguments).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.stdout).expect("--json prints JSON and nothing else")
    }
    .boxed()
}

/// The whole of a report, so that a story says of every count what it is.
fn report(expired: u64, discarded: u64, objects: u64, multipart_uploads: u64) -> Value {
    json!({
        "dry_run": false,
        "expired_sessions": expired,
        "placed_blobs": 0,
        "discarded_sessions": discarded,
        "swept_objects": objects,
        "swept_multipart_uploads": multipart_uploads,
        "forgotten_sessions": 0,
        "forgotten_audit_entries": 0,
        "failures": 0,
    })
}

/// One upload of each kind with all its bytes in the store, not finalized.
async fn one_of_each(repository: &Repository, content: &[u8]) -> [Upload; 3] {
    let (put, multipart, proxied) =
        (repository.begin().await, repository.begin().await, repository.begin().await);
    put.put(content).await;
    let size = content.len().to_string();
    let signed = multipart.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
    api::send_parts(&multipart.http, &signed, content).await;
    proxied.patch(None, content.to_vec()).await.expect(202);
    [put, multipart, proxied]
}

/// Writes a session's row as it would be had it come to that by itself.
async fn rewrite(stack: &Stack, upload: &Upload, change: impl FnOnce(Row) -> Row) {
    let db = api::database(stack).await;
    let before = db.find_upload(upload.id()).await.expect("the database answers").expect("the row");
    let after = change(before.clone());
    assert!(db.swap_upload(&before, &after, now()).await.expect("the database answers"));
    db.close().await;
}

/// Lets a session's time be up.
async fn age(stack: &Stack, upload: &Upload) {
    rewrite(stack, upload, |row| Row { expires_at: now() - TimeDelta::minutes(1), ..row }).await;
}

/// Cleans until nothing temporary is left, and sums what that counted: stores tell ages in whole seconds, so
/// what has just been written is old only with the next one.
async fn clean_until_empty(stack: &Arc<Stack>, flags: &[&str]) -> (u64, u64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let (mut objects, mut multipart_uploads) = (0, 0);
    loop {
        let done = clean(stack, flags).await;
        objects += done["swept_objects"].as_u64().expect("a count");
        multipart_uploads += done["swept_multipart_uploads"].as_u64().expect("a count");
        let left = stack.temp_leftovers().await;
        if left.is_empty() {
            return (objects, multipart_uploads);
        }
        assert!(tokio::time::Instant::now() < deadline, "{left:?}");
    }
}

fn now() -> DateTime<Utc> {
    Clock::System.now()
}
