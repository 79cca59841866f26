//! What the cleaner removes, and what it must leave alone.

mod orphans;
mod sessions;

use overside::domain::upload::{Status, UploadId};
use serde_json::Value;

use crate::support::Stack;
use crate::support::api::{Repository, Upload, content, send_parts};
use crate::support::trial::Story;

/// Two parts of the smallest plan, the second one short.
const TWO_PARTS: usize = (5 << 20) + 1000;
/// For the service: parts as small as S3 takes them, and a cleaner that does not come by itself.
const FLAGS: [&str; 2] = ["--part-size=5MiB", "--clean-interval=1h"];

pub fn cases() -> Vec<Story> {
    let mut cases = sessions::cases();
    cases.extend(orphans::cases());
    cases
}

/// Runs `overside cleanup --json` with these flags and gives its report.
async fn cleanup(stack: &Stack, flags: &[&str]) -> Value {
    let done = stack.command(&[&["cleanup", "--json"], flags].concat()).await;
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    serde_json::from_str(&done.stdout).expect("--json prints JSON")
}

/// One upload of every kind that has something temporary in the store: put, multipart, proxied with whole
/// parts, proxied with a tail alone.
async fn uploads_of_every_kind(repository: &Repository) -> Vec<Upload> {
    let put = repository.begin().await;
    put.put(&content(1000)).await;
    let multipart = repository.begin().await;
    let size = TWO_PARTS.to_string();
    let query = [("size", size.as_str()), ("mode", "multipart"), ("parts", "1-1")];
    let signed = multipart.sign(&query).await.expect(200).json();
    send_parts(&multipart.http, &signed, &content(TWO_PARTS)).await;
    let proxied = repository.begin().await;
    proxied.patch(None, content(TWO_PARTS)).await.expect(202);
    let tail = repository.begin().await;
    tail.patch(None, content(500)).await.expect(202);
    vec![put, multipart, proxied, tail]
}

async fn assert_status(stack: &Stack, upload: &Upload, status: Status) {
    assert_eq!(upload.row(stack).await.state.status(), status, "{}", upload.url);
}

/// Whether anything of this upload is in the store.
async fn is_there(stack: &Stack, upload: UploadId) -> bool {
    stack.temp_leftovers().await.iter().any(|line| line.contains(&upload.to_string()))
}
