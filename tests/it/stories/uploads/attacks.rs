//! What the holder of an upload URL can do with headers that were not signed. A store obeys some of them, each
//! store others; the promises are the product's and hold on all: nothing foreign can be read, nothing unproven is
//! ever served under a digest, nothing is left.

mod bound;
mod copying;
mod planted;
mod racing;
mod unsigned;
mod upload_key;

use overside::domain::digest::Digest;
use serde_json::Value;

use crate::support::api::{Answer, Repository, Upload};
use crate::support::process::Server;
use crate::support::stack::Stack;
use crate::support::trial::Story;

const NAME: &str = "stranger/app";

pub fn cases() -> Vec<Story> {
    vec![
        ("a_put_url_copies_no_other_object_of_the_bucket", copying::by_a_put),
        ("a_part_url_copies_no_other_object_of_the_bucket", copying::by_a_part),
        ("an_upload_url_copies_nothing_from_another_bucket", copying::from_another_bucket),
        ("a_url_bound_to_a_digest_publishes_no_other_bytes_whatever_is_sent_beside", bound::other_bytes),
        ("an_archive_sent_to_a_put_url_is_not_unpacked_into_the_bucket", planted::archive),
        ("headers_that_were_not_signed_are_not_published_and_leave_nothing", unsigned::published),
        ("a_part_url_takes_on_nothing_from_headers_that_were_not_signed", unsigned::parts),
        (
            "a_key_that_may_only_put_below_temp_is_seen_to_be_restricted_and_signs_uploads",
            upload_key::restricted,
        ),
        ("a_key_for_uploads_that_may_do_more_does_not_count", upload_key::unrestricted),
        ("a_bound_put_that_races_with_its_finalize_never_changes_what_is_served", racing::bound),
    ]
}

/// A replica whose cleaner stays out of what is looked at.
async fn server(stack: &Stack) -> Server {
    stack.server(&["--part-size", "5MiB", "--clean-interval", "1h"]).await
}

/// Asks for a URL. None where the service gives none on this store: then there is nothing to attack, and the bytes
/// go through it.
async fn signed(upload: &Upload, query: &[(&str, &str)]) -> Option<Value> {
    let answer = upload.sign(query).await;
    if answer.status == 200 {
        let json = answer.json();
        return (json["presigned_url"].is_string() || json["parts"].is_array()).then_some(json);
    }
    assert!(answer.status < 500, "{} {}", answer.status, answer.text());
    None
}

/// Sends a body to a URL with the headers that came with it, and with these beside. Whether it was taken: a store that
/// refuses may hang up in the middle of the body.
async fn send_with(upload: &Upload, signed: &Value, beside: &[(&str, &str)], body: Vec<u8>) -> bool {
    let mut put = upload.http.put(signed["presigned_url"].as_str().expect("a URL")).body(body);
    for (name, value) in signed["headers"].as_object().expect("headers") {
        if !beside.iter().any(|(other, _)| name.eq_ignore_ascii_case(other)) {
            put = put.header(name, value.as_str().expect("text"));
        }
    }
    for (name, value) in beside {
        put = put.header(*name, *value);
    }
    put.send().await.is_ok_and(|answer| answer.status().is_success())
}

/// No answer of the service may tell what the digest of bytes is that came past it, or was copied past it.
fn tells(answer: &Answer, secret: &Digest) -> bool {
    let secret = secret.to_string();
    answer.headers.values().any(|value| value == secret.as_str()) || answer.text().contains(&secret)
}

/// Ends what is still open, sweeps, and looks.
async fn assert_nothing_left(stack: &Stack, uploads: &[Upload]) {
    for upload in uploads {
        // One that has ended is as good.
        upload.abort().await;
    }
    let cleanup = stack.command(&["cleanup", "--sweep-grace", "1ms"]).await;
    assert_eq!(cleanup.code, Some(0), "{cleanup:?}");
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
}

fn repository(server: &Server) -> Repository {
    Repository::of(server.base_url(), NAME)
}
