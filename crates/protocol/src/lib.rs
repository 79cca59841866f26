//! What Overside and its clients speak, without a word of how it travels: names, digests and manifests of the OCI
//! specifications, how a blob is cut into parts, and the JSON on the wire. Nothing here does I/O.
//!
//! * [`digest`], [`hash`], [`midstate`]: what names content, and what computes it
//! * [`name`], [`reference`](mod@reference), [`media_type`], [`manifest`]: what a registry has
//! * [`part`], [`range`], [`upload`]: how bytes come and go
//! * [`wire`]: requests and answers
//!
//! With the feature `sqlx` digests, names and media types are columns of a database as well; with
//! `openapi` what is on the wire has schemas.
//!
//! ```
//! use overside_protocol::digest::{Algorithm, Digest};
//! use overside_protocol::hash::Hasher;
//! use overside_protocol::part::{DEFAULT_PART_SIZE, PartPlan};
//!
//! let digest: Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?;
//! assert_eq!(digest, Hasher::digest(Algorithm::Sha256, b""));
//!
//! let plan = PartPlan::new(200 * 1024 * 1024, DEFAULT_PART_SIZE)?;
//! assert_eq!(plan.part_count(), 25);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "sqlx")]
mod columns;
pub mod digest;
pub mod hash;
pub mod manifest;
pub mod media_type;
pub mod midstate;
pub mod name;
pub mod part;
pub mod range;
pub mod reference;
#[cfg(feature = "openapi")]
mod schema;
pub mod upload;
pub mod wire;
