//! What the suites stand on: servers, a fresh database and store per trial, the real binary, faults on the wire.

pub mod api;
pub mod bucket;
pub mod database;
pub mod image;
pub mod layout;
pub mod people;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod stack;
pub mod store;
pub mod trial;

use std::time::Duration;

use reqwest::header::HeaderMap;

pub use proxy::{FaultProxy, Strike};
pub use servers::Servers;
pub use stack::{Stack, StackKind};
pub use store::Store;

/// LocalStack hangs up on a connection that was idle for five seconds; a request sent just then gets no answer.
const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// A plain HTTP client that talks to loopback only: no proxy of the environment, no redirects followed unseen.
pub fn http() -> reqwest::Client {
    http_with(HeaderMap::new())
}

/// The same one, with these headers in every request.
pub fn http_with(headers: HeaderMap) -> reqwest::Client {
    // Fails when a trial before us has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .default_headers(headers)
        .pool_idle_timeout(IDLE_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client without settings that could be wrong")
}

/// A temporary folder on the disk that cargo builds on: /tmp is memory on many machines, and blobs are large.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}
