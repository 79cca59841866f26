//! Removing what is published, and listing it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use overside::domain::clock::Clock;
use overside::domain::digest::Digest;
use overside::storage::{BlobEntry, Storage};

use super::{Case, content, digest_of, is_placed, place, uploaded};

pub fn cases() -> Vec<Case> {
    super::suite![
        a_removed_blob_is_gone_and_removing_it_again_is_fine,
        nothing_is_removed_once_the_time_is_up,
        a_removal_that_has_ended_is_refused,
        a_removed_blob_can_be_placed_again,
        every_blob_is_listed_with_its_size_and_nothing_else,
        removing_beside_placing_removes_no_other_blob,
    ]
}

fn soon() -> DateTime<Utc> {
    Clock::System.now() + TimeDelta::seconds(30)
}

async fn placed(storage: &Storage, bytes: &Bytes) -> Digest {
    let digest = digest_of(bytes);
    let (upload, sealed) = uploaded(storage, bytes).await;
    place(storage, &sealed, &digest).await.expect("it can be placed");
    storage.discard(upload).await.expect("it can be discarded");
    digest
}

async fn all_blobs(storage: &Storage) -> Vec<BlobEntry> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = storage.blob_entries(cursor).await.expect("a page");
        all.extend(page.entries);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

async fn a_removed_blob_is_gone_and_removing_it_again_is_fine(storage: Arc<Storage>) {
    let digest = placed(&storage, &content(80, 1_000)).await;
    for _ in 0..2 {
        storage.remove_blob(&digest, soon()).await.expect("it can be removed");
        assert!(!is_placed(&storage, &digest, 1_000).await);
    }
    assert_eq!(all_blobs(&storage).await, []);
}

async fn nothing_is_removed_once_the_time_is_up(storage: Arc<Storage>) {
    let digest = placed(&storage, &content(81, 1_000)).await;
    for late in [TimeDelta::zero(), TimeDelta::seconds(1), TimeDelta::days(1)] {
        let refused = storage.remove_blob(&digest, Clock::System.now() - late).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    assert!(is_placed(&storage, &digest, 1_000).await);
}

async fn a_removal_that_has_ended_is_refused(storage: Arc<Storage>) {
    for lag in [1, 15, 60] {
        storage.check_ends(Duration::from_secs(lag)).await.expect("a store that looks at a request's end");
    }
}

async fn a_removed_blob_can_be_placed_again(storage: Arc<Storage>) {
    let bytes = content(82, 1_000);
    for _ in 0..3 {
        let digest = placed(&storage, &bytes).await;
        assert!(is_placed(&storage, &digest, 1_000).await);
        storage.remove_blob(&digest, soon()).await.expect("it can be removed");
    }
}

async fn every_blob_is_listed_with_its_size_and_nothing_else(storage: Arc<Storage>) {
    let before = Clock::System.now();
    let mut expected = Vec::new();
    for size in 1..=20 {
        expected.push((placed(&storage, &content(83, size)).await, size));
    }
    expected.sort_unstable();
    let listed = all_blobs(&storage).await;
    for entry in &listed {
        // Stores tell times in whole seconds, by their own clocks.
        let age = entry.modified - before;
        assert!(age > TimeDelta::seconds(-2) && age < TimeDelta::minutes(5), "{entry:?}");
    }
    let mut listed: Vec<_> = listed.into_iter().map(|entry| (entry.digest, entry.size)).collect();
    listed.sort_unstable();
    assert_eq!(listed, expected);
}

/// On a file system a folder goes with its last blob, and another one may be on its way into it.
async fn removing_beside_placing_removes_no_other_blob(storage: Arc<Storage>) {
    let kept: Vec<_> = (0..16).map(|seed| content(900 + seed, 100)).collect();
    let gone: Vec<_> = (0..16).map(|seed| content(950 + seed, 100)).collect();
    let going = join_all(gone.iter().map(|bytes| placed(&storage, bytes))).await;
    let placing = join_all(kept.iter().map(|bytes| placed(&storage, bytes)));
    let removing = join_all(going.iter().map(|digest| storage.remove_blob(digest, soon())));
    let limit = Duration::from_mins(1);
    let (kept, removed) =
        tokio::time::timeout(limit, async { tokio::join!(placing, removing) }).await.expect("no deadlock");
    for removed in removed {
        removed.expect("it can be removed");
    }
    for digest in kept {
        assert!(is_placed(&storage, &digest, 100).await);
    }
    assert_eq!(all_blobs(&storage).await.len(), 16);
}
