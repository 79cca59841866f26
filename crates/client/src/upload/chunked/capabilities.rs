//! What a registry has shown of how it accepts chunks.

use super::CHUNK_SIZE;

/// The chunk size after a refusal: the most that GitHub's registry accepts.
const SMALL_CHUNK_SIZE: u64 = 4 * 1024 * 1024;

/// How one registry accepts chunks, as far as its answers have shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkCapabilities {
    /// Bytes of one chunk.
    pub(super) chunk_size: u64,
    least_chunk: u64,
    pub(super) takes_chunks: bool,
    /// Whether it tells how far an upload is. Amazon's does not, and answers every chunk with the first one's range.
    pub(super) tells_offset: bool,
}

impl ChunkCapabilities {
    pub(super) const fn new(least_chunk: u64) -> Self {
        let chunk_size = if CHUNK_SIZE > least_chunk { CHUNK_SIZE } else { least_chunk };
        Self { chunk_size, least_chunk, takes_chunks: true, tells_offset: true }
    }

    /// After a registry has refused a chunk for its size or kind: smaller chunks, and then none.
    pub(super) const fn restrict(&mut self) {
        if self.chunk_size > SMALL_CHUNK_SIZE && self.least_chunk <= SMALL_CHUNK_SIZE {
            self.chunk_size = SMALL_CHUNK_SIZE;
        } else {
            self.takes_chunks = false;
        }
    }
}
