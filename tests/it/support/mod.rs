//! What the suites stand on: servers, a fresh database and store per trial, the real binary, faults on the wire.

pub mod accounts;
pub mod api;
pub mod bucket;
pub mod command_line;
pub mod containerd;
pub mod copies;
pub mod database;
pub mod described;
pub mod front;
pub mod holding;
pub mod image;
pub mod layout;
pub mod obedient;
pub mod other_store;
pub mod people;
pub mod prepared;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod rough;
pub mod servers;
pub mod stack;
pub mod store;
pub mod tls;
pub mod trial;

use std::time::Duration;

pub use accounts::{Accounts, Login};
pub use command_line::CommandLine;
pub use proxy::{FaultProxy, Strike};
pub use servers::Servers;
pub use stack::{Shows, Stack, StackKind};
pub use store::Store;

/// A snapshot that every stack and every round of a loop has to match.
macro_rules! assert_answer {
    ($rendered:expr, @$snapshot:literal) => {
        let rendered = $rendered;
        insta::allow_duplicates! { insta::assert_snapshot!(rendered, @$snapshot) }
    };
}
pub(crate) use assert_answer;

/// LocalStack hangs up on a connection that was idle for five seconds; a request sent just then gets no answer.
const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// A plain HTTP client that talks to loopback only: no proxy of the environment, no redirects followed unseen.
pub fn http() -> reqwest::Client {
    http_with(|builder| builder)
}

/// As [`http`], set up further.
pub fn http_with(set_up: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> reqwest::Client {
    // Fails when a trial before us has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .no_proxy()
        // Hundreds of certificates are read otherwise, for loopback.
        .tls_certs_only([])
        .pool_idle_timeout(IDLE_LIMIT)
        .redirect(reqwest::redirect::Policy::none());
    set_up(builder).build().expect("a client without settings that could be wrong")
}

/// A temporary folder on the disk that cargo builds on: /tmp is memory on many machines, and blobs are large.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}
