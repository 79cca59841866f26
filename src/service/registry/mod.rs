//! What a registry has: blobs, manifests and their tags, and files by their paths.

// Gives blobs to those who may read them.
pub(super) mod blobs;
// Puts, gives, lists and deletes files.
pub(super) mod files;
// Lists tags, blobs, referrers and repositories.
pub(super) mod listings;
// Takes, gives and deletes manifests.
pub(super) mod manifests;
