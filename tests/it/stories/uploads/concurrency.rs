//! Many at once: clients, replicas and cleaners that all want the same thing at the same moment.

mod append;
mod clean;
mod finalize;
mod images;
mod replay;
mod sign;

use std::time::{Duration, Instant};

use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Stack, api};

/// For something to be seen that another task is about to do, on a busy machine.
const SEEN_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

pub fn cases() -> Vec<Story> {
    vec![
        ("sixty_four_uploads_of_one_blob_finalized_at_once_make_one_object", finalize::one_digest),
        ("sixteen_clients_finalizing_one_upload_at_once_all_succeed", finalize::one_session),
        ("of_finalize_and_abort_at_once_one_wins_and_the_other_is_told", finalize::against_abort),
        ("of_two_chunks_for_one_place_one_is_taken_whole", append::for_one_place),
        ("a_chunk_is_refused_while_another_is_coming_in", append::while_another_comes),
        ("who_comes_back_takes_over_from_a_connection_that_it_lost", append::after_a_half_open_connection),
        ("an_upload_aborted_under_a_chunk_leaves_nothing", append::against_abort),
        ("signers_at_once_share_one_multipart_upload", sign::one_plan),
        ("cleaners_at_once_take_nothing_from_uploads_that_live", clean::beside_uploads),
        ("a_replayed_put_never_changes_what_is_published", replay::during_finalize),
    ]
}

/// What is still needed, the database decides.
pub fn cases_of_crowds() -> Vec<Story> {
    vec![("large_crowds_of_images_outlive_collectors_that_leave_no_grace", images::outlive_collectors)]
}

/// Two replicas on one database and one store, whose cleaners stay out of what is looked at.
async fn replicas(stack: &Stack) -> [Server; 2] {
    let flags = ["--part-size", "5MiB", "--clean-interval", "1h"];
    [stack.server(&flags).await, stack.server(&flags).await]
}

/// The same session as another replica has it, for a client of its own.
fn at(server: &Server, upload: &api::Upload) -> api::Upload {
    let path = &upload.url[upload.url.find("/v2/").expect("a path")..];
    api::Upload { http: crate::support::http(), url: format!("{}{path}", server.base_url()) }
}

async fn status(upload: &api::Upload) -> String {
    let state = upload.state().await.expect(200).json();
    state["status"].as_str().expect("a status").to_owned()
}

/// Waits until the session has this status.
async fn until(upload: &api::Upload, expected: &str) {
    let deadline = Instant::now() + SEEN_LIMIT;
    while status(upload).await != expected {
        assert!(Instant::now() < deadline, "never {expected}");
        tokio::time::sleep(POLL).await;
    }
}

async fn clean(stack: &Stack) {
    let cleanup = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
    assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
}

/// No temporary object, multipart upload, file or folder.
async fn assert_nothing_left(stack: &Stack) {
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}
