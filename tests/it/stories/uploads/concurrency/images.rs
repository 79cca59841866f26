//! Two hundred images at once that share their layers, beside collectors that leave no grace.
//!
//! Without a grace a blob goes at the moment when nothing needs it. What is pushed still stays until a manifest that
//! refers to it has come and gone, so nothing of this is ever lost; only a push that *finds* a blob, and does not send
//! it, would have to be as quick as the collector.

mod image;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::image::Image;
use super::assert_nothing_left;
use crate::support::Stack;
use crate::support::api::{Answer, Repository, content, digest_of};

const IMAGES: usize = 200;
const REPOSITORIES: usize = 20;
/// Repositories of which every other image is deleted and pushed again, while the others keep their common layers.
const CHURNED: usize = 10;
/// And those that lose all their images before they get them back.
const EMPTIED: usize = 5;
/// Times that half of the images come and go.
const ROUNDS: usize = 3;
/// Elsewhere than where a run may take its time.
const FEWER_ROUNDS: usize = 1;
/// Of a common layer, in bytes.
const BASE_SIZE: usize = 300_000;
const BASES: usize = 4;
/// Readers at once.
const READERS: usize = 32;
const SETTLING_LIMIT: Duration = Duration::from_mins(1);
/// A collection takes seconds on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// One repository as the two replicas have it.
type Replicated = [Repository; 2];

pub fn outlive_collectors(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let flags = ["--part-size", "5MiB", "--gc-interval", "300ms", "--gc-grace", "0s"];
        let replicas = [stack.server(&flags).await, stack.server(&flags).await];
        let repositories: Vec<Replicated> = (0..REPOSITORIES)
            .map(name)
            .map(|name| [0, 1].map(|replica| Repository::of(replicas[replica].base_url(), &name)))
            .collect();
        let bases: Vec<Bytes> = (0..BASES).map(|number| content(BASE_SIZE + number).into()).collect();
        let image = |number| Arc::new(Image::new(number, &bases, &repositories[number % REPOSITORIES]));
        let images: Vec<_> = (0..IMAGES).map(image).collect();
        // Nothing ever refers to these.
        let plain: Vec<Bytes> = (0..REPOSITORIES).map(|number| content(1_000 + number).into()).collect();
        let plain_digests: BTreeSet<_> = plain.iter().map(|blob| digest_of(blob)).collect();
        let mut expected = plain_digests.clone();
        expected.extend(images.iter().flat_map(|image| image.blobs()).map(|blob| digest_of(blob)));
        assert_eq!(expected.len(), BASES + 2 * IMAGES + REPOSITORIES, "no two are the same by mistake");

        let rounds = if stack.takes_gigabytes() { ROUNDS } else { FEWER_ROUNDS };
        let is_done = AtomicBool::new(false);
        let story = async {
            for (blob, [one, _]) in plain.iter().zip(&repositories) {
                one.push(blob).await;
            }
            push(&images).await;
            assert_readable(&images).await;
            assert_stored(&stack, &expected).await;

            for _ in 0..rounds {
                push_again(&images).await;
            }
            assert_readable(&images).await;
            assert_stored(&stack, &expected).await;
            is_done.store(true, SeqCst);
        };
        let collector = async {
            while !is_done.load(SeqCst) {
                collect(&stack).await;
            }
        };
        tokio::join!(story, collector);

        delete(&images).await;
        collect_down_to(&stack, &plain_digests).await;
        for (blob, [one, other]) in plain.iter().zip(&repositories) {
            let digest = digest_of(blob);
            assert_eq!(other.read(&digest).await.expect(200).body, blob);
            Answer::to(one.http.delete(one.url(digest))).await.expect(202);
        }
        collect_down_to(&stack, &BTreeSet::new()).await;
        assert_nothing_left(&stack).await;
        let catalog = format!("{}/v2/_catalog", replicas[0].base_url());
        let catalog = Answer::to(repositories[0][0].http.get(catalog)).await.expect(200).json();
        assert_eq!(catalog, json!({ "repositories": [] }));
    }
    .boxed()
}

fn name(repository: usize) -> String {
    format!("team{repository:02}/app")
}

/// All at once, each in a task of its own.
async fn at_once(tasks: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let mut running: JoinSet<()> = tasks.collect();
    while let Some(done) = running.join_next().await {
        if let Err(error) = done {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

async fn push(images: &[Arc<Image>]) {
    at_once(images.iter().map(|image| Arc::clone(image).push())).await;
}

async fn delete(images: &[Arc<Image>]) {
    at_once(images.iter().map(|image| Arc::clone(image).delete())).await;
}

async fn assert_readable(images: &[Arc<Image>]) {
    for images in images.chunks(READERS) {
        at_once(images.iter().map(|image| Arc::clone(image).assert_readable())).await;
    }
}

/// Deletes and pushes half of the images again.
async fn push_again(images: &[Arc<Image>]) {
    let (mut churned, mut emptied) = (Vec::new(), Vec::new());
    for image in images {
        let (repository, within) = (image.number % REPOSITORIES, image.number / REPOSITORIES);
        if repository < CHURNED && within.is_multiple_of(2) {
            churned.push(Arc::clone(image));
        } else if (CHURNED..CHURNED + EMPTIED).contains(&repository) {
            emptied.push(Arc::clone(image));
        }
    }
    assert_eq!(churned.len() + emptied.len(), IMAGES / 2);
    let churning = at_once(churned.into_iter().map(|image| async move {
        Arc::clone(&image).delete().await;
        image.push().await;
    }));
    let emptying = async {
        delete(&emptied).await;
        push(&emptied).await;
    };
    tokio::join!(churning, emptying);
}

/// Each of them once, nothing else, and nothing temporary.
async fn assert_stored(stack: &Stack, expected: &BTreeSet<Digest>) {
    stack.settled_within(SETTLING_LIMIT).await;
    assert_eq!(&stored(stack).await, expected);
    assert_nothing_left(stack).await;
}

async fn stored(stack: &Stack) -> BTreeSet<Digest> {
    let objects = stack.objects().await;
    objects.iter().map(|(key, _)| overside::storage::key::blob_digest(key).expect("a blob's key")).collect()
}

async fn collect(stack: &Stack) {
    let done = stack.command(&["gc", "--json", "--gc-grace", "0s"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let report: Value = serde_json::from_str(&done.stdout).expect("--json prints JSON and nothing else");
    assert_eq!((&report["failures"], &report["swept_objects"]), (&0.into(), &0.into()), "{report}");
}

async fn collect_down_to(stack: &Stack, expected: &BTreeSet<Digest>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        collect(stack).await;
        let found = stored(stack).await;
        if &found == expected {
            return;
        }
        assert!(found.is_superset(expected), "{found:?}");
        assert!(Instant::now() < deadline, "{} blobs are left", found.len());
    }
}
