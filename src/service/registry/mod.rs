//! What a registry has: blobs, manifests and their tags, files by their paths, and the Hub's repositories.

// The blobs of a batch.
mod batch;
// Gives blobs to those who may read them.
pub(super) mod blobs;
// Keeps locks on files.
pub(super) mod file_locks;
// Puts, gives, lists and deletes files.
pub(super) mod files;
// Repositories of the Hugging Face Hub.
pub(super) mod hub;
// Lists tags, blobs, referrers and repositories.
pub(super) mod listings;
// Takes, gives and deletes manifests.
pub(super) mod manifests;
