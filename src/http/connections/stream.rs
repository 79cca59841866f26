//! A socket whose other end has to keep up.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flow::{StallTimer, TransferActivity};

/// For a reader to take [`super::flow::PROGRESS`]. Sockets say that they can be written to again once a third of
/// their buffer is free, which is a hundred KiB on a slow line: 8 kbit/s in two minutes.
const WRITE_WINDOW: Duration = Duration::from_mins(2);

/// Counts what moves, and fails when the other end does not read what is sent to it.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    flow: Arc<TransferActivity>,
    patience: StallTimer,
}

impl<S> Watched<S> {
    pub const fn new(stream: S, flow: Arc<TransferActivity>) -> Self {
        Self::within(WRITE_WINDOW, stream, flow)
    }

    const fn within(window: Duration, stream: S, flow: Arc<TransferActivity>) -> Self {
        Self { stream, flow, patience: StallTimer::new(window) }
    }

    /// What came of writing, once the time it took has been counted.
    fn judge(
        &mut self,
        written: Poll<Result<usize>>,
        offered: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize>> {
        match written {
            Poll::Ready(Ok(length)) => {
                self.flow.moved(length);
                if length < offered {
                    self.patience.moved(length);
                } else {
                    self.patience.restart();
                }
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.patience.poll_exhausted(context));
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not read its answer")))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.flow.moved(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(written, bytes.len(), context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(written, slices.iter().map(|slice| slice.len()).sum(), context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    /// What a socket buffers here.
    const BUFFER: usize = 4096;

    #[tokio::test]
    async fn an_answer_that_nobody_reads_ends_and_one_that_is_read_does_not() {
        let window = Duration::from_millis(300);
        let watched =
            |stream| Watched::within(window, stream, Arc::new(TransferActivity::new(Instant::now())));
        let (ours, _theirs) = duplex(BUFFER);
        let begun = Instant::now();
        let error = watched(ours).write_all(&vec![0; 10 * BUFFER]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= window, "{:?}", begun.elapsed());

        let (ours, mut theirs) = duplex(BUFFER);
        let mut ours = watched(ours);
        let reading = async {
            let mut read = vec![0; BUFFER];
            while theirs.read_exact(&mut read).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let writing = async move {
            ours.write_all(&vec![0; 200 * BUFFER]).await.expect("it is read");
        };
        let begun = Instant::now();
        tokio::join!(reading, writing);
        assert!(begun.elapsed() > 2 * window, "as long as two windows: {:?}", begun.elapsed());
    }
}
