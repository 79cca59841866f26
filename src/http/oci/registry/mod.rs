//! What a registry has: blobs, manifests and their tags.

// Gives and deletes blobs.
pub(super) mod blob;
// Lists tags, blobs, referrers and repositories.
pub(super) mod listing;
// Takes, gives and deletes manifests.
pub(super) mod manifest;
