//! Sends one request to the registry: signs in where that is asked for, and repeats it where that can help.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use overside_protocol::wire::PRESIGNS;
use reqwest::{RequestBuilder, Response, StatusCode};
use url::Url;

use super::CALL_TIMEOUT;
use super::address::peer;
use super::answer::{Answer, RequestLine, refusal};
use super::auth::Scope;
use super::retry::{Failure, is_passing};
use crate::{Error, Registry, Result, shortened};

/// Characters that are logged of a request's URL: a registry may name one of any length.
const MAX_LOGGED: usize = 1024;

impl Registry {
    /// Sends what `build` makes to the registry, until the answer is not a passing failure.
    pub(crate) async fn call(
        &self,
        scope: &Scope,
        build: impl Fn() -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        self.call_at(&self.base, Some(CALL_TIMEOUT), scope, build).await
    }

    /// As [`Self::call`], at a place that an answer named. `limit` is for one try.
    pub(crate) async fn call_at(
        &self,
        url: &Url,
        limit: Option<Duration>,
        scope: &Scope,
        build: impl Fn() -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        let mut retry = self.retry(&self.notices);
        loop {
            let tried =
                self.attempt(url, scope, || limit.map_or_else(&build, |limit| build().timeout(limit)));
            let error = match tried.await {
                Ok(answer) if !is_passing(answer.status) => return Ok(answer),
                Ok(answer) => Error::Refused(answer.refusal()),
                Err(error) => error,
            };
            retry.after(Failure::of(error)).await?;
        }
    }

    /// Deletes the resource at `url`. False if there is none, or none any more.
    pub(crate) async fn delete(&self, url: &Url, scope: &Scope) -> Result<bool> {
        let answer = self.call_at(url, Some(CALL_TIMEOUT), scope, || self.http.delete(url.clone())).await?;
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(false),
            _ => answer.expect_success().map(|_| true),
        }
    }

    pub(crate) async fn attempt(
        &self,
        url: &Url,
        scope: &Scope,
        build: impl Fn() -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        let response = self.send_at(url, scope, || async { Ok(build()) }).await?;
        Answer::read(response, peer(url)).await
    }

    /// Sends a request once, and again with what a 401 asks for. Any answer but 401 is the caller's to judge.
    pub(crate) async fn send_at<F>(
        &self,
        url: &Url,
        scope: &Scope,
        build: impl Fn() -> F + Send + Sync,
    ) -> Result<Response>
    where
        F: Future<Output = Result<RequestBuilder>> + Send,
    {
        if url.origin() != self.base.origin() {
            // Elsewhere nobody is told who we are: a signed URL says all that is needed.
            return self.execute(build().await?, url).await;
        }
        let mut is_second = false;
        loop {
            let (request, token) =
                self.authenticator.apply(&self.destinations, build().await?, scope).await?;
            let response = self.execute(request, url).await?;
            self.has_answered.store(true, Ordering::Relaxed);
            if response.headers().contains_key(PRESIGNS) {
                self.presigns.store(true, Ordering::Relaxed);
            }
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let authenticator = &self.authenticator;
            let can_answer = authenticator
                .accept_challenge(&self.base, response.headers(), scope, token.as_deref())
                .await?;
            if is_second || !can_answer {
                let (peer, signed_in) = (self.peer(), self.authenticator.has_credential());
                return Err(Error::Unauthorized { peer, signed_in, refusal: refusal(response).await });
            }
            is_second = true;
        }
    }

    async fn execute(&self, request: RequestBuilder, url: &Url) -> Result<Response> {
        let failed = |error| Error::transport(&peer(url), error);
        let request = request.build().map_err(failed)?;
        let line =
            RequestLine(format!("{} {}{}", request.method(), peer(request.url()), request.url().path()));
        let begun = Instant::now();
        let mut response = self.destinations.to(url)?.execute(request).await.map_err(failed)?;
        let (status, milliseconds) = (response.status().as_u16(), begun.elapsed().as_millis());
        tracing::debug!(request = %shortened(&line.0, MAX_LOGGED), status, milliseconds, "answered");
        response.extensions_mut().insert(line);
        Ok(response)
    }
}
