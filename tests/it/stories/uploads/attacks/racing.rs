//! A second request to a URL while what the first one sent is finalized: the worst moment for other bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use overside::domain::digest::Digest;
use tokio_util::sync::CancellationToken;

use super::{assert_nothing_left, repository, send_with, server, signed};
use crate::support::api::{Repository, content, digest_of, send};
use crate::support::servers::BUCKET;
use crate::support::{Stack, Store};

/// Above what is placed before the answer, so that the copy to the blob's place is what is raced with.
const SIZE: usize = 12 << 20;
/// For a copy of that to be done, on a busy machine; and between two looks.
const PLACED_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
/// Times that the bytes change while one upload is finalized and placed, over and over: a single change hits the moment
/// between a proof and what rests on it too seldom to show anything.
const ROUNDS: usize = 8;
/// Longer than a finalize takes.
const RACE_LIMIT: Duration = Duration::from_secs(20);

/// True and other bytes take turns at the key until everything is settled. Where the other ones never get in, nothing
/// is raced with, and that is the best answer.
pub fn bound(stack: Arc<Stack>) -> BoxFuture<'static, ()> {
    async move {
        let server = server(&stack).await;
        let repository = repository(&server);
        let other = other_object(&stack).await;
        // By a copy of other bytes, and by the bytes themselves.
        let beside: [&[(&str, &str)]; 2] =
            [&[("x-amz-copy-source", other.as_str())], &[("x-amz-checksum-algorithm", "CRC32")]];
        let (mut uploads, mut taken, mut completed) = (Vec::new(), 0, 0);
        for round in 0..ROUNDS {
            let beside = beside[round % 2];
            let bytes = different(round);
            let (digest, size) = (digest_of(&bytes), SIZE.to_string());
            let upload = repository.begin().await;
            let query = [("size", size.as_str()), ("digest", &digest.to_string()), ("mode", "put")];
            let Some(signed) = signed(&upload, &query).await else { continue };
            send(&upload.http, &signed, bytes.clone()).await.expect(200);
            let case = format!("{beside:?} in round {round}");
            let (stop, others) = (CancellationToken::new(), content(SIZE));
            let racing = async {
                let deadline = Instant::now() + RACE_LIMIT;
                let mut taken = 0;
                // Some finalizes before the first change.
                tokio::time::sleep(Duration::from_millis(15 * round as u64)).await;
                while !stop.is_cancelled() && Instant::now() < deadline {
                    taken += usize::from(send_with(&upload, &signed, beside, others.clone()).await);
                    send(&upload.http, &signed, bytes.clone()).await;
                }
                taken
            };
            let finalizing = async {
                let finalized = upload.finalize(&digest).await;
                let is_placed = watch(&stack, &repository, &digest, &bytes, &case).await;
                stop.cancel();
                (finalized, is_placed)
            };
            let ((finalized, is_placed), got_in) = tokio::join!(finalizing, racing);
            assert!(finalized.status < 500, "{case}: {}", finalized.text());
            assert!(finalized.status == 201 || !is_placed, "{case}: {}", finalized.text());
            taken += got_in;
            completed += usize::from(finalized.status == 201);
            uploads.push(upload);
            // An honest uploader of the true bytes, elsewhere, is not harmed by what happened here.
            if round < 2 {
                let honest = Repository::of(server.base_url(), "honest/app");
                let upload = honest.begin().await;
                upload.put(&bytes).await;
                upload.finalize(&digest).await.expect(201);
                assert!(watch(&stack, &honest, &digest, &bytes, &case).await, "{case}");
            }
        }
        // One that always fails has raced with nothing.
        assert!(uploads.is_empty() || taken > 0 || completed == uploads.len(), "{completed} completed");
        assert_nothing_left(&stack, &uploads).await;
    }
    .boxed()
}

/// Reads the digest until nothing is done behind the answers any more: the true bytes, or none, at every look. Says
/// whether they are there in the end.
async fn watch(stack: &Stack, repository: &Repository, digest: &Digest, bytes: &[u8], case: &str) -> bool {
    let deadline = Instant::now() + PLACED_LIMIT;
    let mut is_settled = false;
    loop {
        let read = repository.read(digest).await;
        match read.status {
            200 => assert!(read.body == bytes, "{case}: other bytes are served"),
            status => assert!(matches!(status, 404 | 503), "{case}: {status} {}", read.text()),
        }
        if is_settled {
            return read.status == 200;
        }
        assert!(Instant::now() < deadline, "{case}: not placed within {PLACED_LIMIT:?}");
        tokio::time::sleep(POLL).await;
        // Once more after that: what was placed is what is served from now on.
        is_settled = stack.database.unsettled().await == 0;
    }
}

/// An object of other bytes and the same length, as a copy would name it.
async fn other_object(stack: &Stack) -> String {
    stack.store.write("other", &content(SIZE)).await;
    match &stack.store {
        Store::S3 { prefix, .. } => format!("{BUCKET}/{prefix}/other"),
        Store::Filesystem { .. } => format!("{BUCKET}/other"),
    }
}

/// Other bytes in every round.
fn different(round: usize) -> Vec<u8> {
    let mut bytes = content(SIZE);
    bytes
        .iter_mut()
        .step_by(1009)
        .for_each(|byte| *byte = byte.wrapping_add(1 + u8::try_from(round).unwrap_or(0)));
    bytes
}
