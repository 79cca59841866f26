//! What a registry has: blobs, manifests and their tags, and files by their paths.

// The blobs of a batch.
mod batch;
// Gives blobs to those who may read them.
pub(super) mod blobs;
// Keeps locks on files.
pub(super) mod file_locks;
// Puts, gives, lists and deletes files.
pub(super) mod files;
// Lists tags, blobs, referrers and repositories.
pub(super) mod listings;
// Takes, gives and deletes manifests.
pub(super) mod manifests;
