//! The operations on a registry and on its repositories, a file for each kind: methods of [`Registry`](crate::Registry) and
//! of [`Repository`](crate::Repository).

pub(crate) mod blobs;
mod deletions;
pub(crate) mod listings;
pub(crate) mod management;
pub mod manifest;
pub(crate) mod manifests;
mod ping;
pub(crate) mod repository;
