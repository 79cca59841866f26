//! Bytes as the network handed them over, one piece after the other, never joined into one buffer.

use bytes::{Bytes, BytesMut};

/// A piece of this size or more is kept as it is. Smaller ones are copied together: a body in one-byte chunks
/// would otherwise take forty times its size in handles. A piece keeps the buffer alive that it was read into
/// (`server::READ_BUFFER`, four times this): a sender who cuts its chunks for it can make a rope take three times
/// its length, a large chunk and a buffer's worth of tiny ones in turn; others stay near its length.
const WHOLE_PIECE: usize = 64 * 1024;
/// Smaller pieces are copied into blocks of this size.
const COPIED_BLOCK: usize = WHOLE_PIECE;

/// Pieces of a body, in order.
#[derive(Debug, Default)]
pub(super) struct SegmentedBytes {
    pieces: Vec<Bytes>,
    /// The last of the small pieces, and room for more.
    copied: BytesMut,
    length: usize,
}

impl SegmentedBytes {
    pub fn push(&mut self, mut bytes: Bytes) {
        self.length += bytes.len();
        if bytes.len() >= WHOLE_PIECE {
            self.close();
            self.pieces.push(bytes);
            return;
        }
        while !bytes.is_empty() {
            if self.copied.len() == self.copied.capacity() {
                self.close();
                self.copied.reserve(COPIED_BLOCK);
            }
            let room = self.copied.capacity() - self.copied.len();
            self.copied.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
        }
    }

    /// In bytes.
    pub const fn len(&self) -> usize {
        self.length
    }

    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn into_pieces(mut self) -> Vec<Bytes> {
        self.close();
        self.pieces
    }

    /// Ends the copied piece; what is free of its block serves the next one.
    fn close(&mut self) {
        if !self.copied.is_empty() {
            self.pieces.push(self.copied.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_pieces_the_bytes_stay_in_order(sizes in prop::collection::vec(0..80_000_usize, 0..12)) {
            let mut rope = SegmentedBytes::default();
            let mut all = Vec::new();
            for (index, size) in sizes.into_iter().enumerate() {
                let piece: Vec<u8> = (0..size).map(|at| (at * 31 + index).to_le_bytes()[0]).collect();
                all.extend_from_slice(&piece);
                rope.push(piece.into());
            }
            prop_assert_eq!(rope.len(), all.len());
            prop_assert_eq!(rope.is_empty(), all.is_empty());
            prop_assert_eq!(rope.into_pieces().concat(), all);
        }
    }

    #[test]
    fn small_pieces_share_blocks_also_between_large_ones() {
        let mut rope = SegmentedBytes::default();
        for _ in 0..1000 {
            rope.push(Bytes::from_static(&[1]));
            rope.push(Bytes::from(vec![2; WHOLE_PIECE]));
        }
        let pieces = rope.into_pieces();
        let small: Vec<_> =
            pieces.iter().filter(|piece| piece.len() == 1).map(|piece| piece.as_ptr()).collect();
        assert_eq!(small.len(), 1000);
        assert!(small.windows(2).all(|two| two[0].wrapping_add(1) == two[1]), "one block holds them all");
    }
}
