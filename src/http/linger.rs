//! A refusal has to reach a client that is still sending. Closing a socket with unread bytes in it makes the
//! kernel reset the connection, and the answer is lost with it: the client sees a broken connection, and tries
//! the same again. So what the handler left of a body is read and dropped for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// For the answer to arrive and the client to stop; most do so after one round trip.
const LINGER: Duration = Duration::from_secs(5);

/// A request's body whose rest is read when the handler drops it.
#[derive(Debug)]
pub struct Lingering {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    /// The client sends no byte before it is told to (RFC 9110 §10.1.1), and reading would tell it.
    waits: bool,
}

impl Lingering {
    #[must_use]
    pub const fn new(body: Incoming, waits: bool) -> Self {
        Self { body: Some(body), waits }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.waits = false;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
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
        runtime.spawn(tokio::time::timeout(
            LINGER,
            async move { while let Some(Ok(_)) = rest.frame().await {} },
        ));
    }
}
