//! From the network to a file: what comes is collected into blocks, and each block is written off the runtime
//! while the next one is collected (and hashed, by whoever hands it over). Two blocks of memory a request,
//! whatever the client sends.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Result;
use crate::storage::StorageError;
use crate::storage::segmented_bytes::SegmentedBytes;

/// Large enough that handing a block to another thread and locking for it cost little beside writing it. Two of
/// them for each of 64 requests are 64 MiB; three times that for senders who cut their chunks for it (see
/// [`SegmentedBytes`]).
pub(super) const BLOCK_SIZE: usize = 512 * 1024;

/// Writes blocks, in order, with `write` to a sink that it owns while it does.
#[derive(Debug)]
pub(super) struct BlockWriter<S> {
    collected: SegmentedBytes,
    sink: Sink<S>,
    write: fn(&mut S, &[Bytes]) -> Result<()>,
}

#[derive(Debug)]
enum Sink<S> {
    Idle(S),
    Writing(JoinHandle<Result<S>>),
    /// A write failed, or the caller went away in the middle of one.
    Lost,
}

impl<S: Send + 'static> BlockWriter<S> {
    /// `write` gets a block in pieces, in order.
    pub fn new(sink: S, write: fn(&mut S, &[Bytes]) -> Result<()>) -> Self {
        Self { collected: SegmentedBytes::default(), sink: Sink::Idle(sink), write }
    }

    /// Writes a whole body and tells its length. [`StorageError::TooLarge`] with the first byte beyond
    /// `limit`, of which nothing is written; [`StorageError::Incomplete`] when the body breaks.
    pub async fn receive(
        &mut self,
        mut body: impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
        limit: u64,
    ) -> Result<u64> {
        let mut received: u64 = 0;
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|_| StorageError::Incomplete)?;
            received = received.saturating_add(bytes.len() as u64);
            if received > limit {
                return Err(StorageError::TooLarge(format!(
                    "the body has more than the {limit} bytes allowed for it"
                )));
            }
            self.push(bytes).await?;
        }
        Ok(received)
    }

    pub async fn push(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let room = BLOCK_SIZE - self.collected.len();
            self.collected.push(bytes.split_to(room.min(bytes.len())));
            if self.collected.len() == BLOCK_SIZE {
                self.start_write().await?;
            }
        }
        Ok(())
    }

    /// Writes what is left and gives the sink back.
    pub async fn finish(mut self) -> Result<S> {
        if !self.collected.is_empty() {
            self.start_write().await?;
        }
        self.idle_sink().await
    }

    async fn start_write(&mut self) -> Result<()> {
        let mut sink = self.idle_sink().await?;
        let (block, write) = (std::mem::take(&mut self.collected).into_pieces(), self.write);
        self.sink = Sink::Writing(spawn_blocking(move || write(&mut sink, &block).map(|()| sink)));
        Ok(())
    }

    async fn idle_sink(&mut self) -> Result<S> {
        match std::mem::replace(&mut self.sink, Sink::Lost) {
            Sink::Idle(sink) => Ok(sink),
            Sink::Writing(task) => task.await.map_err(StorageError::unavailable("write a block"))?,
            Sink::Lost => {
                Err(StorageError::unavailable("write after a failed write")("an earlier block is missing"))
            }
        }
    }
}
