//! The log's line of each request: who asked for what from where, what came of it, and how many bytes went each way.
//! Numbers are numbers, so that machines can add them up.

use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::Response;
use tower_http::request_id::RequestId;
use tower_http::trace::OnResponse;
use tracing::Span;
use tracing::field::{self, Empty};

use super::extract::{content_length, user_agent};
use super::origin::Peer;
use crate::log_text::plain;

/// What every line that a request causes carries. Of the URL the path alone: queries carry signatures. A method may be
/// any word, and a path as long as all headers together.
pub(super) fn request_span(request: &Request) -> Span {
    let id =
        request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok()).unwrap_or("");
    tracing::info_span!(
        "request",
        id,
        method = &*plain(request.method().as_str()),
        path = &*plain(request.uri().path()),
        client = request.extensions().get::<Peer>().map(|peer| field::display(peer.0)),
        agent = user_agent(request.headers()).map(|agent| field::display(plain(agent))),
        request_bytes = content_length(request.headers()),
        user = Empty,
        upload = Empty,
    )
}

/// Says in the request's lines who was let in.
pub(super) fn record_user(name: &str) {
    Span::current().record("user", &*plain(name));
}

/// Writes the line when the answer begins. How long the answer's body takes to be read is the client's business.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResponseLine;

impl<B: HttpBody> OnResponse<B> for ResponseLine {
    fn on_response(self, response: &Response<B>, latency: Duration, _: &Span) {
        tracing::info!(
            status = response.status().as_u16(),
            response_bytes = response.body().size_hint().exact(),
            milliseconds = (latency.as_secs_f64() * 1e6).round() / 1e3,
            "answered"
        );
    }
}
