//! What a registry has: blobs, manifests and their tags.

// Gives blobs to those who may read them.
pub(super) mod blobs;
// Lists tags, blobs, referrers and repositories.
pub(super) mod listings;
// Takes, gives and deletes manifests.
pub(super) mod manifests;
