//! Bytes on their way to the bucket: kept in the pieces they came in, sent as they are, again if need be.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use hyper::body::{Body, Frame, SizeHint};

use crate::storage::segmented_bytes::SegmentedBytes;

/// A parcel that is being packed. Its checksum is taken while the bytes are in the processor's cache.
#[derive(Debug)]
pub(super) struct PartBuffer {
    rope: SegmentedBytes,
    crc32c: crc_fast::Digest,
}

/// Bytes that can be sent any number of times.
#[derive(Debug)]
pub(super) struct PartBody {
    pieces: Vec<Bytes>,
    /// In bytes.
    pub size: usize,
    pub crc32c: u32,
}

impl Default for PartBuffer {
    fn default() -> Self {
        Self { rope: SegmentedBytes::default(), crc32c: crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi) }
    }
}

impl PartBuffer {
    pub fn push(&mut self, bytes: Bytes) {
        self.crc32c.update(&bytes);
        self.rope.push(bytes);
    }

    pub fn extend(&mut self, part_body: PartBody) {
        part_body.pieces.into_iter().for_each(|piece| self.push(piece));
    }

    /// In bytes.
    pub const fn len(&self) -> usize {
        self.rope.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.rope.is_empty()
    }

    pub fn into_body(self) -> PartBody {
        // The crate gives every CRC as 64 bits.
        let crc32c = u32::try_from(self.crc32c.finalize()).unwrap_or_default();
        PartBody { size: self.rope.len(), crc32c, pieces: self.rope.into_pieces() }
    }
}

impl PartBody {
    /// In order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(AsRef::as_ref)
    }

    /// In one piece, which the SDK hashes and signs.
    pub fn joined(&self) -> ByteStream {
        Bytes::from(self.pieces.concat()).into()
    }

    /// In its pieces. For another try the handles are copied, not the bytes.
    pub fn streamed(&self) -> ByteStream {
        let (pieces, size) = (self.pieces.clone(), self.size as u64);
        let body = move || SdkBody::from_body_1_x(Pieces { left: pieces.iter().cloned().collect(), size });
        ByteStream::new(SdkBody::retryable(body))
    }

    /// `x-amz-checksum-crc32c`.
    pub fn checksum(&self) -> String {
        STANDARD.encode(self.crc32c.to_be_bytes())
    }
}

/// A body of known length.
struct Pieces {
    left: VecDeque<Bytes>,
    /// Of what is left, in bytes.
    size: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.left.pop_front();
        self.size -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_stores_know() {
        let mut batch = PartBuffer::default();
        batch.push(Bytes::from_static(b"1234"));
        batch.push(Bytes::from_static(b"56789"));
        let part_body = batch.into_body();
        // The check value of CRC-32C (RFC 3720, appendix B.4, lists others).
        assert_eq!((part_body.size, part_body.crc32c), (9, 0xe306_9283));
        assert_eq!(part_body.checksum(), "4waSgw==");
    }

    #[tokio::test]
    async fn a_parcel_is_sent_whole_again_and_again() {
        let mut batch = PartBuffer::default();
        let content: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        content.chunks(70_000).for_each(|piece| batch.push(Bytes::copy_from_slice(piece)));
        let part_body = batch.into_body();
        for body in [part_body.streamed(), part_body.streamed(), part_body.joined()] {
            assert_eq!(body.size_hint().1, Some(300_000));
            assert_eq!(body.collect().await.expect("no error").into_bytes(), content);
        }
    }
}
