//! The connection to one registry, which all requests to it share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use url::Url;

use super::address::peer;
use super::auth::Authenticator;
use super::destination::Destinations;
use super::rate::RateLimit;
use super::retry::{Retry, RetryPolicy};
use crate::error::{AddressError, Error, Result};
use crate::progress::Progress;

/// One registry, of Overside's or of any other make. Cheap to clone; clones share their tokens and their rate limit.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) http: reqwest::Client,
    pub(crate) destinations: Arc<Destinations>,
    /// Always ends with a slash.
    pub(crate) base: Url,
    pub(super) policy: RetryPolicy,
    pub(crate) authenticator: Arc<Authenticator>,
    /// Whether the server has answered yet. Before that a refused connection is a wrong address, not a restart.
    pub(super) has_answered: Arc<AtomicBool>,
    /// Whether it has said that it gives presigned URLs.
    pub(super) presigns: Arc<AtomicBool>,
    pub(crate) rate: Option<Arc<RateLimit>>,
    /// Where retries are reported that belong to no blob under way.
    pub(crate) notices: Arc<Progress>,
}

impl Registry {
    /// The registry's URL, without credentials. It ends with a slash.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.base
    }

    /// Whether both are the same registry, so that one repository's blobs can be mounted into another's.
    #[must_use]
    pub fn is_same_registry(&self, other: &Self) -> bool {
        self.base == other.base
    }

    /// The retries of one piece of work with this registry.
    pub(crate) fn retry<'a>(&'a self, progress: &'a Progress) -> Retry<'a> {
        Retry::new(self.policy, &self.has_answered, progress)
    }

    /// Whether the server gives presigned URLs, as far as it has said.
    pub(crate) fn presigns(&self) -> bool {
        self.presigns.load(Ordering::Relaxed)
    }

    /// The URL of a path below the registry's own.
    pub(crate) fn join(&self, path: &str) -> Result<Url> {
        self.base.join(path).map_err(|_| AddressError::Malformed.into())
    }

    /// The server as it is named in errors.
    pub(crate) fn peer(&self) -> String {
        peer(&self.base)
    }

    /// The error for an answer of the server that the protocol does not have.
    pub(crate) fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::protocol(&self.peer(), what)
    }
}
