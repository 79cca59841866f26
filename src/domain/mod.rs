//! Pure types and the upload state machine. Imports nothing else of this crate.
//!
//! The types that clients speak too are the protocol's, and part of the domain under its names.

pub mod access;
pub mod account;
pub mod address;
pub mod audit;
pub mod blob;
pub mod clock;
pub mod duration;
pub mod file;
pub mod file_lock;
pub mod hub;
pub mod limits;
pub mod pace;
pub mod path;
pub mod project;
pub mod quota;
pub mod secret;
pub mod settings;
pub mod ssh_key;
pub mod upload;
pub mod webhook;
pub mod words;

pub use overside_protocol::{digest, hash, manifest, media_type, midstate, name, part, range, reference};
