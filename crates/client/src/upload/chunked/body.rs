//! The requests of an upload that have its bytes in them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use overside_protocol::range::parse_upload_range;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Body, Method, Response, StatusCode};
use url::Url;

use super::ChunkedUpload;
use crate::progress::{Progress, Sent};
use crate::transport::answer::refusal;
use crate::transport::auth::Scope;
use crate::transport::call::may_pass;
use crate::transport::retry::is_passing;
use crate::upload::content::Content;
use crate::upload::signed::unless_stalled;
use crate::{Error, Refusal, Result};

/// How a chunk failed.
pub(super) enum Failure {
    Passing(Error, Option<Duration>),
    /// The registry is somewhere else than we thought: it has to be asked.
    OutOfStep(Error),
    /// It takes no chunks.
    Unsupported(Error),
    Final(Error),
}

impl ChunkedUpload<'_> {
    /// One chunk.
    pub(super) async fn patch(
        &mut self,
        content: &Content,
        base: u64,
        from: u64,
        end: u64,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let size = self.habits.chunk_size.min(end - base - from);
        let range = format!("{}-{}", base + from, base + from + size - 1);
        let sent = Sent::new(progress);
        let answered =
            self.send_body(Method::PATCH, &self.location, content, (from, size), Some(range), &sent).await;
        let response = match answered {
            Ok(response) if response.status().is_success() => response,
            Ok(response) => {
                sent.take_back();
                return Err(classify(refusal(response).await));
            }
            Err(error) => {
                sent.take_back();
                let asked = error.asked_wait();
                return Err(if may_pass(&error) {
                    Failure::Passing(error, asked)
                } else {
                    Failure::Final(error)
                });
            }
        };
        self.follow(response.headers());
        let told = response.headers().get(RANGE).and_then(|range| parse_upload_range(range.to_str().ok()?));
        let taken = base + from + size;
        // `0-0` is nothing or the first byte; where that was all that was sent, and was taken, it is the byte.
        let is_less = told.is_some_and(|told| told < taken && (told, taken) != (0, 1));
        self.offset = taken;
        if is_less && self.habits.tells_offset {
            // Only a look tells what it has not got from what it does not count.
            self.habits.tells_offset = self.ask().await.map_err(Failure::Final)?;
        }
        Ok(())
    }

    pub(super) async fn send_body(
        &self,
        method: Method,
        url: &Url,
        content: &Content,
        (from, size): (u64, u64),
        range: Option<String>,
        sent: &Sent,
    ) -> Result<Response> {
        let scope = Scope::push(self.repository);
        let build = || async {
            // A 401 to the first try has taken some of it.
            sent.take_back();
            let counter = sent.clone();
            let stream = content.stream(from, size).await?;
            let stream = self.client.paced(stream).inspect_ok(move |bytes: &Bytes| counter.add(bytes.len()));
            let body = Body::wrap_stream(stream);
            let request = self.client.http.request(method.clone(), url.clone());
            let request = request.header(CONTENT_TYPE, "application/octet-stream");
            let request = range.iter().fold(request, |request, range| request.header(CONTENT_RANGE, range));
            Ok(request.header(CONTENT_LENGTH, size).body(body))
        };
        match unless_stalled(self.client.send_at(url, &scope, build), sent, size).await {
            Ok(answered) => answered,
            Err(after) => Err(Error::Stalled { peer: self.client.peer(), after }),
        }
    }
}

fn classify(refusal: Refusal) -> Failure {
    let (status, asked) = (refusal.status, refusal.retry_after);
    let (is_unsupported, is_lost) = (refusal.code == "UNSUPPORTED", refusal.code.starts_with("BLOB_UPLOAD_"));
    let error = Error::Refused(refusal);
    match status {
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PAYLOAD_TOO_LARGE => Failure::OutOfStep(error),
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Failure::Unsupported(error),
        // Google's has no word for it. If it meant something else, the whole blob is refused as well.
        StatusCode::BAD_REQUEST if !is_lost => Failure::Unsupported(error),
        _ if is_unsupported => Failure::Unsupported(error),
        status if is_passing(status) => Failure::Passing(error, asked),
        // What a registry makes of a request that a broken connection cut off: it is asked how far it came.
        StatusCode::NOT_FOUND | StatusCode::GONE => Failure::OutOfStep(error),
        _ => Failure::Final(error),
    }
}
