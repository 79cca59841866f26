//! Overside: the upload control plane for S3-backed, content-addressed storage.
//!
//! ```text
//! http ──> service ──> db, storage ──> domain        arrows point one way
//! ```
//! * [`domain`]: pure types and the upload state machine
//! * [`db`], [`storage`]: rows and bytes, each on two backends
//! * `service`: the use cases, one file a verb
//! * [`auth`]: passwords, secrets and signed tokens
//! * [`http`]: the front doors; [`overside_protocol`]: what they and the client speak
//! * [`cli`]: the commands, built on [`overside_client`], the protocol from the other side
//! * `webhook`: what webhooks say, and the client that sends it
//! * `config`, `server`, `worker`: what makes it a service
//! * `memory`: what its requests share; `telemetry`: the log, and what of others' texts gets into it
//!
//! `tests/arrows.rs` has every arrow that is allowed, and fails on another.

// Public is what `tests/it` and the benches use, and `cli::run`.
pub mod auth;
pub mod cli;
mod config;
pub mod db;
pub mod domain;
pub mod http;
mod log_text;
mod memory;
mod open;
mod probing;
mod server;
mod service;
pub mod storage;
mod telemetry;
mod webhook;
mod worker;
