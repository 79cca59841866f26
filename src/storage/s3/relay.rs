//! Bodies that are passed on to the bucket: what a client sends to a URL of ours, where the bucket's own URLs would
//! permit more than they should. Each goes on as it comes, once, by a request that has none of the client's headers.
//!
//! The last piece is held back until the whole was counted and hashed. What is not what was signed never reaches
//! the store whole, so it leaves nothing there.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::{CONNECT_TIMEOUT, CONTENT_TYPE, S3, SLOW_OPERATION_TIMEOUT, classify};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hash::Hasher;
use crate::domain::part::{MAX_PART_SIZE, Part};
use crate::domain::upload::UploadId;
use crate::storage::key;
use crate::storage::{PutTerms, Result, StorageError};

/// For the SDK, which counts from the first byte that is sent: 5 GiB at half a Mbit/s. What really ends a request
/// is its client, and once that has sent everything, [`SLOW_OPERATION_TIMEOUT`].
const RELAY_TIMEOUT: Duration = Duration::from_hours(24);

impl S3 {
    pub(in crate::storage) async fn receive_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        max_size: u64,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        // A store takes nothing whose length it is not told first.
        let size = terms.size.ok_or_else(|| {
            StorageError::InvalidPart("send the body's length in Content-Length, not in chunks".to_owned())
        })?;
        let most = max_size.min(MAX_PART_SIZE);
        if size > most {
            return Err(StorageError::TooLarge(format!("one PUT carries at most {most} bytes here")));
        }
        let checksum = terms.digest.filter(|digest| digest.algorithm() == Algorithm::Sha256);
        let send = |body| async {
            let sent = self
                .client
                .put_object()
                .bucket(self.bucket())
                .key(self.path(&key::temp_data(upload)))
                .content_type(CONTENT_TYPE)
                .content_length(signed(size))
                // So that the store can tell afterwards what it holds.
                .set_checksum_sha256(checksum.and_then(|digest| digest.to_base64()))
                .body(body)
                .customize()
                .config_override(as_slowly_as_it_comes())
                .disable_payload_signing()
                .send()
                .await
                .map_err(classify("write an object"))?;
            Ok(sent.e_tag)
        };
        relay(size, terms.digest, body, send).await
    }

    pub(in crate::storage) async fn receive_part(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        part: Part,
        body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    ) -> Result<String> {
        let send = |body| async {
            let sent = self
                .client
                .upload_part()
                .bucket(self.bucket())
                .key(self.path(&key::temp_data(upload)))
                .upload_id(store_upload_id)
                .part_number(i32::from(part.number.get()))
                .content_length(signed(part.size))
                .body(body)
                .customize()
                .config_override(as_slowly_as_it_comes())
                .disable_payload_signing()
                .send()
                .await
                .map_err(classify("write a part"))?;
            Ok(sent.e_tag)
        };
        relay(part.size, None, body, send).await
    }
}

fn as_slowly_as_it_comes() -> Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(RELAY_TIMEOUT);
    aws_sdk_s3::Config::builder().timeout_config(timeouts.build())
}

/// As the SDK counts. What is relayed is at most 5 GiB.
fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Passes a body on to the request that `send` makes of it, and tells the ETag.
async fn relay<F>(
    size: u64,
    digest: Option<Digest>,
    body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    send: impl FnOnce(ByteStream) -> F,
) -> Result<String>
where
    F: Future<Output = Result<Option<String>>>,
{
    let (to, pieces) = mpsc::channel(1);
    let relayed = Relayed { pieces, left: size };
    let sending = send(ByteStream::new(SdkBody::from_body_1_x(relayed)));
    tokio::pin!(sending);
    let etag = tokio::select! {
        // In this order: what is whole is not taken for what was answered too early.
        biased;
        // Dropping the request ends its connection in the middle of the body.
        pumped = pump(size, digest, body, to) => {
            pumped?;
            let answer = tokio::time::timeout(SLOW_OPERATION_TIMEOUT, sending).await;
            answer.map_err(StorageError::unavailable("answer for a body in time"))??
        }
        // A refusal may come before the body's end. Anything else then is no answer to it.
        answered = &mut sending => {
            answered?;
            return Err(StorageError::unavailable("take a body")("it answered before the body's end"));
        }
    };
    etag.ok_or_else(|| StorageError::unavailable("name what it took")("no ETag"))
}

/// Hands on what is as long as it should be and hashes to what it should.
async fn pump(
    size: u64,
    digest: Option<Digest>,
    mut body: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
    to: mpsc::Sender<Bytes>,
) -> Result<()> {
    let mut hasher = digest.map(|digest| Hasher::new(digest.algorithm()));
    let (mut received, mut held) = (0_u64, Bytes::new());
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|_| StorageError::Incomplete)?;
        if bytes.is_empty() {
            continue;
        }
        received = received.saturating_add(bytes.len() as u64);
        if received > size {
            return Err(StorageError::TooLarge(format!(
                "the body has more than the {size} bytes signed for it"
            )));
        }
        if let Some(hasher) = &mut hasher {
            hasher.update(&bytes);
        }
        hand_on(&to, std::mem::replace(&mut held, bytes)).await;
    }
    if received < size {
        return Err(StorageError::Incomplete);
    }
    if hasher.is_some_and(|hasher| Some(hasher.finish()) != digest) {
        return Err(StorageError::ChecksumMismatch);
    }
    hand_on(&to, held).await;
    Ok(())
}

/// Where nobody takes it any more the request has its answer, which says why.
async fn hand_on(to: &mpsc::Sender<Bytes>, bytes: Bytes) {
    if !bytes.is_empty() && to.send(bytes).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A body of a length that was promised. One that ends before breaks its connection.
struct Relayed {
    pieces: mpsc::Receiver<Bytes>,
    /// In bytes.
    left: u64,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let Some(piece) = ready!(self.pieces.poll_recv(context)) else {
            return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
        };
        self.left = self.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const CONTENT: &[u8] = b"what a client sends";

    /// What a store that reads to the end was handed, and what the client was answered.
    async fn relayed(
        size: u64,
        digest: Option<Digest>,
        pieces: Vec<std::io::Result<Bytes>>,
    ) -> (bool, Result<String>) {
        let (told, mut whole) = mpsc::channel(1);
        let send = |body: ByteStream| async move {
            let collected = body.collect().await.map_err(StorageError::unavailable("read"))?.into_bytes();
            let _ = told.send(collected).await;
            Ok(Some("etag".to_owned()))
        };
        let answer = relay(size, digest, stream::iter(pieces), send).await;
        (whole.try_recv().is_ok_and(|whole| whole == CONTENT), answer)
    }

    fn pieces(content: &'static [u8]) -> Vec<std::io::Result<Bytes>> {
        content.chunks(5).map(|piece| Ok(Bytes::from_static(piece))).collect()
    }

    #[tokio::test]
    async fn a_body_is_passed_on_whole_or_its_request_never_ends() {
        let (size, digest) = (CONTENT.len() as u64, Hasher::digest(Algorithm::Sha256, CONTENT));
        for digest in [None, Some(digest), Some(Hasher::digest(Algorithm::Sha512, CONTENT))] {
            let (whole, answer) = relayed(size, digest, pieces(CONTENT)).await;
            assert!(whole && answer.is_ok(), "{answer:?}");
        }
        let other = Some(Digest::EMPTY);
        let (whole, answer) = relayed(size, other, pieces(CONTENT)).await;
        assert!(!whole && matches!(answer, Err(StorageError::ChecksumMismatch)), "{answer:?}");
        let (whole, answer) = relayed(size + 1, None, pieces(CONTENT)).await;
        assert!(!whole && matches!(answer, Err(StorageError::Incomplete)), "{answer:?}");
        let (whole, answer) = relayed(size - 1, None, pieces(CONTENT)).await;
        assert!(!whole && matches!(answer, Err(StorageError::TooLarge(_))), "{answer:?}");
        let mut broken = pieces(CONTENT);
        broken.push(Err(std::io::ErrorKind::ConnectionReset.into()));
        let (whole, answer) = relayed(size, None, broken).await;
        assert!(!whole && matches!(answer, Err(StorageError::Incomplete)), "{answer:?}");
    }

    #[tokio::test]
    async fn a_refusal_that_comes_early_is_the_answer() {
        let send = |_| async { Err(StorageError::refused("write an object")("no")) };
        let endless = stream::iter(pieces(CONTENT)).chain(stream::pending());
        let answer = relay(1 << 30, None, endless, send).await;
        assert!(matches!(answer, Err(StorageError::Refused { .. })), "{answer:?}");
    }

    #[tokio::test]
    async fn nothing_is_passed_on_as_nothing() {
        let send = |body: ByteStream| async move {
            let read = body.collect().await.map_err(StorageError::unavailable("read"))?;
            Ok(Some(read.into_bytes().len().to_string()))
        };
        let answer = relay(0, Some(Digest::EMPTY), stream::iter(pieces(b"")), send).await;
        assert_eq!(answer.ok().as_deref(), Some("0"));
    }
}
