//! What a registry answers before anybody signs in: whether it is one, and where passwords go.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::transport::CALL_TIMEOUT;
use crate::transport::address::peer;
use crate::transport::auth::{Scope, realm};
use crate::{Error, Registry, Result};

impl Registry {
    /// Checks that this is a registry, and that it lets the caller in.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it answers `GET /v2/` with 404 and so is no registry, [`Error::Unauthorized`] if it refuses the
    /// credentials or wants some. Besides that what [any request](Error#any-request) can fail with.
    pub async fn ping(&self) -> Result<()> {
        let url = self.join("v2/")?;
        let answer = self.call(&Scope::NONE, || self.http.get(url.clone())).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(answer.unexpected("404 to /v2/; it is no registry"));
        }
        answer.expect(StatusCode::OK).map(|_| ())
    }

    /// The token service that passwords for this registry are sent to, if that is on another host than the registry: people
    /// should hear of it before.
    ///
    /// # Errors
    /// [`Error::TokenService`] if no password is sent there, because it is neither in the registry's domain nor among the
    /// trusted ones, [`Error::Protocol`] if it has no HTTPS although the registry has. Besides that as [`Self::probe`].
    pub async fn token_service_elsewhere(&self) -> Result<Option<Url>> {
        let url = self.join("v2/")?;
        match self.probe(Method::GET, &url, HeaderMap::new()).await? {
            (StatusCode::UNAUTHORIZED, headers) => {
                self.authenticator.token_service_elsewhere(&self.base, &headers)
            }
            _ => Ok(None),
        }
    }

    /// The token service that the headers of an answer name, if they do.
    #[must_use]
    pub fn realm(headers: &HeaderMap) -> Option<Url> {
        realm(headers)
    }

    /// Sends one request without credentials, and gives status and headers of the answer: for diagnosis of what other
    /// clients will meet.
    ///
    /// # Errors
    /// [`Error::Destination`] if nothing may be sent to the URL, [`Error::Unreachable`], [`Error::Untrusted`] or
    /// [`Error::Broken`] if no answer comes. The request is not repeated.
    pub async fn probe(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<(StatusCode, HeaderMap)> {
        let http = self.destinations.to(url)?;
        let request = http.request(method, url.clone()).headers(headers).timeout(CALL_TIMEOUT);
        let answer = request.send().await.map_err(|error| Error::transport(&peer(url), error))?;
        Ok((answer.status(), answer.headers().clone()))
    }
}
