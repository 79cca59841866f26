//! The requests of a chunked upload that carry its bytes.

use overside_protocol::range::parse_upload_range;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Method, Response};
use url::Url;

use super::ChunkedUpload;
use crate::progress::{Progress, SentBytes};
use crate::transport::answer::refusal;
use crate::transport::auth::Scope;
use crate::transport::retry::Failure;
use crate::upload::content::Content;
use crate::upload::signed_put::unless_stalled;
use crate::{Error, Result};

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
        let size = self.capabilities.chunk_size.min(end - base - from);
        let range = format!("{}-{}", base + from, base + from + size - 1);
        let sent = SentBytes::new(progress);
        let answered =
            self.send_body(Method::PATCH, &self.location, content, (from, size), Some(range), &sent).await;
        let response = answered.map_err(|error| {
            sent.take_back();
            Failure::of_chunk(error)
        })?;
        self.follow(response.headers());
        let range = response.headers().get(RANGE).and_then(|range| parse_upload_range(range.to_str().ok()?));
        let taken = base + from + size;
        // `0-0` is nothing or the first byte; where that was all that was sent, and was taken, it is the byte.
        let is_less = range.is_some_and(|offset| offset < taken && (offset, taken) != (0, 1));
        self.offset = taken;
        if is_less && self.capabilities.tells_offset {
            // Only a look tells what it has not got from what it does not count.
            self.capabilities.tells_offset = self.fetch_offset().await?;
        }
        Ok(())
    }

    /// Sends a stretch of the content, and gives the answer if the registry took it.
    pub(super) async fn send_body(
        &self,
        method: Method,
        url: &Url,
        content: &Content,
        (from, size): (u64, u64),
        range: Option<String>,
        sent: &SentBytes,
    ) -> Result<Response> {
        let (registry, scope) = (&self.repository.registry, Scope::push(&self.repository.name));
        let build = || async {
            // A 401 to the first try has taken some of it.
            sent.take_back();
            let body = registry.body(content.stream(from, size).await?, sent);
            let request = registry.http.request(method.clone(), url.clone());
            let request = request.header(CONTENT_TYPE, "application/octet-stream");
            let request = range.iter().fold(request, |request, range| request.header(CONTENT_RANGE, range));
            Ok(request.header(CONTENT_LENGTH, size).body(body))
        };
        let response =
            unless_stalled(&registry.peer(), registry.send_at(url, &scope, build), sent, size).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Error::Refused(refusal(response).await))
    }
}
