//! The bodies of requests and answers, as a connection sees them.
//!
//! A refusal has to reach a client that is still sending. Closing a socket with unread bytes in it makes the
//! kernel reset the connection, and the answer is lost with it: the client sees a broken connection, and tries
//! the same again. So what the handler left of a body is read and dropped for a while. Of a long one not at once: a
//! client that is read from sends faster and faster, and one that is not has no more on its way than its window. Where the
//! handler knows that its client reads while it sends, nothing is read at all.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::flow::StallTimer;
use super::{Connection, Work};

/// For the answer to arrive and the client to stop; most do so after one round trip.
const LINGER: Duration = Duration::from_secs(5);
/// Before the rest of a body is read: for the answer to arrive, from far away as well.
const PAUSE: Duration = Duration::from_millis(250);
/// The rest of a shorter one, in bytes, is read at once: the next request on the connection stands behind it.
const SHORT: u64 = 256 * 1024;
/// For a client that reads while it sends to have its answer, and to have closed its end.
const LEAVE: Duration = Duration::from_secs(2);
/// For a sender to send [`super::flow::PROGRESS`], of the time that it is waited for. Silence of a minute is what
/// proxies put up with as well (nginx, `proxy_read_timeout`).
const READ_WINDOW: Duration = Duration::from_mins(1);

/// A request's body whose sender has to keep up, and whose rest is read when the handler drops it.
#[derive(Debug)]
pub struct Lingering {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    /// The client sends no byte before it is told to (RFC 9110 §10.1.1), and reading would tell it.
    waits: bool,
    connection: Arc<Connection>,
    patience: StallTimer,
}

impl Lingering {
    #[must_use]
    pub const fn new(body: Incoming, waits: bool, connection: Arc<Connection>) -> Self {
        Self { body: Some(body), waits, connection, patience: StallTimer::new(READ_WINDOW) }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.waits = false;
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
                self.patience.moved(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
            }
            Poll::Pending => self.patience.poll_exhausted(context).map(|()| {
                Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the sender fell silent, or nearly so")))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !self.waits && !body.is_end_stream());
        let (Some(mut rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) else { return };
        let is_left = self.connection.leaves_body();
        runtime.spawn(tokio::time::timeout(LINGER, async move {
            if is_left {
                // Dropped unread, which resets the connection.
                return tokio::time::sleep(LEAVE).await;
            }
            if rest.size_hint().upper().is_none_or(|left| left > SHORT) {
                tokio::time::sleep(PAUSE).await;
            }
            while let Some(Ok(_)) = rest.frame().await {}
        }));
    }
}

/// An answer's body: its connection is occupied until it is sent.
#[derive(Debug)]
pub struct TrackedBody {
    body: axum::body::Body,
    _work: Option<Work>,
}

impl TrackedBody {
    /// None where the request was not taken on.
    #[must_use]
    pub const fn new(body: axum::body::Body, work: Option<Work>) -> Self {
        Self { body, _work: work }
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
