//! What a registry has, a file for each kind: all of it are methods of [`Client`](crate::Client).

pub(crate) mod blobs;
mod deletions;
pub(crate) mod listings;
pub(crate) mod management;
pub mod manifest;
pub(crate) mod manifests;
