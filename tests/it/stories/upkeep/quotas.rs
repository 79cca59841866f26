//! Quotas: what does not fit is refused before it moves, and what is counted is what is there.

mod counted;
mod crowd;
mod refused;
mod released;

use futures_util::future::FutureExt;
use overside::domain::digest::Digest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Stack;
use crate::support::trial::Story;

const PROJECT: &str = "team";
const NAME: &str = "team/app/model";

pub fn cases() -> Vec<Story> {
    vec![
        ("a_push_that_cannot_fit_is_refused_before_a_byte_moves_whatever_way_it_takes", |s| {
            refused::before_a_byte(s).boxed()
        }),
        ("a_body_of_unknown_length_is_broken_off_where_the_room_ends", |s| refused::streamed(s).boxed()),
        ("mounts_manifests_and_tags_that_do_not_fit_are_refused", |s| refused::in_the_database(s).boxed()),
        ("what_does_not_fit_waits_for_no_writer_and_keeps_none_waiting", |s| refused::unlocked(s).boxed()),
        ("where_room_is_limited_no_url_is_given_out_without_a_length", |s| {
            refused::without_a_size(s).boxed()
        }),
        ("what_a_url_without_a_length_has_brought_fails_where_it_does_not_fit", |s| {
            refused::found_too_large(s).boxed()
        }),
        ("a_limit_below_the_usage_refuses_new_pushes_and_breaks_nothing_else", |s| {
            refused::lowered(s).boxed()
        }),
        ("an_upload_that_ends_gives_back_what_it_held", |s| released::ended(s).boxed()),
        ("what_an_upload_holds_survives_its_server_and_ends_with_a_cleaning", |s| {
            released::killed(s).boxed()
        }),
        ("room_is_given_back_by_deleting_and_collecting", |s| released::collected(s).boxed()),
        ("a_blob_counts_once_in_each_project_that_has_it", |s| counted::shared(s).boxed()),
        ("the_command_says_what_projects_have_and_whether_that_is_right", |s| counted::told(s).boxed()),
        ("the_cleaner_folds_what_was_counted", |s| counted::folded(s).boxed()),
        ("of_200_pushes_at_once_50_fit_and_150_are_refused_before_their_bytes_move", |s| {
            crowd::two_hundred(s).boxed()
        }),
    ]
}

/// Bytes, reserved bytes and tags of a project, as a recount confirms them.
pub async fn usage(stack: &Stack, project: &str) -> [u64; 3] {
    let done = stack.command(&["project", "usage", project, "--recount", "--json", "--database"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let told: Value = serde_json::from_str(&done.stdout).expect("one line of JSON");
    ["bytes", "reserved", "tags"].map(|field| told["recount"]["kept"][field].as_u64().expect(field))
}

/// What a request that waits for `100 Continue` came to.
struct Careful {
    /// Whether it was told to send its body, and has.
    is_sent: bool,
    answer: String,
}

impl Careful {
    fn status(&self) -> u16 {
        self.answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
    }

    /// The message of a refusal for want of room, before a byte was asked for.
    #[track_caller]
    fn refused(&self) -> String {
        assert!(!self.is_sent, "the body was asked for: {}", self.answer);
        assert_eq!(self.status(), 403, "{}", self.answer);
        let body = self.answer.split_once("\r\n\r\n").expect("a body").1;
        let json: Value = serde_json::from_str(body).expect("the OCI envelope");
        assert_eq!(json["errors"][0]["code"], "DENIED", "{json}");
        json["errors"][0]["message"].as_str().expect("a message").to_owned()
    }
}

/// Sends a head, and the body only when it is asked for.
async fn careful(method: &str, url: &str, content: &[u8]) -> Careful {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (address, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(address).await.expect("the service listens");
    let length = content.len();
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nexpect: 100-continue\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "it hung up");
    }
    let is_sent = answer.starts_with(b"HTTP/1.1 100 ");
    if is_sent {
        answer.clear();
        stream.write_all(content).await.expect("sent");
    }
    stream.read_to_end(&mut answer).await.expect("the whole answer");
    Careful { is_sent, answer: String::from_utf8_lossy(&answer).into_owned() }
}

/// What a refusal says.
fn short(needed: u64, left: u64, limit: u64) -> String {
    short_of("bytes", needed, left, limit)
}

fn short_of(what: &str, needed: u64, left: u64, limit: u64) -> String {
    format!(
        "the push needs {needed} {what} and project {PROJECT} has {left} of {limit} left; \
         delete something or ask for more"
    )
}

fn with_digest(url: &str, digest: &Digest) -> String {
    format!("{url}?digest={digest}")
}
