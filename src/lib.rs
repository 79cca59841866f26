//! Overside: the upload control plane for S3-backed, content-addressed storage.
//!
//! ```text
//! http ──> service ──> db, storage ──> domain        arrows point one way
//! ```
//! * [`domain`]: pure types and the upload state machine
//! * [`db`], [`storage`]: rows and bytes, each on two backends
//! * [`service`]: the use cases, one file a verb
//! * [`auth`]: passwords, secrets and signed tokens
//! * [`http`]: the front doors
//! * [`client`]: the protocol from the other side; [`cli`] is built on it
//! * [`config`], [`server`], [`worker`], [`telemetry`]: what makes it a service; [`memory`]: what its requests share

pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod db;
pub mod domain;
pub mod http;
pub mod memory;
mod open;
mod probing;
pub mod server;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod worker;
