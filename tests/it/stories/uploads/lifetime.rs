//! What has a time: signed URLs, sessions, and the service's own processes.

mod elsewhere;
mod expiry;
mod placing;
mod shutdown;
mod urls;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::FutureExt;
use overside::domain::clock::Clock;
use serde_json::Value;

use crate::support::api::Upload;
use crate::support::process::Server;
use crate::support::trial::Story;

/// Everything that is waited for here takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
/// To finish what is in flight, or to save it and hand it over.
const TERMINATE_LIMIT: Duration = Duration::from_secs(30);
/// The smallest part that S3 takes, so that an upload of a few MiB has several.
const PART_SIZE: usize = 5 << 20;
const SMALL_PARTS: [&str; 2] = ["--part-size", "5MiB"];
const NAME: &str = "team/app/model";

pub fn cases() -> Vec<Story> {
    vec![
        ("an_upload_whose_urls_expire_twice_on_their_way_completes_with_the_client", |stack| {
            urls::with_the_client(stack).boxed()
        }),
        ("an_upload_whose_urls_have_expired_twice_is_signed_again_and_completes", |stack| {
            urls::signed_again(stack).boxed()
        }),
        ("an_expired_url_is_refused_by_the_store_and_leaves_nothing_there", |stack| {
            urls::refused(stack).boxed()
        }),
        ("an_upload_is_finished_from_another_machine_that_knows_only_the_uuid", |stack| {
            elsewhere::another_machine(stack).boxed()
        }),
        ("an_upload_survives_a_restart_between_any_two_of_its_steps", |stack| {
            elsewhere::restarts(stack).boxed()
        }),
        ("a_blob_whose_replica_died_before_it_was_placed_is_placed_for_whoever_waits", |stack| {
            placing::after_a_kill(stack).boxed()
        }),
        ("a_blob_that_a_url_still_writes_to_is_read_by_nobody_before_it_is_placed", |stack| {
            placing::read_by_nobody(stack).boxed()
        }),
        ("an_uploader_who_replaces_proven_bytes_costs_nobody_else_anything", |stack| {
            placing::replaced(stack).boxed()
        }),
        ("every_verb_says_that_an_expired_session_is_gone", |stack| expiry::every_verb(stack).boxed()),
        ("signing_again_and_appending_prolong_the_session", |stack| expiry::prolonged(stack).boxed()),
        ("bytes_that_come_by_a_signed_url_prolong_the_session", |stack| expiry::by_url(stack).boxed()),
        ("a_patch_cut_by_shutdown_goes_on_at_another_replica_where_it_broke", |stack| {
            shutdown::during_patch(stack).boxed()
        }),
        ("a_finalize_cut_by_shutdown_is_completed_by_another_replica_unasked", |stack| {
            shutdown::during_finalize(stack).boxed()
        }),
    ]
}

/// The same session, asked for at another address.
fn at(base_url: &str, upload: &Upload) -> Upload {
    let path = upload.url.find("/v2/").map(|at| &upload.url[at..]).expect("a path");
    Upload { http: crate::support::http(), url: format!("{base_url}{path}") }
}

/// Runs a future of the client library, which stays on one thread, to its end on this one.
fn here<F: Future>(future: F) -> F::Output {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

fn now() -> DateTime<Utc> {
    Clock::System.now()
}

fn time(json: &Value, field: &str) -> DateTime<Utc> {
    json[field].as_str().and_then(|text| text.parse().ok()).expect("a time")
}

/// Waits until this machine's clock, which is everybody's here, has passed `time` by a second: that is how
/// coarsely S3 writes the time into a URL.
async fn passed(time: DateTime<Utc>) {
    while now() <= time + TimeDelta::seconds(1) {
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the session's state is this one, and gives it.
async fn until(upload: &Upload, status: &str) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let state = upload.state().await.expect(200).json();
        if state["status"] == status {
            return state;
        }
        assert!(tokio::time::Instant::now() < deadline, "still not {status}: {state}");
        tokio::time::sleep(POLL).await;
    }
}

async fn stop(server: &mut Server) {
    let status = server.terminate(TERMINATE_LIMIT).await.expect("it ends by itself");
    assert_eq!(status.code(), Some(0));
}
