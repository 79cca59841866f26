//! A disk that is full. Its stand-in is the largest file that the service may write: an error of the same kind, and no
//! root is needed for it.

use std::process::Command;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::NAME;
use crate::support::api::{Answer, Repository, Upload, content, digest_of, send};
use crate::support::process::Server;
use crate::support::trial::{Story, not_here};
use crate::support::{Stack, Store};

/// Larger than the database's log grows, smaller than what is sent below.
const MOST: usize = 12 << 20;
const SAVED: usize = 1_000_000;

pub fn cases() -> Vec<Story> {
    vec![
        ("a_chunk_that_does_not_fit_on_the_disk_is_cut_off_at_once_and_the_answer_says_so", chunk),
        ("a_put_or_a_part_that_does_not_fit_on_the_disk_keeps_none_of_it", signed),
    ]
}

/// A service none of whose files grows beyond [`MOST`]. Ignored signals stay ignored: a write fails instead.
async fn server(stack: &Stack) -> Server {
    let binary = stack.binary();
    let mut shell = Command::new("/bin/sh");
    shell.env_clear().envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(stack.folder());
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" serve --part-size 5MiB", MOST / 512);
    shell.args(["-c", &script]).arg(binary.get_program());
    Server::start(&mut shell, &stack.folder().join("full.log")).await
}

fn refused(answer: &Answer) {
    let message = answer.refused(507, "UNAVAILABLE");
    assert!(message.contains("no room") && !message.contains("try again shortly"), "{message}");
}

/// Bytes on the disk below an upload's directory.
fn on_disk(stack: &Stack, upload: &Upload) -> usize {
    use std::os::unix::fs::MetadataExt;
    let Store::Filesystem { root } = &stack.store else { unreachable!("runs where the disk is ours") };
    let files = std::fs::read_dir(root.join("temp").join(upload.id().to_string())).expect("its directory");
    let blocks = files.map(|file| file.expect("a file").metadata().expect("its length").blocks());
    usize::try_from(blocks.sum::<u64>() * 512).expect("it fits")
}

fn chunk(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if matches!(stack.store, Store::S3 { .. }) {
            not_here("it is about files");
        }
        let server = server(&stack).await;
        let repository = Repository::of(server.base_url(), NAME);
        let upload = repository.begin().await;
        let whole = content(SAVED + 10);
        upload.patch(None, whole[..SAVED].to_vec()).await.expect(202);
        refused(&upload.patch(None, vec![7; MOST]).await);
        assert_eq!(upload.state().await.json()["received_offset"], SAVED);
        assert!(on_disk(&stack, &upload) < SAVED + (64 << 10), "{}", on_disk(&stack, &upload));

        repository.push(b"somebody else's").await;
        upload.finalize_with(&digest_of(&whole), whole[SAVED..].to_vec()).await.expect(201);
    }
    .boxed()
}

fn signed(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        if matches!(stack.store, Store::S3 { .. }) {
            not_here("it is about files");
        }
        let server = server(&stack).await;
        let repository = Repository::of(server.base_url(), NAME);
        let size = (MOST + (4 << 20)).to_string();
        let put = repository.begin().await;
        let terms = put.sign(&[("size", &size), ("mode", "put")]).await.expect(200).json();
        refused(&send(&put.http, &terms, vec![7; MOST + (4 << 20)]).await);
        assert!(on_disk(&stack, &put) < 64 << 10, "{}", on_disk(&stack, &put));

        // The third of four parts goes from 10 to 15 MiB.
        let parts = repository.begin().await;
        let terms = parts.sign(&[("size", &size), ("mode", "multipart")]).await.expect(200).json();
        refused(&send(&parts.http, &terms["parts"][2], vec![7; 5 << 20]).await);
        assert!(on_disk(&stack, &parts) < 64 << 10, "{}", on_disk(&stack, &parts));
        send(&parts.http, &terms["parts"][0], vec![7; 5 << 20]).await.expect(200);
    }
    .boxed()
}
