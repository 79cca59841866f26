//! What a registry has: blobs, manifests and their tags.

// The blobs of a batch.
mod batch;
// Gives blobs to those who may read them.
pub(super) mod blobs;
// Keeps locks on files.
pub(super) mod file_locks;
// Lists tags, blobs, referrers and repositories.
pub(super) mod listings;
// Takes, gives and deletes manifests.
pub(super) mod manifests;
