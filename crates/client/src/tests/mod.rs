//! The client against a server that misbehaves on purpose; `tests/it` runs it against the real one.

#![expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]

mod auth;
mod chunked;
mod download;
mod hostile;
mod lenient;
mod put;
mod server;
