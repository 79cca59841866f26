//! Gigabytes: what the service may cost in memory and in bytes, whatever the size of the blob.

mod client;
mod content;
mod presigned;
mod proof;
mod proxied;

use std::time::Duration;

use futures_util::future::FutureExt;
use overside::domain::blob::{Blob, Placement, Proof};
use overside::domain::digest::Digest;
use tokio::sync::{Mutex, MutexGuard};

use self::content::Content;
use crate::support::process::Server;
use crate::support::trial::Story;
use crate::support::{Stack, StackKind, api};

/// For the store to copy the blob, while others keep it busy.
const COPY_LIMIT: Duration = Duration::from_mins(5);
/// Above the 5 GiB that one CopyObject takes, so that placing goes by UploadPartCopy; and no multiple of a part.
const LARGE: u64 = (6 << 30) + 12_345;
/// Where no store's limit is shown: still several times what the service may hold.
const ENOUGH: u64 = (300 << 20) + 12_345;
/// LocalStack keeps objects in the memory of a slow process: there the same steps run, without the gigabytes.
const MODEST: u64 = (64 << 20) + 12_345;
/// What the service may hold resident, in bytes, whatever passes through it.
const MEMORY_LIMIT: u64 = 48 << 20;
/// With a body on its way through it: a part that is filled and three that travel, 8 MiB each, in buffers that may
/// be half empty where a piece is kept as it came.
const STREAMING_LIMIT: u64 = 88 << 20;
/// To finish or hand over what is in flight; nothing is, when these stories stop a server.
const TERMINATE_LIMIT: Duration = Duration::from_secs(30);

/// For gigabytes: a story writes its blob twice, and the disk of a small machine does not take several.
static TURN: Mutex<()> = Mutex::const_new(());

pub fn cases() -> Vec<Story> {
    vec![
        ("large_presigned_parts_cost_the_service_neither_memory_nor_traffic", |stack| {
            presigned::story(stack).boxed()
        }),
        ("large_chunks_pass_through_replicas_that_come_and_go", |stack| proxied::story(stack).boxed()),
        (
            "large_a_declared_digest_is_proven_without_reading_the_blob_where_the_stores_checksum_is_a_proof",
            |stack| proof::without_reading(stack).boxed(),
        ),
        ("large_images_are_pushed_through_a_rough_network_and_hardly_anything_twice", |stack| {
            client::rough(stack).boxed()
        }),
        ("large_images_cost_the_client_no_memory", |stack| client::memory(stack).boxed()),
        ("large_a_body_of_another_digest_is_refused_by_the_store", |stack| proof::wrong_body(stack).boxed()),
    ]
}

/// Waits until no other story moves gigabytes, where this one does.
async fn turn(stack: &Stack) -> Option<MutexGuard<'static, ()>> {
    if stack.takes_gigabytes() { Some(TURN.lock().await) } else { None }
}

/// Enough to see a body that is held in memory.
const fn enough(stack: &Stack) -> u64 {
    if is_localstack(stack) { MODEST } else { ENOUGH }
}

const fn is_localstack(stack: &Stack) -> bool {
    matches!(stack.kind, StackKind::PostgresLocalStack)
}

#[track_caller]
fn assert_small(server: &Server, limit: u64) {
    let memory = server.memory();
    assert!(memory.peak < limit, "{memory:?}");
}

/// The blob is published once and whole, was proven so, reads as it was sent, and nothing else is left.
async fn assert_published(
    stack: &Stack,
    repository: &api::Repository,
    content: Content,
    digest: Digest,
    proof: Proof,
) {
    stack.settled_within(COPY_LIMIT).await;
    let db = api::database(stack).await;
    let blob = db.find_blob(&digest).await.expect("the database answers").expect("the blob has a row");
    db.close().await;
    let placement = Placement::Placed;
    assert_eq!(blob, Blob { digest, size: content.size, proof, created_at: blob.created_at, placement });
    let objects = stack.objects().await;
    assert_eq!(objects.iter().map(|(_, size)| *size).collect::<Vec<_>>(), [content.size], "{objects:?}");
    assert_eq!(stack.temp_leftovers().await, Vec::<String>::new());
    assert_eq!(content::read(repository, &digest).await, (content.size, digest));
}
