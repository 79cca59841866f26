//! What a registry's answers teach about how it takes chunks.

use super::CHUNK_SIZE;

/// The size after a refusal: what GitHub's registry takes in a chunk at most.
const SMALL_CHUNK_SIZE: u64 = 4 * 1024 * 1024;

/// What one registry has shown of how it takes uploads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// Bytes of one chunk.
    pub(super) chunk_size: u64,
    least_chunk: u64,
    pub(super) takes_chunks: bool,
    /// Whether it tells how far an upload is. Amazon's does not, and says of every chunk what it said of the first.
    pub(super) tells_offset: bool,
}

impl Habits {
    pub(super) const fn new(least_chunk: u64) -> Self {
        let chunk_size = if CHUNK_SIZE > least_chunk { CHUNK_SIZE } else { least_chunk };
        Self { chunk_size, least_chunk, takes_chunks: true, tells_offset: true }
    }

    /// After the refusal of a chunk for what it is.
    pub(super) const fn learn_from_refusal(&mut self) {
        if self.chunk_size > SMALL_CHUNK_SIZE && self.least_chunk <= SMALL_CHUNK_SIZE {
            self.chunk_size = SMALL_CHUNK_SIZE;
        } else {
            self.takes_chunks = false;
        }
    }
}
